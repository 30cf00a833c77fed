"""What an operator sees of what was handed over: how far it got, and what was not taken."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from service.desk.ids import known
from service.desk.shapes import Shape, as_told, moment
from service.domain.actions import ActionState
from service.domain.submissions import ItemState, Submission, SubmissionKind
from service.errors import RecordMissing
from service.store import submissions
from service.store.database import Database, Tx

#: Items that Amili has not taken, shown with a submission; `not_taken` gives all of them.
MOST_SHOWN = 100


NOT_TAKEN = frozenset({ItemState.FAILED, ItemState.REFUSED, ItemState.UNLISTED})


@dataclass(frozen=True, slots=True)
class NotTaken:
    """An item that is to be corrected and handed over again; `body` is its JSON as it was sent."""

    line: int
    state: str
    errors: Any
    body: str = field(repr=False)


class Submissions:
    """Read-only views of submissions."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def list(self, *, kind: str | None = None, after: str | None = None, limit: int = 50) -> Shape:
        """List submissions, newest first; `after` is the `next` of the page before.

        Raises RecordMissing when there is no such submission any more.
        """
        with self._database.read() as tx:
            if after is not None and submissions.get(tx, known(after)) is None:
                raise RecordMissing("There is no submission with the id `after`: begin anew.")
            rows = submissions.listed(tx, kind=kind, after=after, limit=limit + 1)
            shown = rows[:limit]
            counts = submissions.counts(tx, [row.submission_id for row in shown])
            data = [summary(tx, row, counts[row.submission_id]) for row in shown]
        return {"data": data, "next": shown[-1].submission_id if len(rows) > limit else None}

    def show(self, submission_id: str) -> Shape:
        """Show a submission with its chunks, and the first items that Amili has not taken."""
        with self._database.read() as tx:
            found = submissions.get(tx, known(submission_id))
            if found is None:
                raise RecordMissing("There is no submission with this id.")
            counts = submissions.counts(tx, [submission_id])[submission_id]
            failed = submissions.not_taken(tx, submission_id, NOT_TAKEN, limit=MOST_SHOWN)
            return summary(tx, found, counts) | {
                "chunks": [chunk(row) for row in submissions.chunks_of(tx, submission_id)],
                "failed": [item(row) for row in failed],
            }

    def of_batch(self, batch_id: str) -> str | None:
        """Name the submission that a batch belongs to, or None."""
        with self._database.read() as tx:
            found = submissions.chunk_of_batch(tx, known(batch_id))
        return None if found is None else found.submission_id

    def kind_of(self, submission_id: str) -> SubmissionKind:
        """Say what was handed over. Raises RecordMissing."""
        with self._database.read() as tx:
            found = submissions.get(tx, known(submission_id))
        if found is None:
            raise RecordMissing("There is no submission with this id.")
        return found.kind

    def not_taken(self, submission_id: str, *, unlisted: bool = False) -> Iterator[NotTaken]:
        """Walk through every item that Amili has not taken, in the order of the file.

        Those of which nobody knows whether it has are among them only when asked for.
        """
        states = NOT_TAKEN if unlisted else NOT_TAKEN - {ItemState.UNLISTED}
        last = -1
        while True:
            with self._database.read() as tx:
                rows = submissions.not_taken(tx, submission_id, states, after=last)
            if not rows:
                return
            for row in rows:
                yield NotTaken(row.line, row.state, as_told(row.errors), row.body or "{}")
            last = rows[-1].position


def summary(tx: Tx, found: Submission, counts: Mapping[str, int]) -> Shape:
    """Shape a submission without its parts."""
    return {
        "submissionId": found.submission_id,
        "kind": str(found.kind),
        "organizationId": found.organization_id,
        "state": state_of(found, counts, submissions.chunks_of(tx, found.submission_id)),
        "createdAt": moment(found.created_at),
        "items": {str(state): counts.get(state, 0) for state in ItemState} | {"all": found.items},
    }


def state_of(found: Submission, counts: Mapping[str, int], chunks: Sequence[Any]) -> str:
    """Say in one word how far a submission is.

    staging, sending, tracking (all of it is at Amili), uncertain (waits for a person), succeeded,
    partial, failed.
    """
    if found.state != "ready":
        return "staging"
    if any(row.state == ActionState.UNCERTAIN and row.closed_at for row in chunks):
        return "uncertain"
    if any(row.ended_at is None for row in chunks):
        sent = all(row.batch_id is not None or row.ended_at is not None for row in chunks)
        return "tracking" if sent else "sending"
    taken = counts.get(ItemState.SUCCEEDED, 0)
    if taken == found.items:
        return "succeeded"
    return "partial" if taken else "failed"


def chunk(row: Any) -> Shape:
    """Shape one chunk: its call in the ledger, and its batch at Amili."""
    return {
        "chunk": row.chunk,
        "items": row.items,
        "actionId": row.action_id,
        "state": row.state,
        "attempts": row.attempts,
        "error": row.error,
        "batchId": row.batch_id,
        "batchStatus": row.batch_status,
        "endedAt": moment(row.ended_at),
    }


def item(row: Any) -> Shape:
    """Shape an item that Amili has not taken: where it stood, how it is named, and why."""
    return {
        "line": row.line,
        "uniqueSourceInvoiceId": row.unique_source_invoice_id,
        "invoiceNumber": row.invoice_number,
        "invoiceId": row.invoice_id,
        "state": row.state,
        "errors": as_told(row.errors) or [],
    }
