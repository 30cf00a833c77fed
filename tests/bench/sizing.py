"""What a cluster is sized by: what one worker settles and holds, and bytes in Redis and in SQL."""

from __future__ import annotations

from dataclasses import dataclass

import psycopg

from service.inbox import keys
from service.redis import connect
from tests.bench import door, doors, hands, load, work
from tests.bench.hands import bench_of
from tests.bench.stage import Broken
from tests.bench.watching import Watch

CONNECTIONS = 32
SECONDS = 60.0
#: Tables that hold what was delivered; the others hold what is known of cases.
DELIVERED = ("event_keys", "events")
SIZES = """
SELECT relname, pg_total_relation_size(oid) FROM pg_class
WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace
"""


@dataclass(frozen=True)
class Worker:
    """What one worker did, and held: bytes of memory, and SQL bytes for each event."""

    settled: work.Settled
    together: int
    processes: dict[str, int]
    delivered_bytes: float
    known_bytes: float


@dataclass(frozen=True)
class Waiting:
    """Redis bytes for each event: while it waits, and what is left of it once it is stored."""

    waiting: float
    stored: float


def worker(postgres_url: str, latency_ms: float, events: int, limit: float) -> Worker:
    """Have one worker settle a backlog, each event about a case that is new."""
    with (
        bench_of(postgres_url, durable=True, latency_ms=latency_ms) as bench,
        psycopg.connect(bench.database_url, autocommit=True) as session,
    ):
        running = work.warm(bench, hands.OURS, session, 1)
        before = sizes(session)
        with Watch(running) as watch:
            settled = work.measured(bench, hands.OURS, session, running, events, limit)
        grown = {name: size - before.get(name, 0) for name, size in sizes(session).items()}
        delivered = sum(size for name, size in grown.items() if name.startswith(DELIVERED))
        known = sum(grown.values()) - delivered
        # The whole backlog is stored at once, whatever is settled of it by then.
        return Worker(settled, watch.together, watch.kinds, delivered / events, known / events)


def sizes(session: psycopg.Connection) -> dict[str, int]:
    """Read the bytes of every table, its indexes included."""
    return {str(name): int(size) for name, size in session.execute(SIZES).fetchall()}


def waiting(events: int) -> Waiting:
    """Let so many events wait in Redis, and look what they take."""
    with door.opened(doors.OURS, door.seed()) as it, connect(it.redis_url) as client:
        it.prepare(events)
        before = used(client.info("memory"))
        loaded = load.steady(it.aim, 0, SECONDS, CONNECTIONS)
        if not loaded.good == int(client.xlen(keys.STREAM)) == events:
            raise Broken(f"the door took {loaded.good} of {events}: {loaded.note}")
        full = used(client.info("memory"))
        client.xtrim(keys.STREAM, maxlen=0, approximate=False)
        stored = used(client.info("memory"))
    return Waiting((full - before) / events, (stored - before) / events)


def used(said: object) -> int:
    """Read what Redis holds."""
    if not isinstance(said, dict):
        raise Broken(f"Redis told nothing of its memory: {said!r}")
    return int(said["used_memory"])
