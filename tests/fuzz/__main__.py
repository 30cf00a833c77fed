"""`make fuzz`: every part at its full size, and a table.

make fuzz                                 all parts, seed 1
make fuzz ARGS="--seed 7 --only inside"   one part, with another seed: what a table names
make fuzz ARGS="--times 0.1"              all parts, a tenth of the inputs
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path

import hypothesis

from tests.fuzz import api, guided, inside, wire
from tests.fuzz.report import Part, row, table
from tests.fuzz.stage import stores

INSIDE, WIRE, GUIDED, EXAMPLES = 60_000, 36_000, 30_000, 60


def door_inside(folder: Path, seed: int, times: float) -> Part:
    """Ask the door in this process."""
    with stores(folder) as place:
        return inside.run(place, int(INSIDE * times), seed)


def door_wire(folder: Path, seed: int, times: float) -> Part:
    """Ask the door over sockets."""
    with stores(folder) as place:
        return wire.run(place, int(WIRE * times), seed)


def api_of(kind: str) -> Callable[[Path, int, float], Part]:
    """Make the part that asks the API on this database."""

    def run(folder: Path, seed: int, times: float) -> Part:
        with api.database_of(kind) as url, stores(folder, url) as place:
            return api.run(place, kind, max(1, int(EXAMPLES * times)), seed)

    return run


def guided_by_coverage(folder: Path, seed: int, times: float) -> Part:
    """Fuzz parsing and signing."""
    return guided.run(int(GUIDED * times), seed, folder)


def kept_and_large(folder: Path, seed: int, times: float) -> Part:
    """Give the inputs that are kept, and the large ones, to their targets."""
    return guided.replay()


PARTS: Mapping[str, Callable[[Path, int, float], Part]] = {
    "inside": door_inside,
    "wire": door_wire,
    "api": api_of("sqlite"),
    "api-postgresql": api_of("postgresql"),
    "guided": guided_by_coverage,
    "large": kept_and_large,
}


def main() -> int:
    """Run what is asked for; 1: there were faults."""
    reader = argparse.ArgumentParser(prog="make fuzz ARGS=")
    reader.add_argument("--seed", type=int, default=1, help="of everything left to chance")
    reader.add_argument("--only", choices=PARTS, action="append", help="parts to run")
    reader.add_argument("--times", type=float, default=1.0, help="so many times the inputs")
    asked = reader.parse_args()
    hypothesis.settings.register_profile("fuzz", deadline=None, database=None)
    hypothesis.settings.load_profile("fuzz")
    done = []
    with tempfile.TemporaryDirectory(prefix="amili-fuzz-") as folder:
        for name in asked.only or PARTS:
            print(f"fuzz: {name} …", file=sys.stderr, flush=True)  # noqa: T201
            done.append(PARTS[name](Path(folder) / name, asked.seed, asked.times))
            print(row(done[-1]), file=sys.stderr, flush=True)  # noqa: T201
    print(table(done, asked.seed))  # noqa: T201
    return int(any(part.faults for part in done))


if __name__ == "__main__":
    sys.exit(main())
