"""The ledger's words: what we ask Amili to change, and how far each request got."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum


class ActionKind(StrEnum):
    """The changes that we can ask for."""

    PAUSE_CASE = "pauseCase"
    RESUME_CASE = "resumeCase"


class ActionState(StrEnum):
    """How far an action got. The order of the first four is the good way."""

    PLANNED = "planned"
    SENT = "sent"
    ANSWERED = "answered"
    CONFIRMED = "confirmed"
    #: A read that began long enough after the call shows something else.
    CONTRADICTED = "contradicted"
    #: Amili said no.
    REFUSED = "refused"
    #: No longer wanted, and without effect: never sent, or not seen long after.
    CANCELLED = "cancelled"
    #: It was sent, and nobody knows whether it arrived.
    UNCERTAIN = "uncertain"


#: At most one pause or resume of a case is in one of these (a partial unique index keeps it).
OPEN = frozenset(
    {ActionState.PLANNED, ActionState.SENT, ActionState.ANSWERED, ActionState.UNCERTAIN}
)


@dataclass(frozen=True, slots=True)
class Action:
    """One row of the ledger; unique by (cause, kind, case_id)."""

    action_id: str
    kind: ActionKind
    case_id: str
    organization_id: str | None
    #: `level:N`, the level of the case that wanted it.
    cause: str
    state: ActionState
    planned_at: datetime
    attempts: int = 0
    sent_at: datetime | None = None
    #: When the newest call ended, with or without an answer.
    ended_at: datetime | None = None
    #: When its state last became final.
    closed_at: datetime | None = None
    #: The effect, if seen, is ours: a pause for which Amili did not say «already so».
    is_ours: bool = True
    #: Not to be sent before.
    not_before: datetime | None = None
    error: str | None = None

    @property
    def is_open(self) -> bool:
        """It is under way."""
        return self.state in OPEN

    @property
    def wants_paused(self) -> bool:
        """The state of the case that it is to bring about."""
        return self.kind is ActionKind.PAUSE_CASE
