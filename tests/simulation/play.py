"""Plays one seed: the house, its scenario, the faults, the quiet after them, the verdict."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

from tests.simulation.house import House
from tests.simulation.oracle import judge
from tests.simulation.patches import in_house
from tests.simulation.scenario import Scenario
from tests.simulation.sql import Memory


@dataclass(frozen=True)
class Verdict:
    """What the oracle says of one seed."""

    seed: int
    wrong: tuple[str, ...]
    #: What happened, for whoever looks into it; the same for the same seed, always.
    trace: tuple[str, ...]
    #: Virtual seconds, turns of processes, calls that arrived, deliveries acknowledged.
    seconds: float
    turns: int
    calls: int
    deliveries: int
    #: Effects at Amili, by word.
    seen: dict[str, int]


def play(seed: int, memory: Memory) -> Verdict:
    """Play one seed. Runs inside `exchanged`."""
    house = House(seed, memory)
    driver = house.clockwork.adopt("amili")
    house.amili.driver = driver
    began = house.clockwork.now
    with in_house(house):
        scenario = Scenario(house)
        try:
            scenario.throw()
            house.open()
            house.start("operator", scenario.operator)
            is_quiet = scenario.drive(driver)
        finally:
            house.clockwork.end()
        wrong = judge(house, scenario, is_quiet=is_quiet)
    return Verdict(
        seed,
        tuple(wrong),
        tuple(house.dice.trace),
        house.clockwork.now - began,
        house.clockwork.turns,
        len(house.amili.seen),
        len(house.acknowledged),
        dict(Counter(seen.effect for seen in house.amili.seen)),
    )
