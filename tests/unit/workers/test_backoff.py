"""Which failures are attempts, and how soon one looks again: laws of the back-off."""

from __future__ import annotations

import random
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.domain.entities import Cause, Claim, EntityKey, Kind, Read
from service.domain.pausing import PATIENCE
from service.errors import (
    AmiliEventsError,
    Conflict,
    ContractBroken,
    Invalid,
    NotFound,
    NotShown,
    NotYet,
    ProviderUnreachable,
    WorkerDied,
)
from workers import backoff

NOON = datetime(2026, 5, 1, 12, tzinfo=UTC)
SECONDS = st.floats(0, 10_000).map(lambda seconds: timedelta(seconds=seconds))
ABSENT = [NotFound(), NotShown()]


def claim(*told: timedelta | None) -> Claim:
    """Claim a batch that has been told of at these times after noon."""
    causes = [
        Cause("BATCH_COMPLETED", row, told_at=None if after is None else NOON + after)
        for row, after in enumerate(told)
    ]
    return Claim(
        EntityKey(Kind.BATCH, "b-1"), None, None, 1, 1, "me", 0, 0, 0, events=tuple(causes)
    )


@pytest.mark.parametrize("error", ABSENT)
@given(told=st.lists(SECONDS, min_size=1), after=SECONDS, lag=SECONDS)
def test_absence_proves_something_only_later(
    error: AmiliEventsError, told: list[timedelta], after: timedelta, lag: timedelta
) -> None:
    """«There is none» counts exactly from some read lags after the first word of it."""
    read = Read(1, NOON + after)
    lags = backoff.may_lag(error, claim(*told), read, lag)
    assert lags == (after < min(told) + PATIENCE * lag)
    assert backoff.counts(error)


@pytest.mark.parametrize(
    "error",
    [
        NotYet(),
        Invalid(),
        Conflict(),
        ContractBroken(),
        ProviderUnreachable(),
        WorkerDied(),
        ValueError(),
    ],
)
def test_nothing_else_is_excused(error: Exception) -> None:
    """What fails otherwise is no matter of a read that lags."""
    lag = timedelta(seconds=10)
    assert not backoff.may_lag(error, claim(timedelta()), Read(1, NOON), lag)


@pytest.mark.parametrize("error", ABSENT)
def test_who_was_told_of_by_nobody_is_not_excused(error: AmiliEventsError) -> None:
    """Without a time there is no lag to wait for; without a lag neither."""
    lag = timedelta(seconds=10)
    for nobody in (claim(), claim(None)):
        assert not backoff.may_lag(error, nobody, Read(1, NOON), lag)
    assert backoff.may_lag(error, claim(None, timedelta()), Read(1, NOON), lag)
    assert not backoff.may_lag(error, claim(timedelta()), Read(1, NOON), timedelta())


@given(seed=st.integers(0, 2**32), lag=st.floats(0.1, 60))
def test_few_looks_and_none_late(seed: int, lag: float) -> None:
    """What lags is found before half of its age again has gone by, in a handful of looks."""
    chance, age, looks = random.Random(seed), timedelta(), 0
    while age < timedelta(seconds=lag):
        wait = backoff.soon(age, chance)
        assert timedelta(seconds=0.5) <= wait <= max(timedelta(seconds=1), age / 2)
        age, looks = age + wait, looks + 1
    assert looks <= 22
