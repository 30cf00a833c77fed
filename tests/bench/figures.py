"""Medians, spread and ratios. Pure."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median


def percentile(ordered: Sequence[float], share: float) -> float:
    """Return the value below or at which this share of the ordered values lies; 0 of none."""
    if not ordered:
        return 0.0
    return ordered[min(len(ordered) - 1, max(0, math.ceil(share * len(ordered)) - 1))]


@dataclass(frozen=True)
class Spread:
    """What several rounds gave."""

    median: float
    least: float
    most: float
    rounds: int

    @classmethod
    def of(cls, values: Sequence[float]) -> Spread:
        """Take the median and the ends; ValueError for none."""
        if not values:
            raise ValueError("no round gave a figure")
        return cls(median(values), min(values), max(values), len(values))

    def told(self, digits: int = 0) -> str:
        """Write it: the median, and where the rounds differ their ends."""
        words = f"{self.median:,.{digits}f}"
        if self.rounds > 1:
            words += f" ({self.least:,.{digits}f} to {self.most:,.{digits}f})"
        return words


def ratios(ours: Sequence[float], theirs: Sequence[float]) -> list[float]:
    """Divide round by round: neighbours in time share the machine's mood.

    Where a round is missing nobody has a neighbour: the medians are divided.
    """
    if len(ours) != len(theirs):
        ours, theirs = ([median(each)] if each else [] for each in (ours, theirs))
    return [a / b for a, b in zip(ours, theirs, strict=False) if b > 0]


@dataclass(frozen=True)
class Target:
    """What a line of the table is to show."""

    bound: float
    #: The figure is to be at least the bound; otherwise at most.
    at_least: bool

    def reached(self, value: float) -> bool:
        """Say whether a figure is good enough."""
        return value >= self.bound if self.at_least else value <= self.bound

    def verdict(self, value: float) -> str:
        """Say `reached`, or by how much it is missed."""
        if self.reached(value):
            return "reached"
        missing = abs(value - self.bound) / self.bound if self.bound else math.inf
        return f"missed by {missing:.0%}"

    def told(self) -> str:
        """Write the target."""
        return f"{'≥' if self.at_least else '≤'} {self.bound:g}"
