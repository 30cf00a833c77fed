"""What creditors reported about the invoices of a case, and which cases a submission is about."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from typing import Any

from sqlalchemy import Row, and_, select

from service.domain.entities import EntityKey, Kind, Nudge
from service.domain.reports import Report
from service.domain.submissions import ItemState, SubmissionKind
from service.store.database import Tx
from service.store.handed import submission_chunks, submission_items, submissions
from service.store.schema import invoices

#: Kinds that tell of money.
KINDS = (SubmissionKind.PAYMENTS, SubmissionKind.CORRECTIONS)
COLUMNS = (
    submission_items.c.submission_id,
    submission_items.c.position,
    submissions.c.kind,
    submission_items.c.invoice_id,
    submission_items.c.amount,
    submission_items.c.paid_before,
    submission_items.c.credited_before,
    submission_items.c.state,
    submission_items.c.ended_at,
    submissions.c.created_at,
    submission_chunks.c.batch_id,
    invoices.c.paid_amount,
    invoices.c.credited_amount,
    invoices.c.remaining_amount,
)


def of_case(tx: Tx, case_id: str) -> tuple[Report, ...]:
    """Return the reports that make the claims of a case smaller, oldest first.

    Their `reached` is what stands here now: save what was read before.
    """
    mine = invoices.c.invoice_id == submission_items.c.invoice_id
    chunk = and_(
        submission_chunks.c.submission_id == submission_items.c.submission_id,
        submission_chunks.c.chunk == submission_items.c.chunk,
    )
    asked = (
        select(*COLUMNS)
        .join(submission_items, mine)
        .join(submissions, submissions.c.submission_id == submission_items.c.submission_id)
        .join(submission_chunks, chunk)
        .where(
            invoices.c.case_id == case_id,
            submissions.c.kind.in_([str(kind) for kind in KINDS]),
            submissions.c.state == "ready",
        )
        .order_by(
            submissions.c.created_at, submission_items.c.submission_id, submission_items.c.position
        )
    )
    # Amounts are text in SQLite: which are positive is asked here.
    rows = (row for row in tx.execute(asked) if row.amount is not None and row.amount > 0)
    return tuple(report_of(row) for row in rows)


def report_of(row: Row[Any]) -> Report:
    """Turn a row into a report."""
    kind = SubmissionKind(row.kind)
    is_payment = kind is SubmissionKind.PAYMENTS
    return Report(
        submission_id=row.submission_id,
        position=row.position,
        kind=kind,
        invoice_id=row.invoice_id,
        amount=row.amount,
        before=row.paid_before if is_payment else row.credited_before,
        reached=reached(row, row.paid_amount if is_payment else row.credited_amount),
        state=ItemState(row.state),
        reported_at=row.created_at,
        ended_at=row.ended_at,
        batch_id=row.batch_id,
    )


def reached(row: Row[Any], amount: Decimal | None) -> Decimal | None:
    """Say how far an amount has grown; one that is not told beside others that are is nothing."""
    told = (row.paid_amount, row.credited_amount, row.remaining_amount)
    if amount is None and any(each is not None for each in told):
        return Decimal(0)
    return amount


def nudges(tx: Tx, submission_id: str, chunk: int | None = None) -> list[Nudge]:
    """Have the known cases looked at whose invoices a submission, or one chunk of it, names.

    Amounts move at Amili some time after a batch ends, and no payload tells them.
    """
    asked = (
        select(invoices.c.case_id, invoices.c.case_number, submissions.c.organization_id)
        .join(submission_items, submission_items.c.invoice_id == invoices.c.invoice_id)
        .join(submissions, submissions.c.submission_id == submission_items.c.submission_id)
        .where(
            submission_items.c.submission_id == submission_id,
            submissions.c.kind.in_([str(kind) for kind in KINDS]),
            invoices.c.case_id.is_not(None),
        )
        .distinct()
        .order_by(invoices.c.case_id, invoices.c.case_number)
    )
    if chunk is not None:
        asked = asked.where(submission_items.c.chunk == chunk)
    found: dict[str, Sequence[Any]] = {}
    for case_id, number, organization in tx.execute(asked):
        if case_id not in found or number is not None:
            found[case_id] = (number, organization)
    return [
        Nudge(
            EntityKey(Kind.CASE, case_id),
            "reported",
            {"submission_id": submission_id},
            organization_id=organization,
            lookup=number,
            is_hidden_change=True,
        )
        for case_id, (number, organization) in found.items()
    ]
