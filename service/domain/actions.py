"""The ledger's words: what we ask Amili to change, and how far each request got."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum


class ActionKind(StrEnum):
    """The changes that we can ask for."""

    PAUSE_CASE = "pauseCase"
    RESUME_CASE = "resumeCase"
    WITHDRAW_CASE = "withdrawCase"
    ACCEPT_DEBT_COLLECTION_LIST = "acceptDebtCollectionList"
    REJECT_DEBT_COLLECTION_LIST = "rejectDebtCollectionList"
    ACCEPT_EVICTION_REQUEST = "acceptEvictionRequest"
    REJECT_EVICTION_REQUEST = "rejectEvictionRequest"
    ACCEPT_EVICTION_CONFIRMATION = "acceptEvictionConfirmation"
    REJECT_EVICTION_CONFIRMATION = "rejectEvictionConfirmation"
    CREATE_INVOICES = "createInvoices"
    CREATE_PAYMENTS = "createPayments"
    CREATE_CORRECTIONS = "createCorrections"


#: Wanted by the level of a case, and born only in `service.domain.pausing`.
LEVEL = frozenset({ActionKind.PAUSE_CASE, ActionKind.RESUME_CASE})
#: One chunk of a submission each; their target is the chunk, not a case.
SUBMISSIONS = frozenset(
    {ActionKind.CREATE_INVOICES, ActionKind.CREATE_PAYMENTS, ActionKind.CREATE_CORRECTIONS}
)
#: Asked for by a person, once; never repeated unasked.
ASKED = frozenset(ActionKind) - LEVEL - SUBMISSIONS


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
    """One row of the ledger; unique by (cause, kind, target)."""

    action_id: str
    kind: ActionKind
    #: A case's id, or the chunk of a submission.
    target: str
    organization_id: str | None
    #: `level:N`, the level of the case that wanted it; `asked:…`, a person's request.
    cause: str
    state: ActionState
    planned_at: datetime
    attempts: int = 0
    sent_at: datetime | None = None
    #: When the newest call ended, with or without an answer.
    ended_at: datetime | None = None
    #: When its state last became final; an uncertain one then waits for a person.
    closed_at: datetime | None = None
    #: The effect, if seen, is ours: a pause for which Amili did not say «already so».
    is_ours: bool = True
    #: Not to be sent, or not to be looked up, before.
    not_before: datetime | None = None
    error: str | None = None
    #: What the call needs beside its target: a reason; ids, codes and statuses only.
    detail: Mapping[str, str] = field(default_factory=dict)

    @property
    def case_id(self) -> str | None:
        """The case that it is for; None for a submission."""
        return None if self.kind in SUBMISSIONS else self.target

    @property
    def is_open(self) -> bool:
        """It is under way."""
        return self.state in OPEN and self.closed_at is None

    @property
    def wants_paused(self) -> bool:
        """The state of the case that it is to bring about."""
        return self.kind is ActionKind.PAUSE_CASE
