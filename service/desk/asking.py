"""What a person asks of Amili: withdraw a case, answer a list or an eviction. A row, a bell.

Only workers call Amili. A request is planned here under the lock of its case, and can be taken
back until it is sent; one of unknown fate is sent again only when a person says so.
"""

from __future__ import annotations

import hashlib
import uuid
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime

import structlog

from service.desk.ids import known
from service.desk.once import named, once
from service.desk.writing import NotPossible, locked, word
from service.domain import asking
from service.domain.actions import ASKED, Action, ActionKind, ActionState
from service.errors import RecordMissing
from service.queue import Bells
from service.store import cases, ledger
from service.store.cases import Standing
from service.store.database import Database, Tx

log = structlog.get_logger()

#: A longer key stands in the cause as its digest: a cause has at most 200 characters.
LONGEST_KEY = 150


@dataclass(frozen=True, slots=True)
class NewRequest:
    """What somebody asks for; `key` asks for it once however often it comes."""

    case_id: str
    kind: ActionKind
    #: A code or a short text, sent to Amili; it names nobody. Empty: none is sent.
    reason: str = ""
    key: str | None = None


class Asking:
    """Writes requests into the ledger, and rings for the workers that make the calls."""

    def __init__(self, database: Database, bells: Bells) -> None:
        self._database = database
        self._bells = bells

    def ask(self, wish: NewRequest) -> Action:
        """Plan a request; the same key again gets the same action.

        Raises RecordMissing (no such case), or NotPossible: the key was used for another request,
        the reason cannot be sent, or the same question is being answered at this moment.
        """
        action = self._database.run(lambda tx: planned(tx, checked(wish)))
        log.info("asked", action_id=action.action_id, case_id=wish.case_id, type=str(wish.kind))
        self._bells.try_ring("actions")
        return action

    def cancel(self, action_id: str) -> Action:
        """Take a request back that was never sent; twice is no error.

        Raises RecordMissing or NotPossible.
        """
        return self._database.run(lambda tx: with_action(tx, action_id, cancelled))

    def resend(self, action_id: str, key: str | None = None) -> Action:
        """Have a request sent again of which nobody knows whether it arrived, with the same key.

        The Idempotency-Key `key` has it sent again once. Raises RecordMissing or NotPossible.
        """

        def run(tx: Tx, action: Action) -> Action:
            name = named("resend", action_id, key)
            once(tx, name, lambda: planned_again(tx, action).action_id)
            return ledger.get(tx, action_id) or action

        action = self._database.run(lambda tx: with_action(tx, action_id, run))
        self._bells.try_ring("actions")
        return action


def checked(wish: NewRequest) -> NewRequest:
    """Raise NotPossible for a reason that cannot be sent, or none where one is needed."""
    if not wish.reason and wish.kind is not ActionKind.WITHDRAW_CASE:
        return wish
    try:
        word(wish.reason)
    except ValueError as exc:
        raise NotPossible(f"The reason {exc}.") from None
    return wish


def planned(tx: Tx, wish: NewRequest) -> Action:
    """Plan a request under the lock of its case, or find the one that it is already."""
    standing = locked(tx, wish.case_id)
    actions = ledger.of_cases(tx, [wish.case_id])[wish.case_id]
    new = action_of(wish, standing, tx.now)
    for action in actions:
        if action.cause == new.cause:
            if (action.kind, action.detail.get("reason", "")) == (wish.kind, wish.reason):
                return action
            raise NotPossible("This Idempotency-Key was used for another request on this case.")
    other = asking.in_the_way(actions, wish.kind)
    if other is not None:
        raise NotPossible(words_for(other))
    row = cases.get(tx, wish.case_id)
    if row is not None:
        seen = asking.Seen(
            row.status, row.sub_status, row.type, row.closed_at, standing.read_began_at
        )
        new = asking.renoted(new, seen)
    ledger.plan(tx, new)
    return new


def words_for(other: Action) -> str:
    """Say what is in the way of a request, and what can be done about it."""
    said = f"On this case a {other.kind} is under way: action {other.action_id}, {other.state}."
    if asking.may_cancel(other):
        return f"{said} It can still be cancelled."
    if asking.may_resend(other):
        return f"{said} Nobody knows whether it arrived: ask Amili, and if it did not, resend it."
    return f"{said} Wait for its end."


def action_of(wish: NewRequest, standing: Standing, now: datetime) -> Action:
    """Make the action that somebody asks for."""
    action_id = str(uuid.uuid4())
    return Action(
        action_id=action_id,
        kind=wish.kind,
        target=wish.case_id,
        organization_id=standing.organization_id,
        cause=f"asked:{action_id if wish.key is None else short(wish.key)}",
        state=ActionState.PLANNED,
        planned_at=now,
        detail={"reason": wish.reason} if wish.reason else {},
    )


def short(key: str) -> str:
    """Write a key so that it fits into a cause."""
    if len(key) <= LONGEST_KEY:
        return key
    return f"sha256-{hashlib.sha256(key.encode()).hexdigest()}"


def with_action(tx: Tx, action_id: str, work: Callable[[Tx, Action], Action]) -> Action:
    """Lock the case of a person's request, read the request anew, and work on it."""
    found = ledger.get(tx, known(action_id))
    if found is not None and found.kind in ASKED:
        cases.lock(tx, [found.target])
        found = ledger.get(tx, action_id)
    if found is None:
        raise RecordMissing("There is no action with this id.")
    return work(tx, found)


def cancelled(tx: Tx, action: Action) -> Action:
    """Cancel a request. Raises NotPossible when it was sent, or is not a person's."""
    demand_asked(action, "ends with the holds of its case: release those")
    if action.state is ActionState.CANCELLED:
        return action
    if not asking.may_cancel(action):
        raise NotPossible(f"It is {action.state}: only what was never sent can be cancelled.")
    after = replace(action, state=ActionState.CANCELLED, closed_at=tx.now, not_before=None)
    ledger.save(tx, [after])
    return after


def planned_again(tx: Tx, action: Action) -> Action:
    """Plan a request again. Raises NotPossible unless it is for a person to judge."""
    demand_asked(action, "is repeated by workers where that is safe")
    if not asking.may_resend(action):
        waits = " Reads may still tell: wait." if action.is_open else ""
        raise NotPossible(
            f"It is {action.state}: only what is uncertain, and waits for a person, "
            f"can be sent again.{waits}"
        )
    after = replace(action, state=ActionState.PLANNED, closed_at=None, not_before=None, error=None)
    ledger.save(tx, [after])
    return after


def demand_asked(action: Action, otherwise: str) -> None:
    """Raise NotPossible for an action that no person asked for."""
    if action.kind not in ASKED:
        raise NotPossible(f"No person asked for it: a {action.kind} {otherwise}.")
