"""What creditors reported about the invoices of a case, and which cases a submission is about.

People spell ids as they like, so that reports meet invoices in three spellings: as it is, in
small and in capital letters. Each is looked up in an index.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from decimal import Decimal
from typing import Any, Protocol

from sqlalchemy import ColumnElement, Row, and_, bindparam, func, or_, select, update

from service.domain.actions import ActionState
from service.domain.entities import EntityKey, Kind, Nudge
from service.domain.records import one_spelling
from service.domain.reports import Amounts, Report, measure
from service.domain.submissions import ItemState, SubmissionKind
from service.store.database import Tx
from service.store.handed import submission_chunks, submission_items, submissions
from service.store.invoices import TOGETHER, known, spellings
from service.store.schema import actions, invoices

#: Kinds that tell of money.
KINDS = (SubmissionKind.PAYMENTS, SubmissionKind.CORRECTIONS)
#: Items of them, oldest first, with their submission, their chunk and its row of the ledger.
REPORTED = (
    select(
        submission_items.c.submission_id,
        submission_items.c.position,
        submissions.c.kind,
        submission_items.c.invoice_id,
        submission_items.c.amount,
        submission_items.c.paid_before,
        submission_items.c.credited_before,
        submission_items.c.remaining_before,
        submission_items.c.state,
        submission_items.c.ended_at,
        submissions.c.created_at,
        submission_chunks.c.batch_id,
        actions.c.state.label("action_state"),
        actions.c.sent_at,
    )
    .join(submissions, submissions.c.submission_id == submission_items.c.submission_id)
    .join(
        submission_chunks,
        and_(
            submission_chunks.c.submission_id == submission_items.c.submission_id,
            submission_chunks.c.chunk == submission_items.c.chunk,
        ),
    )
    .join(actions, actions.c.action_id == submission_chunks.c.action_id)
    .where(submissions.c.kind.in_([str(kind) for kind in KINDS]), submissions.c.state == "ready")
    .order_by(
        submissions.c.created_at, submission_items.c.submission_id, submission_items.c.position
    )
)
AMOUNTS = (
    invoices.c.invoice_id,
    invoices.c.paid_amount,
    invoices.c.credited_amount,
    invoices.c.remaining_amount,
    invoices.c.original_amount,
)


class Told(Protocol):
    """An invoice as it stands here."""

    @property
    def invoice_id(self) -> str:
        """As Amili spells it."""

    @property
    def paid_amount(self) -> Decimal | None:
        """What is paid of it."""

    @property
    def credited_amount(self) -> Decimal | None:
        """What is credited."""

    @property
    def remaining_amount(self) -> Decimal | None:
        """What remains."""

    @property
    def original_amount(self) -> Decimal | None:
        """What it was."""


Pairs = Sequence[tuple[Row[Any], Told]]

# --- what was reported ----------------------------------------------------------


def of_cases(tx: Tx, case_ids: Sequence[str]) -> dict[str, tuple[Report, ...]]:
    """Return, by case, the reports that make its claims smaller, oldest first; none: no entry.

    Their `reached` is what stands here now: save what was read before. Of those that were never
    sent it is the beginning, too, and noted.
    """
    pairs = on_cases(tx, case_ids)
    if begin(tx, pairs):
        pairs = on_cases(tx, case_ids)
    found: dict[str, list[Report]] = {}
    for row, invoice in pairs:
        # Amounts are text in SQLite: which are positive is asked here.
        if row.amount is not None and row.amount > 0:
            found.setdefault(invoice.case_id, []).append(report_of(row, invoice))
    return {case_id: tuple(some) for case_id, some in found.items()}


def on_cases(tx: Tx, case_ids: Sequence[str]) -> Sequence[tuple[Row[Any], Any]]:
    """Give what was reported on the invoices of these cases, each with its invoice.

    An invoice that stands in two cases, each time in another spelling, counts for both.
    """
    asked = select(*AMOUNTS, invoices.c.case_id).where(invoices.c.case_id.in_(case_ids))
    there: dict[str, list[Any]] = {}
    for each in tx.execute(asked):
        there.setdefault(one_spelling(each.invoice_id), []).append(each)
    ids = sorted(there)
    found: list[tuple[Row[Any], Any]] = []
    for start in range(0, len(ids), TOGETHER):
        some = ids[start : start + TOGETHER]
        names = spellings(each.invoice_id for name in some for each in there[name])
        for row in tx.execute(REPORTED.where(submission_items.c.invoice_id.in_(names))):
            by_case = {each.case_id: each for each in there[one_spelling(row.invoice_id)]}
            found += [(row, each) for each in by_case.values()]
    return found


def in_chunk(tx: Tx, submission_id: str, chunk: int) -> Pairs:
    """Give what one chunk reports on invoices that are known here, each with its invoice."""
    asked = REPORTED.where(
        submission_items.c.submission_id == submission_id, submission_items.c.chunk == chunk
    )
    rows = tx.execute(asked).all()
    names = sorted({row.invoice_id for row in rows if row.invoice_id is not None})
    return paired(rows, known(tx, names).values())


def paired(rows: Iterable[Row[Any]], there: Iterable[Told]) -> Pairs:
    """Put reports together with their invoices, however their ids are spelt."""
    by_id = {one_spelling(each.invoice_id): each for each in there}
    pairs = ((row, by_id.get(one_spelling(row.invoice_id or ""))) for row in rows)
    return [(row, invoice) for row, invoice in pairs if invoice is not None]


def report_of(row: Row[Any], invoice: Told) -> Report:
    """Turn a row and its invoice into a report."""
    kind = SubmissionKind(row.kind)
    before = Amounts(row.paid_before, row.credited_before, row.remaining_before)
    now = Amounts(
        invoice.paid_amount,
        invoice.credited_amount,
        invoice.remaining_amount,
        invoice.original_amount,
    )
    grown = measure(kind, before, now)
    return Report(
        submission_id=row.submission_id,
        position=row.position,
        kind=kind,
        invoice_id=invoice.invoice_id,
        amount=row.amount,
        before=grown.before,
        reached=grown.reached,
        state=ItemState(row.state),
        reported_at=row.created_at,
        ended_at=row.ended_at,
        batch_id=row.batch_id,
        is_shared=grown.is_shared,
    )


# --- beginnings -----------------------------------------------------------------


def begin_in_chunk(tx: Tx, submission_id: str, chunk: int) -> None:
    """Note what stands here as the beginning of a chunk's reports, unless they were ever sent."""
    begin(tx, in_chunk(tx, submission_id, chunk))


