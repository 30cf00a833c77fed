"""How the time of a run is shared out: a part that would take more than its own makes fewer turns.

The first turn of a part is always made, whatever it takes: `Options.limit` and the like bound it.
No part begins once all the minutes are over. A full run on an idle machine of two cores needs them.
"""

from __future__ import annotations

import time
from collections.abc import Iterator

from tests.bench.options import Options
from tests.bench.results import Results

#: Of the minutes of a whole run. What is left is for what `growth` fills in.
SHARES = {
    "door": 0.16,
    "durability": 0.05,
    "latency": 0.05,
    "work": 0.23,
    "burst": 0.03,
    "batch": 0.06,
    "sizing": 0.06,
    "memory": 0.15,
}


def turns(results: Results, options: Options, part: str) -> Iterator[int]:
    """Count a part's turns, from 0, until they are made or one more would not fit."""
    given = SHARES[part] * options.minutes * 60
    began = time.monotonic()
    for made in range(options.rounds):
        used = time.monotonic() - began
        if made and used * (made + 1) / made > given:
            results.skip(f"{part}: {options.rounds - made} of {options.rounds} turns", "no time")
            return
        yield made


def is_time(results: Results, options: Options, part: str) -> bool:
    """Say whether a part may still begin; tell when it may not."""
    if time.time() - results.began < options.minutes * 60:
        return True
    results.skip(part, f"the {options.minutes:g} minutes are over")
    return False
