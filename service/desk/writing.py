"""What an operator does: place and release holds, replay events. A row, a nudge, a bell.

A case is paused and resumed by its holds: nothing here calls for either.
"""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

import structlog

from service.desk import shapes
from service.desk.ids import known, no_event
from service.desk.once import named, once
from service.desk.shapes import Shape
from service.domain.deliveries import EventState
from service.domain.entities import EntityKey, Kind, Nudge
from service.domain.holds import Hold, Owner, active
from service.domain.receiving import receive
from service.errors import AmiliEventsError, RecordMissing
from service.queue import Bells
from service.store import cases, entities, events, holds
from service.store.cases import Standing
from service.store.database import Database, Tx

log = structlog.get_logger()


class NotPossible(AmiliEventsError):
    """This cannot be done."""


@dataclass(frozen=True, slots=True)
class NewHold:
    """What somebody asks for; `key` places it once however often it is asked for."""

    case_id: str
    reason: str
    owner: Owner
    until: datetime | None = None
    comment: str | None = None
    key: str | None = None


LONGEST_COMMENT = 2000
#: Owners of holds that a person placed, and that a person's `resume` ends.
PEOPLE: frozenset[Owner] = frozenset({"operator", "api"})


def word(value: str) -> str:
    """Accept 1 to 200 printable characters that are not all blanks. Raises ValueError."""
    if not (0 < len(value) <= 200 and value.isprintable() and value.strip()):
        raise ValueError("must be 1 to 200 printable characters")
    return value


def prose(value: str) -> str:
    """Accept text that any database can keep. Raises ValueError."""
    if len(value) > LONGEST_COMMENT or any(not c.isprintable() and c not in "\n\t" for c in value):
        raise ValueError(f"must be at most {LONGEST_COMMENT} printable characters")
    return value


def checked(wish: NewHold) -> NewHold:
    """Raise NotPossible for a wish that no database and no reader could do anything with."""
    try:
        word(wish.reason)
    except ValueError as exc:
        raise NotPossible(f"The reason {exc}.") from None
    try:
        prose(wish.comment or "")
    except ValueError as exc:
        raise NotPossible(f"The comment {exc}.") from None
    return wish


class Writing:
    """Changes our own rows, and asks the workers to look."""

    def __init__(self, database: Database, bells: Bells, ours: Sequence[str] = ()) -> None:
        self._database = database
        self._bells = bells
        #: The organizations that are ours; empty: all.
        self._ours = ours

    def place_hold(self, wish: NewHold) -> Hold:
        """Place a hold. Raises RecordMissing (no such case) or NotPossible."""

        def run(tx: Tx) -> Hold:
            standing = locked(tx, wish.case_id)
            new = hold_of(checked(wish), tx.now)
            hold = holds.place(tx, new)
            if (hold.reason, hold.until, hold.comment) != (wish.reason, wish.until, wish.comment):
                raise NotPossible("This Idempotency-Key was used for another hold.")
            # Asked last: who asks again gets the same hold, also when its time is over.
            if hold is new and wish.until is not None and wish.until <= tx.now:
                raise NotPossible("`until` is in the past: such a hold would hold nothing.")
            entities.nudge(tx, [nudge(standing, "hold", hold.hold_id)])
            return hold

        placed = self._database.run(run)
        self._bells.try_ring("events")
        return placed

    def release_hold(self, case_id: str, hold_id: str) -> None:
        """Release a hold; one that has ended already is no error. Raises RecordMissing."""

        def run(tx: Tx) -> None:
            standing = locked(tx, case_id)
            hold = holds.get(tx, known(hold_id))
            if hold is None or hold.case_id != case_id:
                raise RecordMissing("This case has no hold with this id.")
            if holds.release(tx, [hold_id], "released"):
                entities.nudge(tx, [nudge(standing, "release", hold_id)])

        self._database.run(run)
        self._bells.try_ring("events")

    def resume(self, case_id: str, key: str | None = None) -> Shape:
        """Release every hold that a person placed; tell which, and what still holds the case.

        It is resumed by workers once nothing holds it, if the pause was ours. The same `key`
        again releases nothing that was placed since. Raises RecordMissing.
        """

        def run(tx: Tx) -> Shape:
            standing = locked(tx, case_id)
            answer: Shape = once(
                tx, named("resume", case_id, key), lambda: release_of_people(tx, standing)
            )
            return answer

        told = self._database.run(run)
        self._bells.try_ring("events")
        return told

    def replay(self, event_id: str, key: str | None = None) -> int:
        """Have an event read and worked on again, around every dedup; return how many rows wait.

        What was of an unknown type or a foreign organization may be neither by now.
        The same `key` again replays nothing. Raises RecordMissing or NotPossible.
        """

        def run(tx: Tx) -> int:
            name = named("replay", known(event_id), key)
            answer: int = once(tx, name, lambda: revived(tx, event_id, self._ours))
            return answer

        count = self._database.run(run)
        self._bells.try_ring("events")
        return count


def revived(tx: Tx, event_id: str, ours: Sequence[str]) -> int:
    """Have the rows of an event worked on again that something is to be done for."""
    rows = events.deliveries_of(tx, event_id)
    if not rows:
        raise no_event(tx)
    read = [(seq, receive(delivery, ours)) for seq, delivery in rows]
    again = [each for each in read if each[1].state is EventState.RECEIVED]
    if not again:
        raise NotPossible(f"There is nothing to do for it: {read[0][1].outcome}.")
    events.revive(tx, again)
    return len(again)


def release_of_people(tx: Tx, standing: Standing) -> Shape:
    """Release what people placed on a case, and tell what was released and what still holds it."""
    case_id = standing.case_id
    ids = [
        hold.hold_id
        for hold in active(holds.of_cases(tx, [case_id])[case_id], tx.now)
        if hold.owner in PEOPLE
    ]
    released = holds.release(tx, ids, "released")
    entities.nudge(tx, [nudge(standing, "release", hold_id) for hold_id in released])
    kept = holds.of_cases(tx, [case_id])[case_id]
    still = active(kept, tx.now)
    return {
        "caseId": case_id,
        "desired": "paused" if still else "running",
        "released": [shapes.hold(hold) for hold in kept if hold.hold_id in released],
        "stillHeld": [shapes.hold(hold) for hold in still],
    }


def locked(tx: Tx, case_id: str) -> Standing:
    """Lock a case's row: holds change only under it."""
    standing = cases.lock(tx, [known(case_id)]).get(case_id)
    if standing is None:
        raise RecordMissing("There is no case with this id.")
    return standing


def hold_of(wish: NewHold, now: datetime) -> Hold:
    """Make the hold that somebody asks for."""
    return Hold(
        hold_id=str(uuid.uuid4()),
        case_id=wish.case_id,
        reason=wish.reason,
        owner=wish.owner,
        placed_at=now,
        until=wish.until,
        comment=wish.comment,
        key=wish.key,
    )


def nudge(standing: Standing, cause: str, hold_id: str) -> Nudge:
    """Have the case looked at."""
    return Nudge(
        EntityKey(Kind.CASE, standing.case_id),
        cause,
        {"hold_id": hold_id},
        organization_id=standing.organization_id,
    )
