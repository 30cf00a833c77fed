"""What Amili's webhooks say: one class for each event type, `envelope` and `read`. Pure.

To add a type: write its class and name it in `EVENTS`.

The published examples disagree with each other [doc], so every known spelling is
read. Whatever leaves this module in an `Event` is printable, at most 200
characters long and free of NUL and surrogates, so that any database keeps it.
A member that is not is told as None, or as the event's `problem` when nothing can
be done without it.
"""

from __future__ import annotations

from typing import Annotated, Any, NamedTuple

from pydantic import BaseModel, ConfigDict, Field, PlainValidator, ValidationError

from service.amili.events import Event, Hint, Subject
from service.amili.texts import MAX_TEXT, case_number, decode, keepable, read_time
from service.errors import MalformedDelivery

__all__ = [
    "EVENTS",
    "BatchCompleted",
    "CaseCreated",
    "CaseUpdated",
    "Envelope",
    "Event",
    "EventData",
    "Hint",
    "SettlementCreated",
    "Subject",
    "envelope",
    "read",
]

UNREADABLE = "UNREADABLE"
OTHER = "other"
NEEDED = f"expected 1 to {MAX_TEXT} printable characters"


# --- members ----------------------------------------------------------------


def _needed(value: object) -> str:
    if (text := keepable(value)) is None:
        raise ValueError(NEEDED)
    return text


def _texts(value: object) -> tuple[str, ...] | None:
    """Read a list of texts; one that is unreadable makes the whole claim None."""
    if not isinstance(value, list):
        return None
    texts = tuple(text for each in value if (text := keepable(each)) is not None)
    return texts if len(texts) == len(value) else None


Text = Annotated[str | None, PlainValidator(keepable)]
Id = Annotated[str, PlainValidator(_needed)]
Number = Annotated[str | None, PlainValidator(case_number)]
Texts = Annotated[tuple[str, ...] | None, PlainValidator(_texts)]


# --- one class for each event type ------------------------------------------


class EventData(BaseModel):
    """Members that the `data` of every event may have."""

    model_config = ConfigDict(extra="allow", frozen=True, hide_input_in_errors=True)

    status: Text = None

    def subject(self) -> Subject:
        """Name the thing that the event is about."""
        raise NotImplementedError

    def hint(self) -> Hint:
        """Repeat what the payload claims about it."""
        return Hint(status=self.status)


class BatchCompleted(EventData):
    """A batch ended as SUCCESS, PARTIAL or FAILED [doc]."""

    batch_id: Id = Field(validation_alias="batchId")

    def subject(self) -> Subject:
        """Name the batch."""
        return Subject("batch", self.batch_id)


class SettlementCreated(EventData):
    """Amili will pay out what it collected [doc]; the amount is in the API."""

    settlement_id: Id = Field(validation_alias="settlementId")
    invoice_id: Text = Field(None, validation_alias="invoiceId")
    case_number: Number = Field(None, validation_alias="caseNumber")

    def subject(self) -> Subject:
        """Name the settlement, and the case that it belongs to."""
        return Subject("settlement", self.settlement_id, self.case_number)

    def hint(self) -> Hint:
        """Repeat which invoice the settlement is for."""
        return Hint(status=self.status, invoices=(self.invoice_id,) if self.invoice_id else None)


class CaseCreated(EventData):
    """A case was opened [doc]. `type` is the type of the case."""

    case_id: Id = Field(validation_alias="caseId")
    case_number: Number = Field(None, validation_alias="caseNumber")
    type: Text = None
    invoices: Texts = None
    fields_changed: Texts = Field(None, validation_alias="fields")

    def subject(self) -> Subject:
        """Name the case."""
        return Subject("case", self.case_id, self.case_number)

    def hint(self) -> Hint:
        """Repeat what the payload claims about the case."""
        return Hint(self.status, self.type, self.invoices, self.fields_changed or ())


