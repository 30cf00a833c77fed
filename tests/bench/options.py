"""What a run is asked to do."""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from pathlib import Path

from tests.bench.stage import CHECKOUT

PARTS = (
    *("door", "durability", "latency", "work", "burst", "batch", "sizing", "growth", "memory"),
    "profile",
)
#: Where everything goes that is not to be kept.
BUILD = CHECKOUT / "build" / "bench"


@dataclass(frozen=True)
class Options:
    """One run's words."""

    only: tuple[str, ...]
    minutes: float
    rounds: int
    seconds: int
    connections: int
    events: int
    limit: float
    latencies: tuple[float, ...]
    invoices: int
    history: int
    webhooks: int
    folder: Path


def read(words: list[str]) -> Options:
    """Read the command line; everything is bounded."""
    parser = argparse.ArgumentParser(
        prog="make bench", description="Measures the product against others, on this machine."
    )
    add = parser.add_argument
    add("--only", default=",".join(PARTS), help=f"some of: {', '.join(PARTS)}")
    add("--minutes", type=within(1, 600), default=35, help="of everything, about: fewer turns else")
    add("--rounds", type=within(1, 50), default=3, help="turns of each contestant, A B A B")
    add("--seconds", type=within(1, 120), default=6, help="of each turn at a door")
    add("--connections", type=within(1, 1024), default=32)
    add("--events", type=within(10, 100_000), default=5_000, help="the workers' backlog")
    add("--limit", type=within(5, 600), default=15, help="seconds of a worker's turn, at most")
    add("--latencies", default="0,50", help="milliseconds in which Amili answers")
    add("--invoices", type=within(10, 100_000), default=10_000, help="in the large batch")
    add("--history", type=within(10_000, 100_000_000), default=10_000_000, help="stored events")
    add("--webhooks", type=within(1_000, 10_000_000), default=1_000_000, help="for the memory")
    add("--folder", type=Path, default=BUILD, help="of JSON, Markdown and picture")
    asked = parser.parse_args(words)
    only = tuple(word for word in asked.only.split(",") if word)
    if unknown := set(only) - set(PARTS):
        parser.error(f"--only: {', '.join(sorted(unknown))}; the parts are {', '.join(PARTS)}")
    latencies = tuple(float(each) for each in asked.latencies.split(","))
    return Options(**{**vars(asked), "only": only, "latencies": latencies})


def within(least: int, most: int) -> type[int]:
    """Make a reader of whole numbers between two bounds."""

    def bounded(said: str) -> int:
        if not least <= int(said) <= most:
            raise argparse.ArgumentTypeError(f"from {least} to {most}")
        return int(said)

    return bounded  # type: ignore[return-value] # argparse takes any callable
