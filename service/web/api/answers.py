"""What the API answers, as models: only the document at `/openapi.json` is made from them.

The desk shapes the answers; tests hold each of them against its model, member by member.
"""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field
from pydantic.alias_generators import to_camel

from service.domain.actions import ActionKind, ActionState
from service.domain.deliveries import EventState
from service.domain.submissions import ItemState, SubmissionKind

Amount = Annotated[str, Field(description="A decimal number; it keeps its scale.")]


class Answer(BaseModel):
    """What all answers share: camelCase; clients must expect more members."""

    model_config = ConfigDict(alias_generator=to_camel)


# --- events and quarantine ------------------------------------------------------


class Event(Answer):
    """A webhook that came in."""

    event_id: str
    type: str
    state: EventState
    outcome: str | None
    entity: str | None
    organization_id: str | None
    received_at: datetime
    provider_at: datetime | None
    settled_at: datetime | None
    attempts: int
    error: str | None
    is_variant: bool
    digest: str


class Waiting(Answer):
    """Why something was not looked at yet."""

    error: str | None
    failures: int
    next_try_at: datetime | None


class EventShown(Event):
    """An event, with the others that came under its id."""

    variants: list[Event]
    waiting: Waiting | None


class Replayed(Answer):
    """How many deliveries will be worked on again."""

    replayed: int


class DeadReplayed(Replayed):
    """How far a replay of dead letters got; `next` is the `after` of the rest."""

    skipped: int
    next: str | None


class Quarantined(Answer):
    """A refused delivery; its source only tells senders apart."""

    quarantine_id: str
    reason: str
    source: str
    body_bytes: int
    times: int
    first_at: datetime
    last_at: datetime
    tried_at: datetime | None


class Accepted(Answer):
    """What became of a delivery that was in quarantine."""

    quarantine_id: str
    status: Literal["accepted", "duplicate"]
    event_id: str


# --- cases, holds, actions ------------------------------------------------------


class Hold(Answer):
    """Why a case must stay paused, by whom, and until when."""

    hold_id: str
    case_id: str
    reason: str
    owner: str
    comment: str | None
    placed_at: datetime
    until: datetime | None
    released_at: datetime | None
    released_by: str | None


class Invoice(Answer):
    """An invoice as last read."""

    invoice_id: str
    invoice_number: str | None
    unique_source_invoice_id: str | None
    organization_id: str | None
    type: str | None
    status: str | None
    case_id: str | None
    case_number: str | None
    batch_id: str | None
    currency: str | None
    original_amount: Amount | None
    remaining_amount: Amount | None
    remaining_principal: Amount | None
    paid_amount: Amount | None
    credited_amount: Amount | None
    invoice_date: datetime | None
    due_date: datetime | None
    read_at: datetime


class Case(Answer):
    """A case as last read, with what must hold it."""

    case_id: str
    case_number: str | None
    organization_id: str | None
    type: str | None
    status: str | None
    sub_status: str | None
    description: str | None
    registered_at: datetime | None
    closed_at: datetime | None
    read_at: datetime
    level: int
    desired: Literal["paused", "running"]
    invoices: list[Invoice]
    holds: list[Hold]
    waiting: Waiting | None


class Resumed(Answer):
    """Which holds ended, and what still holds the case."""

    case_id: str
    desired: Literal["paused", "running"]
    released: list[Hold]
    still_held: list[Hold]


class Action(Answer):
    """A row of the ledger: something that Amili is asked to change."""

    action_id: str
    kind: ActionKind
    state: ActionState
    case_id: str | None
    target: str
    cause: str
    attempts: int
    planned_at: datetime
    sent_at: datetime | None
    ended_at: datetime | None
    closed_at: datetime | None
    is_ours: bool
    reason: str | None
    error: str | None


class Decision(Answer):
    """What a policy decided, and the facts that it went by."""

    policy: str
    outcome: str
    words: str
    facts: Any
    fetch_number: int | None
    decided_at: datetime


class EventStep(Answer):
    """An event on a timeline."""

    at: datetime
    kind: Literal["event"]
    event: Event


class DecisionStep(Answer):
    """A decision on a timeline."""

    at: datetime
    kind: Literal["decision"]
    decision: Decision


class ActionStep(Answer):
    """An action on a timeline."""

    at: datetime
    kind: Literal["action"]
    action: Action


class HoldStep(Answer):
    """A hold on a timeline."""

    at: datetime
    kind: Literal["hold"]
    hold: Hold


# --- what was handed over, and what Amili said of it ----------------------------


class BatchItem(Answer):
    """An item of a batch; members that nobody told are left out."""

    invoice_id: str = ""
    invoice_number: str = ""
    unique_source_invoice_id: str = ""
    case_id: str = ""
    case_number: str = ""
    errors: Any = None


class Batch(Answer):
    """A batch as last read."""

    batch_id: str
    organization_id: str | None
    type: str | None
    status: str | None
    created_at: datetime | None
    finished_at: datetime | None
    read_at: datetime
    succeeded: list[BatchItem]
    failed: list[BatchItem]


class Settlement(Answer):
    """A settlement; `record` is all that Amili said of it, numbers as decimal strings."""

    settlement_id: str
    organization_id: str | None
    case_number: str | None
    collection_type: str | None
    currency: str | None
    customer_reference: str | None
    read_at: datetime
    record: Any


class Submission(Answer):
    """What was handed over, and how many of its items are in each state."""

    submission_id: str
    kind: SubmissionKind
    organization_id: str
    state: Literal["staging", "sending", "tracking", "uncertain", "succeeded", "partial", "failed"]
    created_at: datetime
    items: dict[ItemState | Literal["all"], int]


class Chunk(Answer):
    """One call to Amili of a submission."""

    chunk: int
    items: int
    action_id: str
    state: ActionState | None
    attempts: int | None
    error: str | None
    batch_id: str | None
    batch_status: str | None
    ended_at: datetime | None


class NotTaken(Answer):
    """An item that Amili has not taken."""

    line: int
    unique_source_invoice_id: str | None
    invoice_number: str | None
    invoice_id: str | None
    state: ItemState
    errors: Any


class SubmissionShown(Submission):
    """A submission with its calls, and the first items that were not taken."""

    chunks: list[Chunk]
    failed: list[NotTaken]


class Flaw(Answer):
    """Something about an item that is handed over: `position` counts items, from 0."""

    line: int
    column: int
    position: int | None
    field: str
    message: str
    severity: str


class SubmissionPlaced(SubmissionShown):
    """A submission that was taken."""

    warnings: list[Flaw]


class Examined(Answer):
    """What a dry run found; the sums are by currency."""

    kind: SubmissionKind
    count: int
    totals: dict[str, Amount]
    warnings: list[Flaw]


class ProblemDetails(Answer):
    """RFC 9457: why not. A refused submission lists its `errors` and their `count`."""

    type: str
    title: str
    status: int
    detail: str = ""
    errors: list[Flaw] = []
    count: int = 0