class CaseUpdated(CaseCreated):
    """Parts of a case changed; `fields` says which [doc]."""


#: Every name by which Amili calls an event [doc; CASE_CREATED and the like accepted].
EVENTS: dict[str, type[EventData]] = {
    "BATCH_COMPLETED": BatchCompleted,
    "SETTLEMENT_CREATED": SettlementCreated,
    "CASE": CaseCreated,
    "CASE_CREATED": CaseCreated,
    "CASE_UPDATED": CaseUpdated,
}
#: Spellings that mean another name.
SAME = {"CASE": "CASE_CREATED"}


# --- reading ----------------------------------------------------------------


class Envelope(NamedTuple):
    """What stands around an event's data, and the data unread."""

    event_id: str
    type: str
    #: The type where it is a known one, else «other».
    label: str
    members: dict[str, Any]
    data: dict[str, Any]


def envelope(body: bytes, event_header: str | None = None) -> Envelope:
    """Open the body of an authentic delivery; raise MalformedDelivery when it is no envelope.

    `event_header`: the event's type as the header says it, used when the body does not.
    """
    members = _members(body)
    event_id = keepable(members.get("id"))
    if event_id is None:
        raise MalformedDelivery(f"id: {NEEDED}")
    data = members.get("data")
    if data is not None and not isinstance(data, dict):
        raise MalformedDelivery("data: expected a JSON object")
    name = _type(members, event_header)
    return Envelope(event_id, name, name if name in EVENTS else OTHER, members, data or {})


def read(body: bytes, event_header: str | None = None) -> Event:
    """Read all that a delivery says; raises as `envelope` does.

    What is wrong with its data refuses nothing: it is the event's `problem`.
    """
    opened = envelope(body, event_header)
    known = EVENTS.get(opened.type)
    facts, problem = _facts(known or EventData, opened.data)
    return Event(
        event_id=opened.event_id,
        type=opened.type,
        label=opened.label,
        source=keepable(opened.members.get("source")),
        time_stamp=read_time(opened.members.get("timeStamp")),
        organization_id=_organization(opened.data),
        subject=facts.subject() if facts and known else None,
        hint=facts.hint() if facts and known else Hint(),
        problem=problem,
    )


def _members(body: bytes) -> dict[str, Any]:
    try:
        members = decode(body)
    except ValueError as exc:
        raise MalformedDelivery(f"body: {exc}") from None
    if not isinstance(members, dict):
        raise MalformedDelivery("body: expected a JSON object")
    return members


def _type(members: dict[str, Any], header: str | None) -> str:
    """Name the event's type: a known name where one is said, else what is said first."""
    said = [
        name for name in (members.get("type"), members.get("eventType")) if name not in (None, "")
    ]
    if not said and header:
        said = [header]
    if not said:
        raise MalformedDelivery("type: expected `type` or `eventType`, or the X-Amili-Event header")
    for name in said:
        if isinstance(name, str) and name in EVENTS:
            return SAME.get(name, name)
    return keepable(said[0]) or UNREADABLE


def _facts(kind: type[EventData], data: dict[str, Any]) -> tuple[EventData | None, str | None]:
    """Read `data`; say what is wrong with it, never what it contains."""
    try:
        return kind.model_validate(data), None
    except ValidationError as exc:
        readable = {name: value for name, value in data.items() if keepable(name) is not None}
        if len(readable) < len(data):  # pydantic refuses names with lone surrogates
            return _facts(kind, readable)
        return None, _problem(exc)


def _problem(exc: ValidationError) -> str:
    names = sorted({str(error["loc"][0]) for error in exc.errors(include_input=False)})
    return "; ".join(f"data.{name}: {NEEDED}" for name in names)


def _organization(data: dict[str, Any]) -> str | None:
    """Name the creditor: `organizationId`, in case events `orgId` [doc]."""
    return keepable(data.get("organizationId")) or keepable(data.get("orgId"))
