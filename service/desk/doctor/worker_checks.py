"""Checks of the workers, as far as they show: RQ's heartbeats and the sweeper's lease."""

from __future__ import annotations

from service.desk.doctor.findings import Check, bounded, in_thread
from service.queue import JOBS, listening
from service.redis import connect
from service.settings import Settings
from service.store import examining
from service.store.database import Database

NAME = "workers"
START = "Start `amili-events worker`."


async def check_workers(settings: Settings, database: Database | None, redis: Check) -> Check:
    """Somebody listens on each queue, and sweeps."""
    if database is None or redis.result == "failed":
        return Check(NAME, "skipped", "It needs Redis and a database of this version.")
    return await bounded(NAME, in_thread(lambda: workers(settings, database)), START)


def workers(settings: Settings, database: Database) -> Check:
    """Look for a live worker of each queue, and for the holder of the sweeper's lease."""
    client = connect(settings.redis_url)
    try:
        found = listening(client)
    finally:
        client.close()
    idle = [f"no worker listens on {name}" for name in JOBS if not found[name]]
    with database.read() as tx:
        if not examining.is_held(tx, "sweeper"):
            idle.append("nobody sweeps")
    if idle:
        said = f"{', '.join(idle)}: what comes in waits."
        return Check(NAME, "warning", said[0].upper() + said[1:], START)
    counted = ", ".join(f"{count} on {name}" for name, count in found.items())
    return Check(NAME, "ok", f"They listen: {counted}; one sweeps.")
