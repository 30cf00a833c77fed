"""Reports, their holds and the case that they are about, for the tests of their policy."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal

from service.domain.entities import Cause
from service.domain.holds import Hold
from service.domain.records import Case
from service.domain.reports import Report
from service.domain.submissions import ItemState, SubmissionKind
from service.policies.situations import CaseSituation

NOON = datetime(2026, 5, 1, 12, tzinfo=UTC)
LAG = timedelta(seconds=10)
OPEN, TAKEN, FAILED = ItemState.OPEN, ItemState.SUCCEEDED, ItemState.FAILED


def report(
    position: int = 0,
    amount: str = "100.00",
    *,
    before: str | None = "0.00",
    reached: str | None = "0.00",
    state: ItemState = TAKEN,
    kind: SubmissionKind = SubmissionKind.PAYMENTS,
    invoice: str = "i-1",
    at: datetime = NOON,
) -> Report:
    """Make a report that ended, unless it is open, five seconds after it was made."""
    return Report(
        submission_id="s-1",
        position=position,
        kind=kind,
        invoice_id=invoice,
        amount=Decimal(amount),
        before=None if before is None else Decimal(before),
        reached=None if reached is None else Decimal(reached),
        state=state,
        reported_at=at,
        ended_at=None if state is OPEN else at + timedelta(seconds=5),
        batch_id="b-1",
    )


def hold(
    of: Report | str, released_by: str | None = None, released_at: datetime | None = None
) -> Hold:
    """Make the hold of a report, or of this key."""
    key = of if isinstance(of, str) else of.key
    ended = None if released_by is None else released_at or NOON
    reason = "payment_reported" if key.startswith("reported") else "batch_failed"
    name = f"hold of {key}"
    return Hold(name, "c-1", reason, "policy", NOON, None, ended, released_by, None, key)


def situation(
    *reported: Report,
    holds: tuple[Hold, ...] = (),
    now: datetime = NOON + timedelta(minutes=5),
    causes: tuple[Cause, ...] = (),
    status: str = "OPEN",
) -> CaseSituation:
    """Make what the policy sees; the read began just now."""
    case = Case("c-1", "4711", "org", status, None, None, None, NOON, None, "{}")
    return CaseSituation(case, (), holds, causes, now, reported, now - LAG)
