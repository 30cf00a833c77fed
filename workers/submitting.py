"""One call to Amili for each planned chunk of a submission; a lost answer is looked up.

A chunk whose answer was lost is never sent again unasked: Amili is asked whether it arrived,
by idempotency key and then by the creditor's own invoice ids, for ten minutes. Then it waits
for a person.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Any

import structlog

from service.amili.client import AmiliClient
from service.amili.requests import NewCorrection, NewInvoice, NewPayment
from service.amili.texts import decode
from service.domain.actions import Action, ActionKind, ActionState
from service.domain.entities import EntityKey, Kind, Nudge
from service.domain.submissions import ItemState, next_lookup, place
from service.errors import Conflict, ContractBroken, ProviderError
from service.store import entities, ledger, reports, submissions
from service.store.database import Tx
from service.store.ledger import Due
from workers import backoff
from workers.outcomes import Outcome
from workers.parts import Parts

log = structlog.get_logger()

#: A batch is read this soon after it was taken; its webhook usually comes first.
FIRST_READ_SECONDS = 1.0
#: What did not arrive is tried again as if it had failed this often: within seconds.
AWAY_FAILURES = 3
MODELS: Mapping[ActionKind, type[NewInvoice] | type[NewPayment] | type[NewCorrection]] = {
    ActionKind.CREATE_INVOICES: NewInvoice,
    ActionKind.CREATE_PAYMENTS: NewPayment,
    ActionKind.CREATE_CORRECTIONS: NewCorrection,
}


@dataclass(frozen=True, slots=True)
class Call:
    """A chunk that is `sent`, with the texts of its items."""

    action: Action
    bodies: Sequence[str] = field(repr=False)


@dataclass(frozen=True, slots=True)
class Ended:
    """What a call brought: the action as it is now, the batch, and how long to wait."""

    action: Action
    batch_id: str | None = None
    wait: timedelta = timedelta()


async def submit(parts: Parts, client: AmiliClient, due: Due) -> None:
    """Take one chunk from `planned` to what its call brings."""
    began = time.monotonic()
    call, outcome = await asyncio.to_thread(begin, parts, due)
    await asyncio.to_thread(outcome.tell, parts)
    if call is None:
        return
    # Were this process to stand still for longer, somebody may have taken over by then.
    ended = await make(client, call, parts, began + parts.settings.lease_seconds / 2)
    outcome = await asyncio.to_thread(finish, parts, ended)
    await asyncio.to_thread(outcome.tell, parts)


def begin(parts: Parts, due: Due) -> tuple[Call | None, Outcome]:
    """Write `sent`, and read what is to be sent."""

    def run(tx: Tx) -> tuple[Call | None, Outcome]:
        outcome = Outcome()
        action = ledger.lock(tx, due.action_id)
        if action is None or action.state is not ActionState.PLANNED:
            return None, outcome  # somebody else was quicker
        bodies = submissions.bodies(tx, *place(action.target))
        sent = replace(
            action,
            state=ActionState.SENT,
            attempts=action.attempts + 1,
            sent_at=tx.now,
            ended_at=None,
            not_before=None,
            error=None,
        )
        if action.kind is not ActionKind.CREATE_INVOICES:
            # What Amili shows before it is told is where the amounts begin to grow from.
            reports.begin_in_chunk(tx, *place(action.target))
        ledger.send(tx, sent, parts.holder, parts.lease)
        outcome.actions.append((str(sent.kind), str(sent.state)))
        return Call(sent, bodies), outcome

    return parts.database.run(run)


async def make(client: AmiliClient, call: Call, parts: Parts, not_after: float) -> Ended:
    """Make the one call; say what its answer means."""
    action = call.action
    try:
        items = await asyncio.to_thread(read_items, call)
    except Exception as exc:
        return Ended(replace(action, state=ActionState.REFUSED, error=backoff.told(exc)))
    try:
        batch_id = await request(client, action, items, not_after)
    except ProviderError as exc:
        return judge(action, exc, backoff.wait(exc, AWAY_FAILURES, parts.chance))
    except Exception as exc:
        return Ended(uncertain(action, backoff.told(exc)))
    return Ended(replace(action, state=ActionState.ANSWERED), batch_id)


async def request(client: AmiliClient, action: Action, items: list[Any], not_after: float) -> str:
    """Send a chunk and return its batch's id; the key is the same for every try."""
    organization, key = action.organization_id or "", action.action_id
    if action.kind is ActionKind.CREATE_INVOICES:
        created = await client.create_invoices(
            organization, items, idempotency_key=key, not_after=not_after
        )
    elif action.kind is ActionKind.CREATE_PAYMENTS:
        created = await client.create_payments(
            organization, items, idempotency_key=key, not_after=not_after
        )
    else:
        created = await client.create_corrections(
            organization, items, idempotency_key=key, not_after=not_after
        )
    return created.value.batch_id


def read_items(call: Call) -> list[Any]:
    """Read the items' texts as the models that the client sends."""
    model = MODELS[call.action.kind]
    return [model.model_validate(decode(body.encode())) for body in call.bodies]


