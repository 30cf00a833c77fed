"""A hold says that a case must stay paused: by whom, why, and until when."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

Owner = Literal["policy", "operator", "api"]

#: The known reasons; others are kept as they are and counted as `other`.
REASONS = frozenset(
    {"dispute", "payment_promise", "payment_reported", "batch_failed", "operator", "court"}
)


@dataclass(frozen=True, slots=True)
class Hold:
    """One hold on one case. `until` None holds until it is released."""

    hold_id: str
    case_id: str
    reason: str
    owner: str
    placed_at: datetime
    until: datetime | None = None
    released_at: datetime | None = None
    #: Why it ended: `released`, `expired`, `case_closed`, `reflected`, `batch_failed`.
    released_by: str | None = None
    #: Free text of an operator; may hold personal data, so it is never logged.
    comment: str | None = None
    #: Makes placing it idempotent: the same key places it once.
    key: str | None = None

    def is_active(self, now: datetime) -> bool:
        """It is neither released nor expired."""
        return self.released_at is None and (self.until is None or self.until > now)

    def ended_at(self, now: datetime) -> datetime | None:
        """When it stopped being in force; None while it is."""
        expired = self.until if self.until is not None and self.until <= now else None
        ends = [at for at in (self.released_at, expired) if at is not None]
        return min(ends, default=None)  # an expired hold is released only when that is noticed


def active(holds: Iterable[Hold], now: datetime) -> tuple[Hold, ...]:
    """Return the holds in force."""
    return tuple(hold for hold in holds if hold.is_active(now))


def codes(holds: Iterable[Hold]) -> list[str]:
    """Name the reasons of holds by their codes; any other may be about a person, and is `other`."""
    return sorted({hold.reason if hold.reason in REASONS else "other" for hold in holds})


def last_ended(holds: Iterable[Hold], now: datetime) -> datetime | None:
    """Return when the newest ended hold ended; None when none ever did."""
    return max((at for hold in holds if (at := hold.ended_at(now))), default=None)
