"""How long to wait after a failure: exponential, with full jitter. Pure but for the dice."""

from __future__ import annotations

import random
from datetime import timedelta

from service.domain.entities import Claim, Read
from service.domain.pausing import PATIENCE
from service.errors import (
    CircuitOpen,
    ContractBroken,
    NotFound,
    NotShown,
    NotYet,
    ProviderError,
    ProviderRefused,
    StoreRefused,
)

FIRST_SECONDS = 1.0
LONGEST_SECONDS = 900.0
#: While Amili is away everybody waits; nobody needs to wait longer than this for its return.
LONGEST_AWAY_SECONDS = 30.0
SHORTEST_SECONDS = 0.2
#: Nothing that is not shown yet is asked for more often than so.
SHOWN_AT_BEST = timedelta(seconds=2)


def counts(error: Exception) -> bool:
    """Say whether a failure is an attempt: not while Amili is away, busy, or denies everybody."""
    if isinstance(error, (ProviderRefused, ContractBroken)):
        return True
    return not (isinstance(error, ProviderError) and error.retryable)


def wait(error: Exception, failures: int, chance: random.Random) -> timedelta:
    """Return how long to wait after `failures` failures in a row."""
    told = getattr(error, "retry_after", None)
    if told is not None:
        # Everybody is told the same: spread them a little. Who finds a breaker open need not be
        # spread, it lets one at a time through; and a pause is to leave soon after it closes.
        spread = SHORTEST_SECONDS if isinstance(error, CircuitOpen) else 1.0
        return timedelta(seconds=float(told) + chance.uniform(0, spread))
    longest = LONGEST_SECONDS if counts(error) else LONGEST_AWAY_SECONDS
    bound = min(longest, FIRST_SECONDS * 2.0 ** min(failures, 20))
    return timedelta(seconds=max(SHORTEST_SECONDS, chance.uniform(0, bound)))


def may_lag(error: Exception, claim: Claim, read: Read, lag: timedelta) -> bool:
    """Say whether «there is none» proves nothing: it was told of a moment before the read began.

    A read may lag, so what a webhook or another record just announced need not be shown yet.
    """
    if not isinstance(error, (NotFound, NotShown)) or claim.told_at is None:
        return False
    return read.began_at < claim.told_at + PATIENCE * lag


def soon(age: timedelta, chance: random.Random) -> timedelta:
    """Return how long to wait for what was told of `age` ago to be shown: less than half of it."""
    return chance.uniform(0.25, 0.5) * max(SHOWN_AT_BEST, age)


def told(error: Exception) -> str:
    """Put a failure into words that hold ids only: texts of strangers may hold anything."""
    if isinstance(error, (ProviderError, NotYet, StoreRefused)):
        return str(error)[:1000]
    return f"unexpected {type(error).__name__}"
