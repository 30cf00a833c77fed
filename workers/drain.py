"""From the stream and the spool into the inbox in SQL: read, insert, commit, let go.

In this order, always: an entry is let go only after the commit. A crash in between has
it read again, and SQL judges it a duplicate.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import structlog

from service.amili import webhooks
from service.domain.deliveries import Delivery, EventState, NewEvent
from service.domain.entities import Claims, EntityKey, Kind
from service.errors import MalformedDelivery
from service.inbox.stream import Entry
from service.store import events, spool
from service.store.database import Tx
from service.store.events import Stored
from workers.parts import Parts

log = structlog.get_logger()

GROUP = 256


def drain(parts: Parts, *, most: int = 5_000) -> int:
    """Move up to about `most` deliveries; return how many were moved."""
    moved = 0
    while moved < most:
        count = drain_spool(parts) + drain_stream(parts)
        if not count:
            break
        moved += count
    return moved


def drain_stream(parts: Parts) -> int:
    """Move one group of the stream."""
    entries = parts.stream.take(GROUP)
    if not entries:
        return 0
    found = [read(each.delivery, parts) for each in entries if each.delivery is not None]
    warn_of_strangers(entries)
    stored = parts.database.run(lambda tx: events.store(tx, found))
    parts.stream.done(entries, stored.settled)
    count(parts, stored)
    return len(entries)


def drain_spool(parts: Parts) -> int:
    """Move one group of the spool: here one transaction does both."""

    def move(tx: Tx) -> tuple[int, Stored]:
        waiting = spool.take(tx, GROUP)
        stored = events.store(tx, [read(delivery, parts) for _, delivery in waiting])
        spool.remove(tx, [row for row, _ in waiting])
        return len(waiting), stored

    if not has_spooled(parts):
        return 0
    moved, stored = parts.database.run(move)
    count(parts, stored)
    return moved


def has_spooled(parts: Parts) -> bool:
    """Look without taking SQLite's only writing place."""
    with parts.database.read() as tx:
        return spool.count(tx) > 0


def read(delivery: Delivery, parts: Parts) -> NewEvent:
    """Read a delivery as it will stand in the inbox; it is kept whatever it says."""
    try:
        event = webhooks.read(delivery.body, delivery.headers.get("x-amili-event"))
    except MalformedDelivery as exc:  # written by another version of the door
        return NewEvent(
            delivery,
            event_id=delivery.digest.hex(),
            type="UNREADABLE",
            label="other",
            state=EventState.DEAD,
            outcome="malformed",
            error=str(exc),
        )
    state, outcome = judge(event, parts.settings.organization_ids)
    subject, hint = event.subject, event.hint
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
        claims=Claims(
            hint.status,
            hint.type,
            None if hint.invoices is None else frozenset(hint.invoices),
        ),
    )


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


def count(parts: Parts, stored: Stored) -> None:
    """Count what was settled or dead from the start."""
    done = [event for event in stored.new if event.outcome is not None]
    for event in done:
        parts.metrics.events.labels(event.label, event.outcome).inc()
    settled = [e.delivery.digest for e in done if e.state is EventState.SETTLED]
    if settled:
        parts.stream.mark_settled(settled)


def warn_of_strangers(entries: Sequence[Entry]) -> None:
    """Say that somebody else writes to our stream; such entries are let go."""
    strange = [entry.id.decode() for entry in entries if entry.delivery is None]
    if strange:
        log.error("stream_entry_unreadable", entries=strange[:10], count=len(strange))
