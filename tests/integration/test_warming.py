"""What a worker process has done before it forks."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from service.settings import Settings
from service.store import migrating
from service.store.database import Database

SCRIPT = """
import gc, json, sys, threading
import psutil
import workers.child
from service.amili.contract import Contract
from service.settings import Settings
from service.telemetry.metrics import Metrics
from workers import jobs
from workers.warming import warm_up

settings = Settings(**json.loads(sys.argv[1]))
warm_up(settings)
said = {
    "threads": threading.active_count(),
    "connections": len(psutil.Process().net_connections()),
    "frozen": gc.get_freeze_count(),
}
jobs.configure(jobs.Context(settings, Contract(), Metrics(), "warm"))
before = set(sys.modules)
jobs.work_events()
said["loaded"] = sorted(set(sys.modules) - before)
print(json.dumps(said))
"""


def test_a_job_of_a_warm_worker_loads_nothing(
    database_url: str, redis_url: str, tmp_path: Path
) -> None:
    """All modules are there before the fork, and neither a thread nor a connection is."""
    given = {"database_url": database_url, "redis_url": redis_url, "data_dir": str(tmp_path)}
    database = Database(Settings(data_dir=tmp_path, database_url=database_url).sql_url)
    migrating.upgrade(database)
    database.close()
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, json.dumps(given)],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
        cwd=Path(__file__).parents[2],
    )
    said = json.loads(done.stdout.splitlines()[-1])
    assert said["frozen"] > 10_000
    assert said | {"frozen": 0} == {"threads": 1, "connections": 0, "frozen": 0, "loaded": []}
