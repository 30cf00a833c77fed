"""What is handed over: submissions, their chunks and items, and how far each got."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence, Set
from dataclasses import asdict, fields
from datetime import datetime
from decimal import Decimal
from typing import Any, NamedTuple

from sqlalchemy import Row, Update, bindparam, func, select, update

from service.domain.submissions import (
    Chunk,
    Item,
    ItemState,
    NewItem,
    Submission,
    SubmissionKind,
)
from service.errors import StoreContended
from service.store.database import Tx
from service.store.dialects import ROWS, insert
from service.store.handed import submission_chunks, submission_items, submissions
from service.store.schema import actions

COLUMNS = tuple(submissions.c[f.name] for f in fields(Submission))
CHUNK = tuple(submission_chunks.c[f.name] for f in fields(Chunk))
ITEM = tuple(submission_items.c[f.name] for f in fields(Item))


# --- submissions --------------------------------------------------------------


def open_(tx: Tx, new: Submission) -> Submission:
    """Write a submission; the same key of the same organization returns the one that is there.

    Raises StoreContended when that one is taken back at this very moment.
    """
    row = asdict(new) | {"kind": str(new.kind)}
    tx.execute(insert(tx, submissions).values(row).on_conflict_do_nothing())
    asked = select(*COLUMNS).where(
        submissions.c.organization_id == new.organization_id,
        submissions.c.kind == str(new.kind),
        submissions.c.key == new.key,
    )
    found = tx.execute(asked).one_or_none()
    if found is None:
        raise StoreContended("another process takes a submission of this key back")
    return of_row(found)


def of_row(row: Sequence[Any]) -> Submission:
    """Turn a row into a submission."""
    data = dict(zip((f.name for f in fields(Submission)), row, strict=True))
    return Submission(
        **data | {"kind": SubmissionKind(data["kind"]), "digest": bytes(data["digest"])}
    )


def get(tx: Tx, submission_id: str) -> Submission | None:
    """Return one submission, or None."""
    asked = select(*COLUMNS).where(submissions.c.submission_id == submission_id)
    row = tx.execute(asked).one_or_none()
    return None if row is None else of_row(row)


def lock(tx: Tx, submission_id: str) -> Submission | None:
    """Return one submission with its row locked."""
    asked = select(*COLUMNS).where(submissions.c.submission_id == submission_id)
    row = tx.execute(asked if tx.is_sqlite else asked.with_for_update()).one_or_none()
    return None if row is None else of_row(row)


def listed(
    tx: Tx, *, kind: str | None = None, after: str | None = None, limit: int = 50
) -> list[Submission]:
    """Return submissions, newest first; `after` is the id where the last page ended."""
    order = (submissions.c.created_at.desc(), submissions.c.submission_id)
    asked = select(*COLUMNS).order_by(*order).limit(limit)
    if kind is not None:
        asked = asked.where(submissions.c.kind == kind)
    last = None if after is None else get(tx, after)
    if last is not None:
        older = submissions.c.created_at < last.created_at
        same = submissions.c.created_at == last.created_at
        asked = asked.where(older | (same & (submissions.c.submission_id > last.submission_id)))
    return [of_row(row) for row in tx.execute(asked)]


def make_ready(tx: Tx, submission_id: str) -> None:
    """Note that every row is there: from now on it is sent."""
    tx.execute(
        update(submissions)
        .where(submissions.c.submission_id == submission_id)
        .values(state="ready")
    )


def discard(tx: Tx, submission_id: str) -> None:
    """Remove a submission of which nothing was sent."""
    for table in (submission_items, submission_chunks, submissions):
        tx.execute(table.delete().where(table.c.submission_id == submission_id))


# --- staging ------------------------------------------------------------------


class Before(NamedTuple):
    """How much of an invoice was paid and credited when a payment on it was reported."""

    paid: Decimal | None
    credited: Decimal | None


def stage(
    tx: Tx,
    submission: Submission,
    first: int,
    items: Sequence[NewItem],
    before: Mapping[str, Before],
) -> list[NewItem]:
    """Write items from position `first` on; return those that another submission has claimed.

    Items that stand there already, from a run that ended half-way, are left as they are.
    """
    rows = [row_of(submission, first + n, item, before) for n, item in enumerate(items)]
    for start in range(0, len(rows), ROWS):
        some = rows[start : start + ROWS]
        tx.execute(insert(tx, submission_items).values(some).on_conflict_do_nothing())
    asked = select(submission_items.c.position).where(
        submission_items.c.submission_id == submission.submission_id,
        submission_items.c.position.between(first, first + len(items) - 1),
    )
    there = set(tx.execute(asked).scalars())
    return [item for n, item in enumerate(items) if first + n not in there]


def row_of(
    submission: Submission, position: int, item: NewItem, before: Mapping[str, Before]
) -> dict[str, object]:
    """Make the row of a new item."""
    known = before.get(item.invoice_id or "", Before(None, None))
    return asdict(item) | {
        "submission_id": submission.submission_id,
        "position": position,
        "chunk": submission.chunk_of(position),
        "claim": claim_of(submission, item.unique_source_invoice_id),
        "state": str(ItemState.OPEN),
        "paid_before": known.paid,
        "credited_before": known.credited,
    }


def claim_of(submission: Submission, name: str | None) -> str | None:
    """Name what only one submission may hand over; None for what may come again."""
    if submission.kind is not SubmissionKind.INVOICES or name is None:
        return None
    return f"{submission.organization_id}/{name}"


def claimed_by(tx: Tx, claims: Iterable[str]) -> dict[str, str]:
    """Return claim → the submission that has it, for those that are taken."""
    asked = select(submission_items.c.claim, submission_items.c.submission_id).where(
        submission_items.c.claim.in_(list(claims))
    )
    return {row.claim: row.submission_id for row in tx.execute(asked)}


# --- chunks -------------------------------------------------------------------


def add_chunks(tx: Tx, chunks: Sequence[Chunk]) -> None:
    """Write the chunks of a submission."""
    for start in range(0, len(chunks), ROWS):
        rows = [asdict(chunk) for chunk in chunks[start : start + ROWS]]
        tx.execute(submission_chunks.insert(), rows)


def sizes(tx: Tx, submission_id: str) -> dict[int, int]:
    """Count the items of each chunk."""
    asked = (
        select(submission_items.c.chunk, func.count())
        .where(submission_items.c.submission_id == submission_id)
        .group_by(submission_items.c.chunk)
    )
    return {chunk: count for chunk, count in tx.execute(asked)}


def chunk(tx: Tx, submission_id: str, number: int) -> Chunk | None:
    """Return one chunk, or None."""
    asked = select(*CHUNK).where(
        submission_chunks.c.submission_id == submission_id, submission_chunks.c.chunk == number
    )
    row = tx.execute(asked).one_or_none()
    return None if row is None else Chunk(*row)


def chunk_of_batch(tx: Tx, batch_id: str) -> Chunk | None:
    """Return the chunk that became this batch, or None: it is not one of ours."""
    asked = select(*CHUNK).where(submission_chunks.c.batch_id == batch_id).limit(1)
    row = tx.execute(asked).one_or_none()
    return None if row is None else Chunk(*row)


def chunks_of(tx: Tx, submission_id: str) -> Sequence[Row[Any]]:
    """Return the chunks of a submission, each with its state, error and tries in the ledger."""
    asked = (
        select(
            *CHUNK,
            actions.c.state,
            actions.c.error,
            actions.c.attempts,
            actions.c.closed_at,
        )
        .join(actions, actions.c.action_id == submission_chunks.c.action_id)
        .where(submission_chunks.c.submission_id == submission_id)
        .order_by(submission_chunks.c.chunk)
    )
    found: Sequence[Row[Any]] = tx.execute(asked).all()
    return found


def save_chunk(tx: Tx, saved: Chunk) -> None:
    """Write a chunk back."""
    tx.execute(
        update(submission_chunks)
        .where(
            submission_chunks.c.submission_id == saved.submission_id,
            submission_chunks.c.chunk == saved.chunk,
        )
        .values(batch_id=saved.batch_id, batch_status=saved.batch_status, ended_at=saved.ended_at)
    )


# --- items --------------------------------------------------------------------


def bodies(tx: Tx, submission_id: str, number: int) -> list[str]:
    """Return the JSON texts of a chunk's items, in order."""
    asked = (
        select(submission_items.c.body)
        .where(
            submission_items.c.submission_id == submission_id, submission_items.c.chunk == number
        )
        .order_by(submission_items.c.position)
    )
    return [body for (body,) in tx.execute(asked) if body is not None]


