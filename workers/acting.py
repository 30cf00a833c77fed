"""One call to Amili for each planned action on a case: ledger, call, ledger.

The row says `sent` before the call and what came of it after. A crash in between leaves
`sent` with a lease that ends: the sweeper makes it `uncertain`, and reads decide.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

import structlog

from service.amili.client import AmiliClient, CaseTarget, Remark
from service.amili.contract import CaseOperation
from service.domain import pausing
from service.domain.actions import ASKED, LEVEL, Action, ActionKind, ActionState
from service.domain.entities import EntityKey, Kind, Nudge
from service.domain.holds import active, codes
from service.errors import Conflict, Invalid, ProviderError, ProviderRefused
from service.store import cases, decisions, entities, holds, ledger
from service.store.database import Tx
from service.store.ledger import Due
from workers import backoff
from workers.judging import level_decision, situation_of
from workers.outcomes import Outcome
from workers.parts import Parts

log = structlog.get_logger()

#: What each kind of action is called at Amili.
OPERATIONS: Mapping[ActionKind, CaseOperation] = {
    ActionKind.PAUSE_CASE: "pause_case",
    ActionKind.RESUME_CASE: "resume_case",
    ActionKind.WITHDRAW_CASE: "withdraw_case",
    ActionKind.ACCEPT_DEBT_COLLECTION_LIST: "accept_debt_collection_list",
    ActionKind.REJECT_DEBT_COLLECTION_LIST: "reject_debt_collection_list",
    ActionKind.ACCEPT_EVICTION_REQUEST: "accept_eviction_request",
    ActionKind.REJECT_EVICTION_REQUEST: "reject_eviction_request",
    ActionKind.ACCEPT_EVICTION_CONFIRMATION: "accept_eviction_confirmation",
    ActionKind.REJECT_EVICTION_CONFIRMATION: "reject_eviction_confirmation",
}
#: What did not arrive is tried again as if it had failed this often: within seconds.
AWAY_FAILURES = 3
#: Seconds between the last comparison and the sending of a resume.
RESUME_SECONDS = 2.0
#: How soon a call is read back; it cannot be seen before, or is not known to have arrived.
READ_BACK_SECONDS = {ActionState.ANSWERED: 1.0, ActionState.UNCERTAIN: 5.0}


@dataclass(frozen=True, slots=True)
class Call:
    """An action that is `sent`, and the reason that Amili is told: codes, no free text."""

    action: Action
    reason: str
    #: A moment of `time.monotonic()` after which the call is not to be sent.
    not_after: float = 0.0


async def perform(parts: Parts, client: AmiliClient, due: Due) -> None:
    """Take one action on a case from `planned` to what its call brings."""
    began = time.monotonic()
    call, outcome = await asyncio.to_thread(begin, parts, due.action_id, due.target)
    await asyncio.to_thread(outcome.tell, parts)
    if call is None:
        return
    # Were this process to stand still for longer, somebody may have taken over by then.
    # A resume goes out at once or not at all: a hold may be placed while it waits for its turn.
    patience = parts.settings.lease_seconds / 2
    if call.action.kind is ActionKind.RESUME_CASE:
        patience = min(patience, RESUME_SECONDS)
    not_after = began + patience
    settled, wait = await make(client, replace(call, not_after=not_after), parts)
    outcome = await asyncio.to_thread(finish, parts, settled, wait)
    await asyncio.to_thread(outcome.tell, parts)


def begin(parts: Parts, action_id: str, case_id: str) -> tuple[Call | None, Outcome]:
    """Compare once more under the case's lock, then write `sent`, or `cancelled`."""
    return parts.database.run(lambda tx: begin_in(tx, parts, action_id, case_id))


def begin_in(tx: Tx, parts: Parts, action_id: str, case_id: str) -> tuple[Call | None, Outcome]:
    """Do what `begin` does, in the given transaction."""
    outcome = Outcome()
    standings = cases.lock(tx, [case_id])
    action = ledger.get(tx, action_id)
    if action is None or action.state is not ActionState.PLANNED:
        return None, outcome  # somebody else was quicker
    if action.kind not in LEVEL:
        sent = note_sent(tx, parts, action, outcome)
        return Call(sent, action.detail.get("reason", "")), outcome
    kept = holds.of_cases(tx, [case_id])[case_id]
    actions = ledger.of_cases(tx, [case_id])[case_id]
    situation, steps = pausing.level(situation_of(standings[case_id], kept, actions, tx.now))
    if not pausing.still_wanted(action, situation):
        if steps:
            cases.set_level(tx, case_id, situation.level, situation.desired)
            key = EntityKey(Kind.CASE, case_id)
            decisions.save(tx, ((level_decision(key, situation, step), 0) for step in steps))
        state = ActionState.UNCERTAIN if action.attempts else ActionState.CANCELLED
        save(tx, replace(action, state=state, closed_at=closing(state, tx)), outcome)
        entities.nudge(tx, [nudge(action)])
        return None, outcome
    sent = note_sent(tx, parts, action, outcome)
    return Call(sent, ", ".join(codes(active(kept, tx.now))) or "released"), outcome


