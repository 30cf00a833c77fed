"""Who descends from a process: asked only when it must end at once."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
from pathlib import Path


def parents() -> dict[int, int]:
    """Map every process that can be seen to its parent."""
    found: dict[int, int] = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError, ValueError, IndexError):
            found[int(stat.parent.name)] = int(stat.read_text().rpartition(")")[2].split()[1])
    ps = shutil.which("ps")
    if found or ps is None:
        return found
    listed = [ps, "-A", "-o", "pid=,ppid="]
    said = subprocess.run(listed, check=False, capture_output=True, text=True)
    return {int(pid): int(parent) for pid, parent in map(str.split, said.stdout.splitlines())}


def descendants(pid: int) -> list[int]:
    """List the children of a process, theirs, and so on."""
    known = parents()
    found, newest = [], {pid}
    while newest:
        newest = {child for child, parent in known.items() if parent in newest}
        found += sorted(newest)
    return found


def kill(pid: int) -> None:
    """End a process and all that descends from it, without a word."""
    for each in (*descendants(pid), pid):
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.kill(each, signal.SIGKILL)