def items_of(tx: Tx, submission_id: str, number: int) -> list[Item]:
    """Return a chunk's items, in order."""
    asked = (
        select(*ITEM)
        .where(
            submission_items.c.submission_id == submission_id, submission_items.c.chunk == number
        )
        .order_by(submission_items.c.position)
    )
    return [item_of(row) for row in tx.execute(asked)]


def item_of(row: Sequence[Any]) -> Item:
    """Turn a row into an item."""
    data = dict(zip((f.name for f in fields(Item)), row, strict=True))
    return Item(**data | {"state": ItemState(data["state"])})


def save_items(tx: Tx, submission_id: str, items: Sequence[Item], at: datetime) -> None:
    """Write what became of items.

    Of what Amili took the body goes; of what it surely has not, the claim: it may come again.
    """
    sorts: tuple[tuple[Set[ItemState], dict[str, None]], ...] = (
        ({ItemState.SUCCEEDED}, {"body": None}),
        ({ItemState.FAILED, ItemState.REFUSED}, {"claim": None}),
        ({ItemState.OPEN, ItemState.UNLISTED}, {}),
    )
    for states, gone in sorts:
        rows = [
            {
                "at_position": item.position,
                "to_invoice_id": item.invoice_id,
                "to_state": str(item.state),
                "to_errors": item.errors,
            }
            for item in items
            if item.state in states
        ]
        if rows:
            tx.execute(item_update(submission_id, at, gone), rows)