def note_sent(tx: Tx, parts: Parts, action: Action, outcome: Outcome) -> Action:
    """Write, before the call, that it is being made, and by whom."""
    sent = replace(
        action,
        state=ActionState.SENT,
        attempts=action.attempts + 1,
        sent_at=tx.now,
        not_before=None,
        error=None,
    )
    ledger.send(tx, sent, parts.holder, parts.lease)
    outcome.actions.append((str(sent.kind), str(sent.state)))
    return sent


async def make(client: AmiliClient, call: Call, parts: Parts) -> tuple[Action, timedelta]:
    """Make the one call; return the action as the answer leaves it, and how long to wait."""
    action = call.action
    try:
        await request(client, call, parts)
    except (Conflict, Invalid) as exc:
        return conflicting(action, exc), timedelta()
    except ProviderError as exc:
        return judge(action, exc), backoff.wait(exc, AWAY_FAILURES, parts.chance)
    except Exception as exc:
        uncertain = replace(action, state=ActionState.UNCERTAIN, error=backoff.told(exc))
        return uncertain, timedelta()
    return replace(action, state=ActionState.ANSWERED), timedelta()


def conflicting(action: Action, error: Conflict | Invalid) -> Action:
    """Say what 409 and 422 mean: does the case not allow it because it is so already?

    Only reads tell. A pause or resume that is in conflict was not ours, whatever they show; at a
    repeat as well, for one is made only after a read has disproved the try before. What
    a person asked for is refused, unless it was sent before: that try may have arrived.
    """
    if action.kind in LEVEL and isinstance(error, Conflict):
        return replace(action, state=ActionState.UNCERTAIN, is_ours=False, error=str(error))
    if action.kind in ASKED and action.attempts > 1:
        return replace(action, state=ActionState.UNCERTAIN, error=str(error))
    return judge(action, error)


async def request(client: AmiliClient, call: Call, parts: Parts) -> None:
    """Call the operation of an action; the key is the same for every try."""
    action = call.action
    ours = parts.settings.organization_ids
    organization = action.organization_id or (ours[0] if len(ours) == 1 else None)
    if organization is None:
        raise ProviderRefused("the organization of the case is not known")
    await client.operate_on_case(
        OPERATIONS[action.kind],
        CaseTarget(organization, action.target),
        Remark(call.reason or None),
        action.action_id,
        not_after=call.not_after,
    )


def judge(action: Action, error: ProviderError) -> Action:
    """Say what an error means: may have arrived, surely not, or a final no."""
    if error.may_have_happened:
        return replace(action, state=ActionState.UNCERTAIN, error=str(error))
    if error.retryable:
        return not_sent(action, error)
    return replace(action, state=ActionState.REFUSED, error=str(error))


def not_sent(action: Action, error: ProviderError | None) -> Action:
    """Take a try back that surely did not arrive: it counts as none."""
    return replace(
        action,
        state=ActionState.PLANNED,
        attempts=action.attempts - 1,
        sent_at=action.sent_at if action.attempts > 1 else None,
        error=None if error is None else str(error),
    )


def finish(parts: Parts, action: Action, wait: timedelta) -> Outcome:
    """Write down what the call brought, unless somebody else has judged it meanwhile."""
    # Many tries: what Amili answered is known only here.
    return parts.database.run(lambda tx: finish_in(tx, parts, action, wait), tries=20)


def finish_in(tx: Tx, parts: Parts, action: Action, wait: timedelta) -> Outcome:
    """Do what `finish` does, in the given transaction."""
    outcome = Outcome()
    cases.lock(tx, [action.target])
    if ledger.holder_of(tx, action.action_id) != parts.holder:
        outcome.leases_lost += 1
        return outcome
    if action.state is ActionState.PLANNED:
        action = replace(action, not_before=tx.now + wait)
    else:
        action = replace(action, ended_at=tx.now, closed_at=closing(action.state, tx))
    save(tx, action, outcome)
    if action.state is not ActionState.PLANNED:
        entities.nudge(tx, [nudge(action)])
    log.info(
        "action",
        action_id=action.action_id,
        case_id=action.target,
        type=str(action.kind),
        outcome=str(action.state),
        attempt=action.attempts,
        reason=action.error,
    )
    return outcome


def save(tx: Tx, action: Action, outcome: Outcome) -> None:
    """Write an action, and remember to count it."""
    ledger.save(tx, [action])
    outcome.actions.append((str(action.kind), str(action.state)))


def closing(state: ActionState, tx: Tx) -> datetime | None:
    """Return when the action became final, if it did."""
    return tx.now if state in (ActionState.REFUSED, ActionState.CANCELLED) else None


def nudge(action: Action) -> Nudge:
    """Have the case read back."""
    return Nudge(
        EntityKey(Kind.CASE, action.target),
        "action",
        {"action_id": action.action_id},
        organization_id=action.organization_id,
        after_seconds=READ_BACK_SECONDS.get(action.state),
    )


def give_to_reads(tx: Tx, action_id: str, case_id: str) -> Action | None:
    """Make a call whose maker is gone `uncertain`; the sweeper calls this for each."""
    cases.lock(tx, [case_id])
    action = ledger.get(tx, action_id)
    if action is None or not ledger.is_abandoned(tx, action_id):
        return None
    after = replace(
        action,
        state=ActionState.UNCERTAIN,
        ended_at=tx.now,
        error="whoever made this call is gone; nobody knows whether it arrived",
    )
    ledger.save(tx, [after])
    entities.nudge(tx, [nudge(after)])
    return after
