"""A batch that we handed over is followed to its end: by webhook, or by reading it again.

The chunk and its items belong to the batch: only who leases the batch writes what became of
them.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from typing import NamedTuple

from service.domain.actions import Action, ActionState
from service.domain.entities import Nudge
from service.domain.records import Batch, BatchItem
from service.domain.submissions import (
    Chunk,
    Item,
    ItemState,
    has_ended,
    next_poll,
    settled,
)
from service.store import ledger, reports, submissions
from service.store.database import Tx
from workers.outcomes import Outcome

#: A batch that ended and does not name every item is read again for so long.
SAID_LATE = timedelta(hours=1)
#: What a batch's status says of items that it does not name; PARTIAL says nothing.
BY_STATUS: Mapping[str, ItemState] = {
    "SUCCESS": ItemState.SUCCEEDED,
    "FAILED": ItemState.FAILED,
}


class Followed(NamedTuple):
    """When a batch is to be read again, and which cases are to be looked at for its end."""

    again_at: datetime | None = None
    nudges: tuple[Nudge, ...] = ()


def follow(tx: Tx, batch: Batch, outcome: Outcome) -> Followed:
    """Write what a batch says of its chunk; at its end the cases of its reports are looked at."""
    chunk = submissions.chunk_of_batch(tx, batch.batch_id)
    action = None if chunk is None else ledger.lock(tx, chunk.action_id)
    if chunk is None or action is None:
        return Followed()
    if not has_ended(batch.status):
        if chunk.batch_status != batch.status:
            submissions.save_chunk(tx, replace(chunk, batch_status=batch.status))
        waits = chunk.ended_at is None
        return Followed(next_poll(action.ended_at or action.planned_at, tx.now) if waits else None)
    unlisted = end(tx, chunk, action, batch, outcome)
    confirm(tx, action, outcome)
    again_at = None
    if unlisted and tx.now - (chunk.ended_at or tx.now) < SAID_LATE:
        again_at = next_poll(chunk.ended_at or tx.now, tx.now)
    return Followed(again_at, tuple(reports.nudges(tx, chunk.submission_id, chunk.chunk)))


def end(tx: Tx, chunk: Chunk, action: Action, batch: Batch, outcome: Outcome) -> int:
    """Give every item what the ended batch says of it; return how many it says nothing of."""
    before = [
        item
        for item in submissions.items_of(tx, chunk.submission_id, chunk.chunk)
        if item.state in (ItemState.OPEN, ItemState.UNLISTED)
    ]
    after = [
        told(item, word, batch.status or "", is_resent=action.attempts > 1)
        for item, word in settled(before, batch.items)
    ]
    changed = [new for old, new in zip(before, after, strict=True) if new != old]
    submissions.save_items(tx, chunk.submission_id, changed, tx.now)
    ended_at = chunk.ended_at or tx.now
    submissions.save_chunk(tx, replace(chunk, batch_status=batch.status, ended_at=ended_at))
    for state, count in Counter(item.state for item in changed).items():
        outcome.items.append((str(action.kind), str(state), count))
    return sum(item.state is ItemState.UNLISTED for item in after)


def told(item: Item, word: BatchItem | None, status: str, *, is_resent: bool) -> Item:
    """Say what became of an item by the word of its batch; without one, by the batch's status.

    What a chunk that was sent twice says to have failed may have been taken the first time.
    """
    if word is None:
        state = BY_STATUS.get(status.upper(), ItemState.UNLISTED)
    else:
        state = ItemState.SUCCEEDED if word.succeeded else ItemState.FAILED
    if state is ItemState.FAILED and is_resent:
        state = ItemState.UNLISTED
    if word is None:
        return replace(item, state=state)
    return replace(
        item, state=state, invoice_id=word.invoice_id or item.invoice_id, errors=word.errors
    )


def confirm(tx: Tx, action: Action, outcome: Outcome) -> None:
    """The chunk has reached its end at Amili, whatever that is for its items."""
    if action.state is ActionState.CONFIRMED:
        return
    after = replace(action, state=ActionState.CONFIRMED, not_before=None, closed_at=tx.now)
    ledger.save(tx, [after])
    outcome.actions.append((str(after.kind), str(after.state)))
