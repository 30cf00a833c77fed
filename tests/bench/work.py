"""Measures workers: how fast a backlog is settled.

Two processes are started on an empty queue and settle a few events, so that everything is imported
and connected. Then they are frozen, the backlog is put in, and the clock starts as they are thawed:
nobody is charged for imports, nor for how events are put in.
"""

from __future__ import annotations

import time
from dataclasses import dataclass

import psycopg

from tests.bench.hands import Bench, Hands, bench_of
from tests.bench.stage import Broken, Running, until

WARM = 64
#: Cases of the warm-up and of the backlog.
FIRST_WARM, FIRST = 1, 1_000_000
LOOK_SECONDS = 0.05
#: The product and the others have a table of this name.
SAVED = "SELECT count(*) FROM cases WHERE case_number::bigint >= %s"
#: Who settles nothing for so long has lost what is left.
PATIENCE_SECONDS = 20.0


@dataclass(frozen=True)
class Settled:
    """What became of a backlog."""

    count: int
    of: int
    seconds: float
    #: Neither settled nor under way: it will never be.
    lost: int
    calls: int
    #: Of the workers' processes, for each settled event.
    cpu_us: float

    @property
    def rate(self) -> float:
        """Events settled a second."""
        return self.count / self.seconds


def settle(
    hands: Hands, postgres_url: str, *, latency_ms: float, events: int, limit: float, processes: int
) -> Settled:
    """Give a contestant one turn: a backlog of `events`, for at most `limit` seconds."""
    with (
        bench_of(postgres_url, durable=hands.durable, latency_ms=latency_ms) as bench,
        psycopg.connect(bench.database_url, autocommit=True) as session,
    ):
        running = warm(bench, hands, session, processes)
        return measured(bench, hands, session, running, events, limit)


def warm(bench: Bench, hands: Hands, session: psycopg.Connection, processes: int) -> list[Running]:
    """Start a contestant's processes and have them settle a few events."""
    hands.prepare(bench)
    running = [hands.start(bench) for _ in range(processes)]
    until(lambda: hands.ready(bench, running), running[0])
    hands.fill(bench, FIRST_WARM, WARM)
    until(lambda: counted(session, hands.settled, FIRST_WARM) >= WARM, running[0])
    return running


def measured(
    bench: Bench,
    hands: Hands,
    session: psycopg.Connection,
    running: list[Running],
    events: int,
    limit: float,
) -> Settled:
    """Put the backlog in before frozen processes, and time what they do once they are thawed.

    Raises Broken when more is said to be settled than cases were fetched and saved.
    """
    for each in running:
        each.freeze()
    hands.fill(bench, FIRST, events)
    calls, cpu = sum(bench.calls().values()), cpu_of(running)
    for each in running:
        each.thaw()
    count, seconds, lost = watch(session, hands, events, limit)
    cpu = cpu_of(running) - cpu
    calls = sum(bench.calls().values()) - calls
    saved = counted(session, SAVED, FIRST)
    if min(saved, calls) < count:
        raise Broken(f"{hands.name}: {count} settled, {calls} calls, {saved} cases saved")
    return Settled(count, events, seconds, lost, calls, 1e6 * cpu / count)


def watch(
    session: psycopg.Connection, hands: Hands, events: int, limit: float
) -> tuple[int, float, int]:
    """Wait until all is settled, or the time is up, or nothing happens any more."""
    began = last = time.perf_counter()
    count = 0
    while True:
        time.sleep(LOOK_SECONDS)
        seen, now = counted(session, hands.settled, FIRST), time.perf_counter()
        if seen > count:
            count, last = seen, now
        if count >= events or now - began > limit:
            break
        if now - last > PATIENCE_SECONDS:
            break
    if not count:
        raise Broken(f"{hands.name}: nothing was settled in {now - began:.0f} s")
    lost = events - count if now - last > PATIENCE_SECONDS else 0
    return count, last - began, lost


def counted(session: psycopg.Connection, statement: str, first: int) -> int:
    """Count what is settled."""
    row = session.execute(statement, (first,)).fetchone()
    return int(row[0]) if row else 0


def cpu_of(running: list[Running]) -> float:
    """Add up what the processes have cost."""
    return sum(each.cpu_seconds() for each in running)
