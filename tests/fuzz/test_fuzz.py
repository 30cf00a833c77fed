"""The fuzz run in short, as part of all tests; `make fuzz` is the long one."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.fuzz import api, guided, inside, wire
from tests.fuzz.report import Part, table
from tests.fuzz.stage import stores

SEED = 1
INSIDE, WIRE = 1_200, 600
#: A deadline and no measurement: work that grows with the square of a MiB takes minutes.
SECONDS = 20.0


def judge(part: Part, least: int) -> None:
    """Assert that inputs were given, and that none found a fault."""
    print(table([part], SEED))  # noqa: T201
    assert part.inputs >= least
    assert part.faults == []


def test_the_door_inside(tmp_path: Path) -> None:
    """Odd and whole deliveries: each has the answer that the oracle says, and is in the stream."""
    with stores(tmp_path / "stores") as place:
        part = inside.run(place, INSIDE, SEED)
    judge(part, INSIDE)
    assert part.statuses["202"] > INSIDE // 20
    assert not {"500", "503"} & set(part.statuses)


def test_the_door_over_sockets(tmp_path: Path) -> None:
    """What is not even HTTP ends no door, and no log and no quarantine grows by it."""
    with stores(tmp_path / "stores") as place:
        part = wire.run(place, WIRE, SEED)
    judge(part, WIRE)


def test_kept_and_large_inputs() -> None:
    """What once was worth keeping, and a MiB of the most costly: nothing is raised or runs on."""
    judge(guided.replay(SECONDS), 100)


@pytest.mark.timeout(240)
def test_the_api_is_as_described(tmp_path: Path) -> None:
    """Right and wrong data to every operation: no answer that the document does not tell."""
    with stores(tmp_path / "stores") as place:
        part = api.run(place, "sqlite", 1, SEED)
    judge(part, 500)
    assert not [status for status in part.statuses if status >= "500"]
