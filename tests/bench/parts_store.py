"""The lines about growth: of the history, and of the door's memory."""

from __future__ import annotations

import tempfile
from contextlib import ExitStack
from pathlib import Path

from tests.bench import growth, memory
from tests.bench.figures import Target, ratios
from tests.bench.options import Options
from tests.bench.results import Line, Results
from tests.bench.stage import Broken
from tests.servers import PostgresServer

SHORT = 10_000
MEGABYTE = 1e6


def history(results: Results, options: Options) -> None:
    """Compare claim and settle with a short and with a long history."""
    long = options.history
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="amili-bench-")))
        postgres = stack.enter_context(PostgresServer())
        pair = {
            count: stack.enter_context(growth.history(postgres.url, count, folder))
            for count in (SHORT, long)
        }
        for parts in pair.values():
            growth.measure(parts, 0)  # everything is compiled, connected and prepared once
        for turn in range(1, options.rounds + 1):
            for count, parts in pair.items():
                cost = growth.measure(parts, turn)
                results.add(
                    "growth",
                    f"{count:,} stored events",
                    claim_and_settle_ms_an_event=cost.claim_ms + cost.settle_ms,
                    store_ms=cost.store_ms,
                    claim_ms=cost.claim_ms,
                    settle_ms=cost.settle_ms,
                )
    short_ms, long_ms = (
        results.of("growth", f"{count:,} stored events", "claim_and_settle_ms_an_event")
        for count in (SHORT, long)
    )
    words = f"claim + settle with {long:,} stored events, against {SHORT:,} (PostgreSQL)"
    results.line(Line(words, Target(1.3, at_least=False), ratios(long_ms, short_ms)))


def resident(results: Results, options: Options) -> None:
    """Measure how the door grows. Once: it is long enough."""
    try:
        seen = memory.grow(options.webhooks)
    except Broken as exc:
        results.fail("memory", exc)
        return
    results.add(
        "memory",
        "ours, the door",
        growth_mb=(seen.after - seen.before) / MEGABYTE,
        before_mb=seen.before / MEGABYTE,
        after_mb=seen.after / MEGABYTE,
    )
    words = f"door: growth of resident memory over {seen.webhooks:,} webhooks, MB"
    found = results.of("memory", "ours, the door", "growth_mb")
    detail = "after the first twentieth of them, to the end"
    results.line(Line(words, Target(10, at_least=False), found, detail, digits=1))