def begin(tx: Tx, reported: Pairs) -> bool:
    """Note what stands here as the beginning of what was never sent, for it contains none of it.

    A beginning only ever moves so that more is waited for: an older state, which a read that
    lags may show, never makes a release come early. Returns whether any moved.
    """
    moved = [
        new
        for row, invoice in reported
        if row.action_state == ActionState.PLANNED and row.sent_at is None
        if (new := beginning(row, invoice)) is not None
    ]
    if moved:
        tx.execute(BEGIN, moved)
    return bool(moved)


BEGIN = (
    update(submission_items)
    .where(
        submission_items.c.submission_id == bindparam("of"),
        submission_items.c.position == bindparam("at"),
    )
    .values(
        paid_before=bindparam("paid"),
        credited_before=bindparam("credited"),
        remaining_before=bindparam("remaining"),
    )
)


def beginning(row: Row[Any], invoice: Told) -> dict[str, object] | None:
    """Make the parameters of `BEGIN`; None: nothing moves."""
    paid = chosen(max, row.paid_before, invoice.paid_amount)
    credited = chosen(max, row.credited_before, invoice.credited_amount)
    remaining = chosen(min, row.remaining_before, invoice.remaining_amount)
    if (paid, credited, remaining) == (row.paid_before, row.credited_before, row.remaining_before):
        return None
    names = {"of": row.submission_id, "at": row.position}
    return {**names, "paid": paid, "credited": credited, "remaining": remaining}


def chosen(choose: Callable[[Sequence[Decimal]], Decimal], *told: Decimal | None) -> Decimal | None:
    """Choose among the amounts that are told; None: none is."""
    amounts = [each for each in told if each is not None]
    return choose(amounts) if amounts else None


# --- who is to be looked at -----------------------------------------------------


def same(one: ColumnElement[Any], other: ColumnElement[Any]) -> ColumnElement[bool]:
    """Say that an id, which an index finds, is another one in one of its spellings."""
    return or_(one == other, one == func.lower(other), one == func.upper(other))


def nudges(tx: Tx, submission_id: str, chunk: int | None = None) -> list[Nudge]:
    """Have the known cases looked at whose invoices a submission, or one chunk of it, names.

    Amounts move at Amili some time after a batch ends, and no payload tells them.
    """
    asked = (
        select(invoices.c.case_id, invoices.c.case_number, submissions.c.organization_id)
        .join(submission_items, same(invoices.c.invoice_id, submission_items.c.invoice_id))
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
