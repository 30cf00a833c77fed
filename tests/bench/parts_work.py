"""The workers' lines: a backlog, a burst on few cases, a large batch."""

from __future__ import annotations

from tests.bench import batches, hands, plan, work
from tests.bench.figures import Target, ratios
from tests.bench.options import Options
from tests.bench.results import Line, Results
from tests.servers import PostgresServer

PROCESSES = 2
HANDS = (hands.OURS, hands.RQ, hands.CELERY, hands.DRAMATIQ, hands.ARQ)
TARGETS = {50.0: 10.0, 0.0: 5.0}
MEGABYTE = 1e6
#: Of `limit`, for one large batch.
BATCH_TURNS = 16


def backlog(results: Results, options: Options) -> None:
    """Measure settled events a second, at each latency of Amili."""
    with PostgresServer() as postgres:
        able = [each for each in HANDS if is_able(results, each)]
        for _ in plan.turns(results, options, "work"):
            for latency in options.latencies:
                for each in able:
                    one(results, options, postgres.url, each, latency)
    for latency, bound in TARGETS.items():
        if latency in options.latencies:
            ours, theirs = (
                results.of("work", titled(each, latency), "settled_a_second")
                for each in (hands.OURS, hands.RQ)
            )
            words = f"{options.events} events on as many cases, Amili answers in {latency:g} ms"
            target = Target(bound, at_least=True)
            detail = "settled a second, against (b)"
            results.line(Line(words, target, ratios(ours, theirs), detail))


def is_able(results: Results, each: hands.Hands) -> bool:
    """Say whether this one can take part here; tell why it cannot."""
    if why := each.lack():
        results.skip(f"work: {each.name}", why)
    return not why


def titled(each: hands.Hands, latency: float) -> str:
    """Name a contestant at a latency."""
    return f"{each.name}, {latency:g} ms"


def one(results: Results, options: Options, url: str, each: hands.Hands, latency: float) -> None:
    """Give one contestant one turn."""
    name = titled(each, latency)
    try:
        settled = work.settle(
            each,
            url,
            latency_ms=latency,
            events=options.events,
            limit=options.limit,
            processes=PROCESSES,
        )
    except Exception as exc:  # one that fails must not end the others
        results.fail(f"work: {name}", exc)
        return
    results.notes["work", name] = each.words
    if settled.lost:
        results.fail(f"work: {name}", f"lost {settled.lost} of {settled.of} events")
    results.add(
        "work",
        name,
        settled_a_second=settled.rate,
        settled=settled.count,
        calls_an_event=settled.calls / settled.count,
        cpu_us_an_event=settled.cpu_us,
    )


def burst(results: Results, options: Options) -> None:
    """Measure how many calls a burst of events on few cases costs."""
    with PostgresServer() as postgres:
        for _ in plan.turns(results, options, "burst"):
            seen = batches.burst(postgres.url)
            results.add(
                "burst",
                "ours",
                calls_an_event=seen.calls / seen.events,
                calls=seen.calls,
                seconds=seen.seconds,
            )
    words = f"{batches.BURST_EVENTS} CASE_UPDATED over {batches.BURST_CASES} cases: calls an event"
    found = results.of("burst", "ours", "calls_an_event")
    detail = f"delivered at {batches.BURST_RATE} a second while two workers run"
    results.line(Line(words, Target(0.1, at_least=False), found, detail, digits=3))


def batch(results: Results, options: Options) -> None:
    """Measure time and memory of a large batch."""
    with PostgresServer() as postgres:
        for _ in plan.turns(results, options, "batch"):
            seen = batches.batch(postgres.url, options.invoices, BATCH_TURNS * options.limit)
            results.add(
                "batch",
                "ours",
                seconds=seen.seconds,
                ideal_seconds=seen.ideal,
                times_the_ideal=seen.seconds / seen.ideal,
                calls_an_invoice=seen.calls / options.invoices,
                **{f"calls_for_{kind}": number for kind, number in seen.kinds.items()},
                largest_process_mb=seen.peak / MEGABYTE,
                all_processes_mb=seen.together / MEGABYTE,
            )
            for kind, size in seen.processes.items():
                results.add("processes", f"worker, large batch: {kind}", most_mb=size / MEGABYTE)
    words = f"a batch of {options.invoices} invoices, 50 ms a call: time, against the ideal"
    detail = "the ideal: calls, by latency, through a concurrency of 32; one worker"
    found = results.of("batch", "ours", "times_the_ideal")
    results.line(Line(words, Target(1.3, at_least=False), found, detail))
    words = f"worker: peak with {options.invoices}-invoice batches, MB"
    detail = "the most that its largest process, a job's child, has held"
    found = results.of("batch", "ours", "largest_process_mb")
    results.line(Line(words, Target(200, at_least=False), found, detail, digits=0))
