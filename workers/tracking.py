"""A batch that we handed over is followed to its end: by webhook, or by reading it again.

The chunk and its items belong to the batch: only who leases the batch writes what became of
them.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from typing import NamedTuple

from service.domain.actions import Action, ActionState
from service.domain.entities import Nudge
from service.domain.records import Batch, BatchItem
from service.domain.submissions import ENDED, Chunk, Item, ItemState, next_poll, settled
from service.store import ledger, reports, submissions
from service.store.database import Tx
from workers.outcomes import Outcome


class Followed(NamedTuple):
    """When a batch is to be read again, and which cases are to be looked at for its end."""

    again_at: datetime | None = None
    nudges: tuple[Nudge, ...] = ()


def follow(tx: Tx, batch: Batch, outcome: Outcome) -> Followed:
    """Write what a batch says of its chunk; at its end the cases of its reports are looked at."""
    chunk = submissions.chunk_of_batch(tx, batch.batch_id)
    if chunk is None or chunk.ended_at is not None:
        return Followed()
    action = ledger.lock(tx, chunk.action_id)
    if action is None:
        return Followed()
    if batch.status not in ENDED:
        if chunk.batch_status != batch.status:
            submissions.save_chunk(tx, replace(chunk, batch_status=batch.status))
        return Followed(next_poll(action.ended_at or action.planned_at, tx.now))
    end(tx, chunk, batch, outcome)
    confirm(tx, action, outcome)
    return Followed(nudges=tuple(reports.nudges(tx, chunk.submission_id, chunk.chunk)))


def end(tx: Tx, chunk: Chunk, batch: Batch, outcome: Outcome) -> None:
    """Give every item what the ended batch says of it."""
    waiting = [
        item
        for item in submissions.items_of(tx, chunk.submission_id, chunk.chunk)
        if item.state is ItemState.OPEN
    ]
    items = [told(item, word) for item, word in settled(waiting, batch.items)]
    submissions.save_items(tx, chunk.submission_id, items, tx.now)
    submissions.save_chunk(tx, replace(chunk, batch_status=batch.status, ended_at=tx.now))
    action = ledger.get(tx, chunk.action_id)
    for state in ItemState:
        count = sum(item.state is state for item in items)
        if count and action is not None:
            outcome.items.append((str(action.kind), str(state), count))


def told(item: Item, word: BatchItem | None) -> Item:
    """Say what became of an item by the word of its batch."""
    if word is None:
        return replace(item, state=ItemState.UNLISTED)
    state = ItemState.SUCCEEDED if word.succeeded else ItemState.FAILED
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
