"""A burst of events on few cases, and one batch of very many invoices."""

from __future__ import annotations

import time
from dataclasses import dataclass

import psycopg

from tests.bench import bodies, hands
from tests.bench.hands import Bench, bench_of
from tests.bench.stage import Broken, Running, until
from tests.bench.watching import Watch

BURST_EVENTS, BURST_CASES, BURST_RATE = 10_000, 100, 1_000
BURST_LATENCY_MS = 20.0
BATCH_LATENCY_MS = 50.0
BATCH_CONCURRENCY = 32
LOOK_SECONDS = 0.05
BURST_SECONDS = 120.0

SETTLED = "SELECT count(*) FROM events WHERE state = 'settled'"
INVOICES = "SELECT count(*) FROM invoices"
DUE = "SELECT count(*) FROM entities WHERE wanted > done"


@dataclass(frozen=True)
class Burst:
    """What a burst has cost."""

    events: int
    calls: int
    seconds: float


@dataclass(frozen=True)
class Batch:
    """What a large batch has cost; memory in bytes."""

    calls: int
    #: Calls of each kind, those of the warm-up included.
    kinds: dict[str, int]
    seconds: float
    ideal: float
    #: Resident memory of the largest process, all processes together, and the largest of each kind.
    peak: int
    together: int
    processes: dict[str, int]


def count(session: psycopg.Connection, statement: str) -> int:
    """Count."""
    row = session.execute(statement).fetchone()
    return int(row[0]) if row else 0


def started(bench: Bench, processes: int) -> list[Running]:
    """Start our workers on an empty queue, and wait until they are ready."""
    hands.OURS.prepare(bench)
    running = [hands.OURS.start(bench) for _ in range(processes)]
    until(lambda: hands.OURS.ready(bench, running), running[0])
    return running


def burst(postgres_url: str) -> Burst:
    """Deliver many events on few cases while two workers run."""
    with bench_of(postgres_url, durable=True, latency_ms=BURST_LATENCY_MS) as bench:
        running = started(bench, 2)
        began = time.perf_counter()
        made = (
            bodies.case_updated(time.time_ns(), n, 1 + n % BURST_CASES) for n in range(BURST_EVENTS)
        )
        hands.deliver(bench, made, BURST_EVENTS, BURST_RATE)
        with psycopg.connect(bench.database_url, autocommit=True) as session:
            until(
                lambda: count(session, SETTLED) == BURST_EVENTS and not count(session, DUE),
                running[0],
                BURST_SECONDS,
            )
        return Burst(BURST_EVENTS, sum(bench.calls().values()), time.perf_counter() - began)


def batch(postgres_url: str, invoices: int, limit: float) -> Batch:
    """Have one worker settle one batch of very many invoices."""
    latency = BATCH_LATENCY_MS
    with (
        bench_of(postgres_url, durable=True, latency_ms=latency, invoices=invoices) as bench,
        psycopg.connect(bench.database_url, autocommit=True) as session,
    ):
        running = started(bench, 1)
        hands.OURS.fill(bench, 1_000_000, 1)  # everything is connected once
        until(lambda: count(session, SETTLED) == 1 and not count(session, DUE), running[0])
        warm = sum(bench.calls().values())
        for each in running:
            each.freeze()
        hands.deliver(bench, iter([bodies.batch_completed(time.time_ns(), 1)]), 1)
        with Watch(running) as watch:
            began = time.perf_counter()
            for each in running:
                each.thaw()
            wait_for_batch(session, invoices, limit)
            seconds = time.perf_counter() - began
        calls = sum(bench.calls().values()) - warm
        ideal = calls * latency / 1000 / BATCH_CONCURRENCY
        kinds = bench.calls()
        return Batch(calls, kinds, seconds, ideal, watch.peak, watch.together, watch.kinds)


def wait_for_batch(session: psycopg.Connection, invoices: int, limit: float) -> None:
    """Wait until every invoice of the batch is read. Raises Broken when the time is up."""
    until_when = time.monotonic() + limit
    while count(session, INVOICES) < invoices or count(session, DUE):
        if time.monotonic() > until_when:
            read = count(session, INVOICES)
            raise Broken(f"{read} of {invoices} invoices were read in {limit:g} s")
        time.sleep(LOOK_SECONDS)
