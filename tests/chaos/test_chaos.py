"""Everything is killed, frozen and cut off at random under load: nothing lost, nothing twice."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from tests.chaos.conftest import IS_LONG
from tests.chaos.load import Size
from tests.chaos.run import Outcome, play, table
from tests.chaos.stage import Variant, raised

SHORT = Size(deliveries=120, rate=20.0, cases=12, operators=4, submissions=2)
LONG = Size(deliveries=10_000, rate=50.0, cases=80, operators=8, submissions=20)
LEASE = 10.0 if IS_LONG else 3.0
KILLS = 80 if IS_LONG else 6
PATIENCE = 180.0 if IS_LONG else 90.0
RECOVERY_SECONDS = 15.0


def judge(outcome: Outcome) -> None:
    """Assert what the house promises."""
    assert outcome.verdict.faults == {}
    assert set(outcome.said.door) <= {200, 202, 503, "no answer"}
    assert not outcome.said.strange
    assert outcome.verdict.effective <= 1
    assert not outcome.verdict.dead
    assert not outcome.times.forgotten


WORKERS = 3 if IS_LONG else 2
VARIANTS = [
    Variant("postgresql", durable=True, lease_seconds=LEASE, workers=WORKERS),
    Variant("sqlite", durable=False, lease_seconds=LEASE, workers=WORKERS),
]


@pytest.mark.timeout(1800 if IS_LONG else 240)
@pytest.mark.parametrize(
    "variant",
    VARIANTS if IS_LONG else VARIANTS[:1],
    ids=lambda variant: variant.database,
)
def test_chaos(tmp_path: Path, variant: Variant, seed: int) -> None:
    """Acknowledged is settled once, each cause has one effect, and the work of the dead goes on."""
    size = replace(LONG if IS_LONG else SHORT, seed=seed)
    with raised(tmp_path, variant, seed) as stage:
        outcome = play(stage, size, kills=KILLS, patience=PATIENCE, is_long=IS_LONG)
    print(table(f"chaos, seed {seed}: {variant.name}", outcome))  # noqa: T201
    judge(outcome)
    if IS_LONG:
        assert outcome.kills >= 60
        assert outcome.times.taken_up[-1] < RECOVERY_SECONDS
