"""The lines about growth: of the history, and of the door's memory."""

from __future__ import annotations

import tempfile
from contextlib import ExitStack
from pathlib import Path

from tests.bench import growth
from tests.bench.figures import Target, ratios
from tests.bench.options import Options
from tests.bench.results import Line, Results
from tests.servers import PostgresServer

SHORT = 10_000
MEGABYTE = 1e6


def history(results: Results, options: Options) -> None:
    """Compare the work of now, and an operator's questions, with a short and a long history."""
    long = options.history
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="amili-bench-")))
        postgres = stack.enter_context(PostgresServer())
        growth.configure(postgres)
        pair = [
            stack.enter_context(growth.history(postgres.url, count, folder, span))
            for count, span in ((SHORT, growth.SHORT_SPAN), (long, growth.LONG_SPAN))
        ]
        for each in pair:
            warm(results, each)
        for turn in range(options.rounds):
            for each in pair:
                add_turn(results, each, growth.measure(each, growth.WARM + turn))
        grown = growth.settled_bytes(pair[0])
        results.add("growth", named(SHORT), sql_bytes_a_settled_event=grown)
        for each in pair:
            add_end(results, each)
    compare(results, long)


def named(count: int) -> str:
    """Name a history."""
    return f"{count:,} stored events"


def warm(results: Results, of: growth.History) -> None:
    """Take turns until everything is compiled, connected, prepared and planned for good.

    The first is told: so much costs the first work of a new process.
    """
    first = growth.measure(of, 0)
    results.add("growth", named(of.count), first_turn_ms_an_event=first.claim_ms + first.settle_ms)
    for turn in range(1, growth.WARM):
        growth.measure(of, turn)


def add_turn(results: Results, of: growth.History, cost: growth.Cost) -> None:
    """Keep the figures of a turn."""
    results.add(
        "growth",
        named(of.count),
        claim_and_settle_ms_an_event=cost.claim_ms + cost.settle_ms,
        store_ms=cost.store_ms,
        claim_ms=cost.claim_ms,
        settle_ms=cost.settle_ms,
        show_ms=cost.show_ms,
        page_ms=cost.page_ms,
        gauges_ms=cost.gauges_ms,
    )


def add_end(results: Results, of: growth.History) -> None:
    """Keep what is measured once, at the end: how large it is, and what leaves again."""
    results.add(
        "growth",
        named(of.count),
        sql_bytes_a_stored_event=of.size() / of.stored(),
        remove_a_month_ms=growth.retire_month(of),
        remove_ms_an_event=growth.retire_some(of),
        fill_seconds=of.fill_seconds,
    )


def compare(results: Results, long: int) -> None:
    """Divide the long history by the short one; only the first line has a target of the house."""
    for figure, what in (
        ("claim_and_settle_ms_an_event", "claim + settle"),
        ("store_ms", "drain into SQL"),
        ("show_ms", "events show"),
        ("page_ms", "a page of events"),
    ):
        values = [results.of("growth", named(count), figure) for count in (long, SHORT)]
        words = f"{what} with {long:,} stored events, against {SHORT:,} (PostgreSQL)"
        results.line(Line(words, Target(1.3, at_least=False), ratios(*values)))
