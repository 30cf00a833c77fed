"""Chance in a simulation: which faults there are, how often, and when everything is down."""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from typing import Literal

from tests.simulation.clockwork import Process

Medium = Literal["sql", "redis", "http"]
Fate = Literal["", "before", "after"]
MEDIA: tuple[Medium, ...] = ("sql", "redis", "http")
#: How many times as often something goes wrong with a call that changes something.
DANGER = 4.0
#: How often a step meets a fault, from never to often.
RATES = (0.0, 0.003, 0.01, 0.03, 0.06, 0.12)
#: Calls to Amili are few, and what they bring about cannot be taken back.
CALL_RATES = (0.0, 0.02, 0.05, 0.1, 0.15, 0.2)


@dataclass
class Dice:
    """Everything that a seed decides about faults; after `quiet_from` there are none."""

    chance: random.Random
    crash: dict[str, float] = field(default_factory=dict)
    fail: dict[str, float] = field(default_factory=dict)
    stall: dict[str, float] = field(default_factory=dict)
    #: (medium, from, until) in which it does not answer at all.
    outages: list[tuple[str, float, float]] = field(default_factory=list)
    quiet_from: float = 0.0
    trace: list[str] = field(default_factory=list)

    @classmethod
    def thrown(cls, chance: random.Random, start: float, until: float) -> Dice:
        """Throw the rates of one simulation."""
        dice = cls(chance, quiet_from=until)
        is_slow = chance.random() < 0.3
        for medium in MEDIA:
            rates = CALL_RATES if medium == "http" else RATES
            dice.crash[medium] = chance.choice(rates[:-1])
            dice.fail[medium] = chance.choice(rates)
            dice.stall[medium] = chance.choice(RATES if is_slow else RATES[:-2])
            if chance.random() < 0.2:
                begins = chance.uniform(start, until)
                dice.outages.append((medium, begins, begins + chance.uniform(1, 30)))
        return dice

    def is_quiet(self, now: float) -> bool:
        """Say whether the time of faults is over."""
        return now >= self.quiet_from

    def happens(
        self, rates: dict[str, float], medium: str, now: float, *, times: float = 1.0
    ) -> bool:
        """Say whether a fault strikes now; `times` as often where it is most dangerous."""
        rate = rates.get(medium, 0.0) * times
        return rate > 0 and not self.is_quiet(now) and self.chance.random() < rate

    def is_down(self, medium: str, now: float) -> bool:
        """Say whether a medium does not answer now."""
        if self.is_quiet(now):
            return False
        return any(name == medium and a <= now < b for name, a, b in self.outages)

    def latency(self) -> float:
        """Return the seconds that an ordinary step takes."""
        return self.chance.expovariate(500.0)

    def standstill(self) -> float:
        """Return for how long a process stands still: often longer than a lease."""
        return self.chance.choice((0.5, 3.0, 11.0, 14.0, 25.0, 45.0)) * self.chance.uniform(
            0.8, 1.2
        )

    def note(self, process: Process, words: str) -> None:
        """Remember what happened, for whoever reads a failure."""
        self.trace.append(f"{process.clockwork.now - 1.7e9:10.3f} {process.name:8} {words}")

    def fate(self, process: Process, medium: Medium) -> Fate:
        """Let a step begin: it may crash or stall here; say how it will fail, if it will."""
        process.pause(self.latency())
        now = process.clockwork.now
        if self.happens(self.stall, medium, now):
            self.note(process, f"stands still before {medium}")
            process.pause(self.standstill())
        now = process.clockwork.now
        if self.happens(self.crash, medium, now, times=danger(process)):
            self.note(process, f"crashes before {medium}")
            process.crash()
        if self.is_down(medium, now):
            return "before"
        if self.happens(self.fail, medium, now):
            return "before" if self.chance.random() < 0.5 else "after"
        return ""

    def done(self, process: Process, medium: Medium) -> None:
        """Let a step end after its effect: it may crash or stall here."""
        now = process.clockwork.now
        if self.happens(self.crash, medium, now, times=danger(process)):
            self.note(process, f"crashes after {medium}")
            process.crash()
        if self.happens(self.stall, medium, now):
            self.note(process, f"stands still after {medium}")
            process.pause(self.standstill())


def danger(process: Process) -> float:
    """Say how much more often a process crashes: those that call Amili do few steps, and grave."""
    return DANGER if process.name.startswith("actions") else 1.0
