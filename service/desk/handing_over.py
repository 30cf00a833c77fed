"""Handing over: rows first, all of them, and only then is anything sent, by workers.

Writing the rows may end half-way in a crash: the same key goes on where it ended, and nothing
is sent before the last row is there.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import islice

import structlog

from service.desk.ids import known
from service.desk.once import named, once
from service.desk.writing import NotPossible
from service.domain.actions import Action, ActionState
from service.domain.submissions import (
    ACTIONS,
    Chunk,
    NewItem,
    Submission,
    SubmissionKind,
    target,
)
from service.errors import RecordMissing
from service.queue import Bells
from service.store import entities, invoices, ledger, reports, submissions
from service.store.database import Database, Tx
from service.store.submissions import Before

log = structlog.get_logger()

#: Rows in one transaction: SQLite lets nobody else write meanwhile.
TOGETHER = 500
#: Conflicts that are told at once.
MOST_TOLD = 50


class AlreadyHandedOver(NotPossible):
    """Some of these invoices were handed over before."""

    def __init__(self, told: Sequence[tuple[int, str, str]], count: int) -> None:
        lines = [
            f"line {line}: uniqueSourceInvoiceId {name} is in submission {submission_id} already"
            for line, name, submission_id in told
        ]
        more = [f"… and {count - len(told)} more"] if count > len(told) else []
        super().__init__("\n".join(["Nothing was sent.", *lines, *more]))
        #: (line, uniqueSourceInvoiceId, the submission that has it), the first of them.
        self.told = tuple(told)
        self.count = count


@dataclass(frozen=True, slots=True)
class NewSubmission:
    """What is handed over; the same key of one organization is the same submission."""

    kind: SubmissionKind
    organization_id: str
    key: str
    digest: bytes
    items: int


class Handover:
    """Writes submissions down, and rings for the workers that send them."""

    def __init__(self, database: Database, bells: Bells, *, chunk_items: int) -> None:
        self._database = database
        self._bells = bells
        self._chunk_items = chunk_items

    def place(self, wish: NewSubmission, items: Iterable[NewItem]) -> Submission:
        """Write a submission with all its items, once however often it is asked for.

        Raises AlreadyHandedOver or NotPossible, and then nothing is sent.
        """
        submission = self._database.run(lambda tx: submissions.open_(tx, self._new(wish, tx)))
        if (submission.digest, submission.items) != (wish.digest, wish.items):
            raise NotPossible(
                "This Idempotency-Key was used for another content: give a new one, "
                f"or look at submission {submission.submission_id}."
            )
        if submission.state != "ready":
            self._stage(submission, items)
            submission = self._database.run(lambda tx: ready(tx, submission.submission_id))
        self._bells.try_ring("actions", "events")
        return submission

    def resend(self, submission_id: str, key: str | None = None) -> int:
        """Have chunks sent again of which nobody knows whether they arrived; return how many.

        Only ever on a person's word, and after one more look at Amili; the same `key` asks once.
        Raises RecordMissing or NotPossible.
        """
        request = named("resend_submission", known(submission_id), key)
        count: int = self._database.run(
            lambda tx: once(tx, request, lambda: again(tx, submission_id))
        )
        self._bells.try_ring("actions", "events")
        return count

    def discard(self, submission_id: str) -> None:
        """Forget a submission whose rows were never completed: nothing of it was sent."""

        def run(tx: Tx) -> None:
            found = locked(tx, known(submission_id))
            if found.state == "ready":
                raise NotPossible("This submission is complete and on its way.")
            submissions.discard(tx, submission_id)

        self._database.run(run)

    def _new(self, wish: NewSubmission, tx: Tx) -> Submission:
        if not wish.items:
            raise NotPossible("There is nothing to hand over.")
        return Submission(
            submission_id=str(uuid.uuid4()),
            kind=wish.kind,
            organization_id=wish.organization_id,
            key=wish.key,
            digest=wish.digest,
            state="staging",
            items=wish.items,
            chunks=-(-wish.items // self._chunk_items),
            created_at=tx.now,
        )

    def _stage(self, submission: Submission, items: Iterable[NewItem]) -> None:
        """Write the rows, some at a time; take all back when another submission has some."""
        refused: list[NewItem] = []
        position = 0
        for some in together(items):
            first = position
            refused += self._database.run(
                lambda tx, some=some, first=first: stage(tx, submission, first, some)  # type: ignore[misc]
            )
            position += len(some)
        if not refused:
            return
        told = self._database.run(lambda tx: take_back(tx, submission, refused[:MOST_TOLD]))
        if told is not None:
            raise AlreadyHandedOver(told, len(refused))


def together(items: Iterable[NewItem]) -> Iterator[list[NewItem]]:
    """Cut a stream of items into lists that one transaction takes."""
    stream = iter(items)
    while some := list(islice(stream, TOGETHER)):
        yield some


def stage(tx: Tx, submission: Submission, first: int, items: Sequence[NewItem]) -> list[NewItem]:
    """Write some rows; return the items that another submission has. Raises NotPossible."""
    demand_there(submissions.lock(tx, submission.submission_id))
    named = sorted({item.invoice_id for item in items if item.invoice_id})
    there = invoices.known(tx, named) if named else {}
    before = {
        invoice_id: Before(invoice.paid_amount, invoice.credited_amount)
        for invoice_id, invoice in there.items()
    }
    return submissions.stage(tx, submission, first, items, before)


def take_back(
    tx: Tx, submission: Submission, refused: Sequence[NewItem]
) -> list[tuple[int, str, str]] | None:
    """Remove what was written, and name what stood in the way.

    None: nothing does any more, for somebody who writes the same has completed it.
    """
    found = submissions.lock(tx, submission.submission_id)
    if found is not None and found.state == "ready":
        return None
    claims = {
        claim: item
        for item in refused
        if (claim := submissions.claim_of(submission, item.unique_source_invoice_id))
    }
    taken = submissions.claimed_by(tx, claims)
    submissions.discard(tx, submission.submission_id)
    return [
        (item.line, item.unique_source_invoice_id or "", taken.get(claim, "this one"))
        for claim, item in claims.items()
    ]


def demand_there(found: Submission | None) -> Submission:
    """Return what is still there; somebody who writes the same may have taken it back."""
    if found is None:
        raise NotPossible("What was handed over changed meanwhile: nothing was sent, try again.")
    return found


def locked(tx: Tx, submission_id: str) -> Submission:
    """Lock a submission's row. Raises RecordMissing."""
    found = submissions.lock(tx, submission_id)
    if found is None:
        raise RecordMissing("There is no submission with this id.")
    return found