def judge(action: Action, error: ProviderError, wait: timedelta) -> Ended:
    """Say what an error means: may have arrived, surely not, or a final no."""
    taken = isinstance(error, ContractBroken) and error.status is not None and error.status < 300
    # A conflict may say that this very key was seen before: then it has arrived.
    if error.may_have_happened or taken or isinstance(error, Conflict):
        return Ended(uncertain(action, str(error)))
    if error.retryable:
        back = replace(
            action,
            state=ActionState.PLANNED,
            attempts=action.attempts - 1,
            sent_at=action.sent_at if action.attempts > 1 else None,
            error=str(error),
        )
        return Ended(back, wait=wait)
    return Ended(replace(action, state=ActionState.REFUSED, error=str(error)))


def uncertain(action: Action, words: str) -> Action:
    """Nobody knows whether it arrived."""
    return replace(action, state=ActionState.UNCERTAIN, error=words)


def finish(parts: Parts, ended: Ended) -> Outcome:
    """Write down what the call brought, unless somebody else has judged it meanwhile."""

    def run(tx: Tx) -> Outcome:
        outcome = Outcome()
        action = ended.action
        now = ledger.lock(tx, action.action_id)
        if now is None:
            return outcome
        if ledger.holder_of(tx, action.action_id) != parts.holder:
            outcome.leases_lost += 1
            if not is_answer_to(action, now):
                return outcome
        if action.state is ActionState.PLANNED:
            save(tx, replace(action, not_before=tx.now + ended.wait), outcome)
        elif action.state is ActionState.UNCERTAIN:
            save(tx, lost(action, tx), outcome)
        elif action.state is ActionState.REFUSED:
            refuse(tx, action, outcome)
        else:
            answer(tx, action, ended.batch_id, outcome)
        return outcome

    # Many tries: what Amili answered is known only here.
    return parts.database.run(run, tries=20)


def is_answer_to(action: Action, now: Action) -> bool:
    """Say whether this is Amili's word on the very call that is uncertain by now.

    Its lease had ended, nobody knew and nobody sent it again: the word still counts.
    """
    same = (action.attempts, action.sent_at) == (now.attempts, now.sent_at)
    known = action.state in (ActionState.ANSWERED, ActionState.REFUSED)
    return known and same and now.state is ActionState.UNCERTAIN


def answer(tx: Tx, action: Action, batch_id: str | None, outcome: Outcome) -> bool:
    """Note the batch that a chunk became, and have it followed; False: it is another's."""
    chunk = submissions.chunk(tx, *place(action.target))
    other = None if batch_id is None else submissions.chunk_of_batch(tx, batch_id)
    if chunk is None or batch_id is None or (other is not None and other != chunk):
        save(tx, lost(uncertain(action, "Amili named a batch that is not this one's"), tx), outcome)
        return False
    after = replace(action, state=ActionState.ANSWERED, not_before=None, closed_at=None)
    save(tx, replace(after, ended_at=action.ended_at or tx.now), outcome)
    submissions.save_chunk(tx, replace(chunk, batch_id=batch_id))
    entities.nudge(tx, [batch_nudge(action, batch_id)])
    return True


def save(tx: Tx, action: Action, outcome: Outcome) -> None:
    """Write an action, and remember to count it."""
    ledger.save(tx, [action])
    outcome.actions.append((str(action.kind), str(action.state)))
    log.info(
        "submission",
        action_id=action.action_id,
        type=str(action.kind),
        outcome=str(action.state),
        attempt=action.attempts,
        reason=action.error,
    )


def lost(action: Action, tx: Tx) -> Action:
    """Have a chunk of unknown fate looked up; its last look was the last when none is left."""
    ended_at = tx.now if action.ended_at is None else action.ended_at
    again = next_lookup(ended_at, tx.now)
    closed_at = None if again is not None else tx.now
    return replace(action, ended_at=ended_at, not_before=again, closed_at=closed_at)


def batch_nudge(action: Action, batch_id: str) -> Nudge:
    """Have the batch of a chunk read."""
    return Nudge(
        EntityKey(Kind.BATCH, batch_id),
        "submission",
        {"action_id": action.action_id},
        organization_id=action.organization_id,
        after_seconds=FIRST_READ_SECONDS,
    )


def refuse(tx: Tx, action: Action, outcome: Outcome) -> None:
    """Note that Amili refused a whole chunk."""
    save(tx, replace(action, ended_at=tx.now, closed_at=tx.now), outcome)
    submission_id, number = place(action.target)
    chunk = submissions.chunk(tx, submission_id, number)
    if chunk is None:
        return
    items = [
        replace(item, state=ItemState.REFUSED)
        for item in submissions.items_of(tx, submission_id, number)
    ]
    submissions.save_items(tx, submission_id, items, tx.now)
    submissions.save_chunk(tx, replace(chunk, ended_at=tx.now))
    entities.nudge(tx, reports.nudges(tx, submission_id, number))
    outcome.items.append((str(action.kind), str(ItemState.REFUSED), len(items)))


def give_to_lookups(tx: Tx, action_id: str, target: str) -> Action | None:
    """Make a chunk whose sender is gone `uncertain`; the sweeper calls this for each."""
    action = ledger.lock(tx, action_id)
    if action is None or not ledger.is_abandoned(tx, action_id):
        return None
    words = "whoever sent this is gone; nobody knows whether it arrived"
    after = lost(replace(uncertain(action, words), ended_at=None), tx)
    ledger.save(tx, [after])
    return after
