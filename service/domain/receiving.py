"""From a delivery to the event that stands in the inbox. Pure.

The drain reads every delivery so, and the desk again when an event is replayed: what a
newer version understands, or what has become ours, is worked on then.
"""

from __future__ import annotations

from collections.abc import Iterable

from service.amili import webhooks
from service.domain.deliveries import Delivery, EventState, NewEvent
from service.domain.entities import Claims, EntityKey, Kind
from service.errors import MalformedDelivery

#: The parts of a case whose new value stands in the payload.
SHOWN = frozenset({"status", "type"})


def receive(delivery: Delivery, ours: Iterable[str]) -> NewEvent:
    """Read a delivery; it is kept whatever it says. `ours`: organizations, empty for all."""
    try:
        event = webhooks.read(delivery.body, delivery.headers.get("x-amili-event"))
    except MalformedDelivery as exc:  # taken in by another version of the door
        return unreadable(delivery, str(exc))
    except Exception as exc:
        # One body that our code trips over must not hold up the others for ever.
        return unreadable(delivery, f"our reader failed: {type(exc).__name__}")
    state, outcome = judge(event, ours)
    subject, hint = event.subject, event.hint
    invoices = None if hint.invoices is None else frozenset(hint.invoices)
    return NewEvent(
        delivery,
        event_id=event.event_id,
        type=event.type,
        label=event.label,
        state=state,
        outcome=outcome,
        error=event.problem,
        key=None if subject is None else EntityKey(Kind(subject.kind), subject.id),
        lookup=None if subject is None else subject.case_number,
        organization_id=event.organization_id,
        provider_at=event.time_stamp,
        claims=Claims(hint.status, hint.type, invoices),
        is_hidden_change=event.type == "CASE_UPDATED" and not shows_all(hint.fields),
    )


def shows_all(fields: Iterable[str]) -> bool:
    """Say whether a payload carries all that changed: amounts, say, it never does (contract §4)."""
    changed = set(fields)
    return bool(changed) and changed <= SHOWN


def judge(event: webhooks.Event, ours: Iterable[str]) -> tuple[EventState, str | None]:
    """Say whether there is anything to do: nothing for unknown types and foreign organizations."""
    if event.problem is not None:
        return EventState.DEAD, "malformed"
    if event.subject is None:
        return EventState.SETTLED, "unknown_type"
    known = set(ours)
    if known and event.organization_id is not None and event.organization_id not in known:
        return EventState.SETTLED, "foreign"
    return EventState.RECEIVED, None


def unreadable(delivery: Delivery, error: str) -> NewEvent:
    """Keep what cannot be read as a dead event, under the digest of its body."""
    return NewEvent(
        delivery,
        event_id=delivery.digest.hex(),
        type="UNREADABLE",
        label="other",
        state=EventState.DEAD,
        outcome="malformed",
        error=error,
    )
