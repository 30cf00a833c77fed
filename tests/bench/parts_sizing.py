"""The sizing table, and where the time goes: what a door and a worker do, hold and leave behind."""

from __future__ import annotations

from tests.bench import door, doors, plan, profile, sizing
from tests.bench.options import BUILD, Options
from tests.bench.results import Results
from tests.servers import PostgresServer

#: Milliseconds in which Amili answers; a door does not ask it.
LATENCIES = (0.0, 20.0, 100.0)
WAITING = 20_000
MEGABYTE = 1e6


def table(results: Results, options: Options) -> None:
    """Measure what a cluster is sized by."""
    with PostgresServer() as postgres:
        for _ in plan.turns(results, options, "sizing"):
            one_door(results, options)
            for latency in LATENCIES:
                one_worker(results, options, postgres.url, latency)
            left = sizing.waiting(min(WAITING, 4 * options.events))
            results.add("bytes", "Redis, an event that waits", bytes_an_event=left.waiting)
            name = "Redis, an event that is stored, until its key expires"
            results.add("bytes", name, bytes_an_event=left.stored)


def one_door(results: Results, options: Options) -> None:
    """Measure one door process."""
    taken = door.fastest(doors.OURS, options.seconds, options.connections)
    results.add(
        "sizing",
        "a door, one process",
        events_a_second=taken.loaded.rate,
        all_processes_mb=taken.peak / MEGABYTE,
        cpu_us_an_event=taken.cpu_us,
    )
    results.add("processes", "door", most_mb=taken.peak / MEGABYTE)


def one_worker(results: Results, options: Options, url: str, latency: float) -> None:
    """Measure one worker: supervisor, events, actions, sweeper."""
    seen = sizing.worker(url, latency, options.events, options.limit)
    results.add(
        "sizing",
        f"a worker, Amili answers in {latency:g} ms",
        events_a_second=seen.settled.rate,
        all_processes_mb=seen.together / MEGABYTE,
        cpu_us_an_event=seen.settled.cpu_us,
    )
    for kind, size in seen.processes.items():
        results.add("processes", f"worker: {kind}", most_mb=size / MEGABYTE)
    if seen.settled.count == seen.settled.of:
        results.add(
            "bytes", "SQL, a settled event and its key", bytes_an_event=seen.delivered_bytes
        )
        results.add("bytes", "SQL, its case, when it is new", bytes_an_event=seen.known_bytes)


def profiles(results: Results, options: Options) -> None:
    """Record where door and worker spend their time, once each."""
    BUILD.mkdir(parents=True, exist_ok=True)
    found = {"door": profile.door(BUILD, options.seconds, options.connections)}
    with PostgresServer() as postgres:
        found["worker"] = profile.worker(BUILD, postgres.url, options.events, options.limit)
    for name, folded in found.items():
        for section, of in (("profile", profile.ours_in), ("profile_leaves", profile.leaf_of)):
            for function, share in profile.shares(folded, of):
                results.add(section, f"{name}: {function}", percent_of_samples=100 * share)