def item_update(submission_id: str, at: datetime, gone: Mapping[str, None]) -> Update:
    """Make the statement that writes one item; a success is never taken back."""
    table = submission_items
    return (
        update(table)
        .where(
            table.c.submission_id == submission_id,
            table.c.position == bindparam("at_position"),
            table.c.state != str(ItemState.SUCCEEDED),
        )
        .values(
            invoice_id=func.coalesce(bindparam("to_invoice_id"), table.c.invoice_id),
            state=bindparam("to_state"),
            errors=bindparam("to_errors"),
            ended_at=at,
            **gone,
        )
    )


def counts(tx: Tx, submission_ids: Sequence[str]) -> dict[str, dict[str, int]]:
    """Count the items of submissions by state."""
    asked = (
        select(submission_items.c.submission_id, submission_items.c.state, func.count())
        .where(submission_items.c.submission_id.in_(submission_ids))
        .group_by(submission_items.c.submission_id, submission_items.c.state)
    )
    found: dict[str, dict[str, int]] = {name: {} for name in submission_ids}
    for name, state, count in tx.execute(asked):
        found[name][state] = count
    return found


def not_taken(
    tx: Tx,
    submission_id: str,
    states: Set[ItemState],
    *,
    after: int = -1,
    limit: int = 500,
) -> Sequence[Row[Any]]:
    """Return the items in these states, with their bodies; `after`: the last position."""
    asked = (
        select(submission_items)
        .where(
            submission_items.c.submission_id == submission_id,
            submission_items.c.position > after,
            submission_items.c.state.in_(sorted(states)),
        )
        .order_by(submission_items.c.position)
        .limit(limit)
    )
    found: Sequence[Row[Any]] = tx.execute(asked).all()
    return found