def ready(tx: Tx, submission_id: str) -> Submission:
    """Plan a call for each chunk, once every row is there; the second time nothing happens."""
    found = demand_there(submissions.lock(tx, submission_id))
    if found.state == "ready":
        return found
    sizes = submissions.sizes(tx, submission_id)
    demand_there(found if sum(sizes.values()) == found.items else None)
    chunks = [
        Chunk(submission_id, number, str(uuid.uuid4()), size)
        for number, size in sorted(sizes.items())
    ]
    submissions.add_chunks(tx, chunks)
    for chunk in chunks:
        ledger.plan(tx, call(tx, found, chunk))
    entities.nudge(tx, reports.nudges(tx, submission_id))
    submissions.make_ready(tx, submission_id)
    return replace(found, state="ready")


def call(tx: Tx, submission: Submission, chunk: Chunk) -> Action:
    """Make the ledger's row of one chunk."""
    return Action(
        action_id=chunk.action_id,
        kind=ACTIONS[submission.kind],
        target=target(chunk.submission_id, chunk.chunk),
        organization_id=submission.organization_id,
        cause=f"submission:{submission.submission_id}",
        state=ActionState.PLANNED,
        planned_at=tx.now,
    )


def again(tx: Tx, submission_id: str) -> int:
    """Have what is uncertain and waits for a person looked up, then sent: rows and keys stay."""
    locked(tx, submission_id)
    waiting = [
        row.action_id
        for row in submissions.chunks_of(tx, submission_id)
        if row.state == ActionState.UNCERTAIN and row.closed_at is not None
    ]
    if not waiting:
        raise NotPossible("No chunk of this submission is uncertain and waits for a word.")
    for action_id in waiting:
        action = ledger.lock(tx, action_id)
        if action is not None:
            detail = {**action.detail, "resend": "asked"}
            asked = replace(action, closed_at=None, not_before=tx.now, detail=detail)
            ledger.save(tx, [asked])
    return len(waiting)
