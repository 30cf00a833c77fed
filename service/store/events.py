"""The inbox in SQL: every delivery once, judged by the digest of its body."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Column, Row, TextClause, and_, func, literal, select, update
from sqlalchemy.exc import StatementError
from sqlalchemy.sql import ColumnElement, Select

from service.domain.deliveries import LABELS, Delivery, EventState, NewEvent, Which, label_of
from service.domain.entities import Claims, EntityKey
from service.store import entities
from service.store.database import Tx, spoils_all
from service.store.dialects import among, insert
from service.store.schema import OPEN_EVENTS, UNSETTLED, event_keys, events, organizations

#: A row that cannot be written, as the database says it or its driver (a lone surrogate).
REFUSALS = (StatementError, ValueError, OverflowError)
UNFINISHED = (EventState.RECEIVED, EventState.RETRYING)
OPEN = (*UNFINISHED, EventState.DEAD)
#: An id or key that comes again after longer is not flagged: a delivery that is tried again comes
#: within days, and to search all months for each event would cost more with each month. Who asks
#: for an event is shown all that came under its id, however long ago.
VARIANTS_COME_WITHIN = timedelta(days=45)


@dataclass(frozen=True, slots=True)
class Stored:
    """What became of a batch of deliveries."""

    #: Digests of all that are in SQL now, new or not.
    digests: tuple[bytes, ...]
    new: tuple[NewEvent, ...]
    #: Digests that were settled before.
    settled: frozenset[bytes]


def store(tx: Tx, found: Iterable[NewEvent]) -> Stored:
    """Insert what is new, raise what it points at; what the database refuses is kept as dead."""
    unique = {event.delivery.digest: event for event in found}
    rows = list(unique.values())  # as they came: the newest payload of an entity is its last row
    if not rows:
        return Stored((), (), frozenset())
    try:
        with tx.savepoint():
            new = insert_new(tx, rows)
    except REFUSALS as exc:
        if spoils_all(exc):
            raise
        alone = (insert_alone(tx, unique[digest]) for digest in sorted(unique))
        new = tuple(event for stored in alone for event in stored)
    fresh = {event.delivery.digest for event in new}
    old = [row.delivery.digest for row in rows if row.delivery.digest not in fresh]
    return Stored(tuple(unique), new, settled_among(tx, old))


def insert_alone(tx: Tx, event: NewEvent) -> tuple[NewEvent, ...]:
    """Insert one row; if the database refuses it, keep its body as a dead event."""
    try:
        with tx.savepoint():
            return insert_new(tx, [event])
    except REFUSALS as exc:
        if spoils_all(exc):
            raise
        error = f"the database refused this row: {type(getattr(exc, 'orig', exc)).__name__}"
    dead = NewEvent(
        delivery=replace(event.delivery, headers={}),  # it may be a header that is refused
        event_id=event.delivery.digest.hex(),
        type="UNREADABLE",
        label="other",
        state=EventState.DEAD,
        outcome="unstorable",
        error=error,
    )
    return insert_new(tx, [dead])


def insert_new(tx: Tx, rows: Sequence[NewEvent]) -> tuple[NewEvent, ...]:
    """Insert the rows whose body was never stored; return those."""
    deliveries = sorted((row.delivery for row in rows), key=lambda each: each.digest)
    keys = [{"digest": each.digest, "received_at": each.received_at} for each in deliveries]
    taken = insert(tx, event_keys).on_conflict_do_nothing().returning(event_keys.c.digest)
    fresh = {bytes(digest) for digest in tx.execute(taken, keys).scalars()}
    new = tuple(row for row in rows if row.delivery.digest in fresh)
    if not new:
        return ()
    variants = known_before(tx, new)
    tx.execute(events.insert(), [event_row(e, e.delivery.digest in variants) for e in new])
    remember_organizations(tx, new)
    entities.want(tx, wants(new))
    return new


def wants(new: Sequence[NewEvent]) -> list[entities.Want]:
    """Count, for each entity, how many of these events are to be worked on."""
    open_ones = [e for e in new if e.key is not None and e.state is EventState.RECEIVED]
    counts = Counter(str(event.key) for event in open_ones)
    newest = {str(event.key): event for event in open_ones}
    hidden: dict[str, datetime] = {}
    for event in open_ones:
        if event.is_hidden_change:
            at = event.delivery.received_at
            hidden[str(event.key)] = max(at, hidden.get(str(event.key), at))
    return [
        entities.Want(
            event.key,
            counts[name],
            event.organization_id,
            event.lookup,
            hidden_since=hidden.get(name),
            hint=dump_claims(event.claims),
            hint_at=event.delivery.received_at,
        )
        for name, event in newest.items()
        if event.key is not None
    ]


def event_row(event: NewEvent, is_variant: bool) -> dict[str, Any]:
    """Turn an event into its row."""
    delivery = event.delivery
    final = event.state in (EventState.SETTLED, EventState.DEAD)
    return {
        "digest": delivery.digest,
        "event_id": event.event_id,
        "type": event.type,
        "label": event.label,
        "entity": None if event.key is None else str(event.key),
        "organization_id": event.organization_id,
        "idempotency_key": delivery.headers.get("idempotencykey"),
        "request_id": delivery.headers.get("x-amili-request-id"),
        "provider_at": event.provider_at,
        "received_at": delivery.received_at,
        "body": delivery.body,
        "hint": dump_claims(event.claims),
        "is_variant": is_variant,
        "state": str(event.state),
        "outcome": event.outcome,
        "attempts": 0,
        "settled_at": delivery.received_at if final else None,
        "error": event.error,
    }


def known_before(tx: Tx, new: Sequence[NewEvent]) -> set[bytes]:
    """Return the digests of those whose id or IdempotencyKey came lately with another body."""
    ids = {event.event_id for event in new}
    keys = {k for e in new if (k := e.delivery.headers.get("idempotencykey"))}
    since = min(event.delivery.received_at for event in new) - VARIANTS_COME_WITHIN
    # Two questions, each with an index of its own.
    seen_ids = seen(tx, events.c.event_id, ids, since)
    seen_keys = seen(tx, events.c.idempotency_key, keys, since)
    variants: set[bytes] = set()
    for event in new:
        key = event.delivery.headers.get("idempotencykey")
        if event.event_id in seen_ids or (key and key in seen_keys):
            variants.add(event.delivery.digest)
        seen_ids.add(event.event_id)
        if key:
            seen_keys.add(key)
    return variants


def seen(tx: Tx, column: Column[Any], values: Collection[str], since: datetime) -> set[str]:
    """Return those of these values that the column has had since then."""
    if not values:
        return set()
    asked = select(column).where(among(tx, column, values), events.c.received_at >= since)
    return set(tx.execute(asked).scalars())


def remember_organizations(tx: Tx, new: Sequence[NewEvent]) -> None:
    """Keep every organization that was ever named."""
    names = sorted({event.organization_id for event in new if event.organization_id})
    if names:
        rows = [{"organization_id": name, "first_seen_at": tx.now} for name in names]
        tx.execute(insert(tx, organizations).values(rows).on_conflict_do_nothing())


def settled_among(tx: Tx, digests: Sequence[bytes]) -> frozenset[bytes]:
    """Return those of these bodies, all stored before, that are settled.

    That is all but the open ones: what retention removed was settled.
    """
    if not digests:
        return frozenset()
    # A key tells when its body was received, which leads to its row without an index of digests.
    # The state is compared here: in SQL it would lead to the index of all that waits instead.
    found = (
        select(event_keys.c.digest, events.c.state)
        .join(
            events,
            and_(
                events.c.label.in_(LABELS),
                events.c.received_at == event_keys.c.received_at,
                events.c.digest == event_keys.c.digest,
            ),
        )
        .where(among(tx, event_keys.c.digest, digests))
    )
    waiting = {bytes(digest) for digest, state in tx.execute(found) if state in OPEN}
    return frozenset(digests) - waiting


# --- settling ---------------------------------------------------------------


def settle(tx: Tx, seqs: Sequence[int], outcome: str) -> list[Row[Any]]:
    """Settle these events; return (digest, label, received_at) of each."""
    done: list[Row[Any]] = []
    for some in chunks(seqs):
        settled = (
            update(events)
            .where(among(tx, events.c.seq, some), events.c.state != EventState.SETTLED)
            .values(
                state=str(EventState.SETTLED),
                outcome=outcome,
                settled_at=tx.now,
                attempts=events.c.attempts + 1,
                error=None,
            )
            .returning(events.c.digest, events.c.label, events.c.received_at)
        )
        done += tx.execute(settled).all()
    return done


def chunks(seqs: Sequence[int], size: int = 5000) -> Iterator[Sequence[int]]:
    """Cut a long list into pieces that fit one statement."""
    for start in range(0, len(seqs), size):
        yield seqs[start : start + size]


def dead_of(tx: Tx, keys: Sequence[EntityKey]) -> dict[str, list[int]]:
    """Return the dead events of these entities: a success settles them too."""
    open_ones = select(events.c.entity, events.c.seq, events.c.state).where(
        among(tx, events.c.entity, [str(key) for key in keys]), UNSETTLED
    )
    dead: dict[str, list[int]] = {}
    for entity, seq, state in tx.execute(open_ones):
        if state == EventState.DEAD:
            dead.setdefault(entity, []).append(seq)
    return dead


def postpone(
    tx: Tx, seqs: Sequence[int], error: str, *, counts: bool, dead: bool
) -> list[Row[Any]]:
    """Note a failed try; `dead` leaves them to an operator. Returns the labels."""
    state = EventState.DEAD if dead else EventState.RETRYING
    values: dict[str, Any] = {"state": str(state), "error": error}
    if dead:
        values |= {"outcome": "attempts_exhausted"}
    done: list[Row[Any]] = []
    for some in chunks(seqs):
        failed = (
            update(events)
            .where(among(tx, events.c.seq, some))
            .values(attempts=events.c.attempts + (1 if counts else 0), **values)
            .returning(events.c.label)
        )
        done += tx.execute(failed).all()
    return done


# --- reading ----------------------------------------------------------------


ANY = Which()


def listed(
    tx: Tx, which: Which = ANY, *, before: int | None = None, limit: int = 50
) -> list[Row[Any]]:
    """Return events, newest first; `before` is the `seq` where the last page ended."""
    asked = page().where(*meant(tx, which))
    if before is not None:
        asked = asked.where(events.c.seq < before)
    # Written out: not knowing how many, PostgreSQL would plan anew for each page, month by month.
    most = literal(limit, literal_execute=True)
    return list(tx.execute(asked.order_by(events.c.seq.desc()).limit(most)).all())


def meant(tx: Tx, which: Which) -> list[ColumnElement[bool] | TextClause]:
    """Say in SQL which events are meant, in words that find an index where one helps."""
    found: list[ColumnElement[bool] | TextClause] = []
    if which.state is not None:
        found.append(events.c.state == which.state)
    if which.state in OPEN or which.error is not None:  # what is settled has no error
        found.append(OPEN_EVENTS)
    if which.type is not None:
        found.append(events.c.type == which.type)
        # A type that is known now may have been a stranger when its events came. SQLite knows
        # nothing of how many there are: only strangers, surely rare, are looked up so.
        labels = {label_of(which.type), "other"}
        if len(labels) == 1 or not tx.is_sqlite:
            found.append(events.c.label.in_(sorted(labels)))
    if which.error is not None:
        found.append(events.c.error.icontains(which.error, autoescape=True))
    if which.since is not None:
        found.append(events.c.received_at >= which.since)
    return found


def by_id(tx: Tx, event_id: str) -> list[Row[Any]]:
    """Return every row of this event id, the first first."""
    asked = page().where(events.c.event_id == event_id).order_by(events.c.seq)
    return list(tx.execute(asked).all())


def page() -> Select[Any]:
    """Select what is shown of an event: never its body."""
    columns = [c for c in events.c if c.name not in ("body", "hint")]
    return select(*columns)


def newest_by_label(tx: Tx, labels: Iterable[str]) -> dict[str, datetime]:
    """Return when the newest webhook of each label came."""
    found = {}
    for label in labels:
        newest = select(func.max(events.c.received_at)).where(events.c.label == label)
        at = tx.execute(newest).scalar_one_or_none()
        if at is not None:
            found[label] = at
    return found


def dump_claims(claims: Claims | None) -> str | None:
    """Write down what a payload claims."""
    if claims is None:
        return None
    invoices = None if claims.invoices is None else sorted(claims.invoices)
    return json.dumps({"status": claims.status, "type": claims.type, "invoices": invoices})


def load_claims(text: str | None) -> Claims | None:
    """Read back what `dump_claims` wrote."""
    if text is None:
        return None
    data = json.loads(text)
    invoices = data["invoices"]
    return Claims(data["status"], data["type"], None if invoices is None else frozenset(invoices))


def dead_count(tx: Tx) -> int:
    """Count the dead letters."""
    asked = select(func.count()).select_from(events)
    asked = asked.where(events.c.state == EventState.DEAD, OPEN_EVENTS)
    return int(tx.execute(asked).scalar_one())


def of_entity(tx: Tx, key: EntityKey, limit: int = 500) -> list[Row[Any]]:
    """Return the events of an entity, the newest `limit`, oldest first."""
    asked = page().where(events.c.entity == str(key)).order_by(events.c.seq.desc()).limit(limit)
    return list(reversed(tx.execute(asked).all()))


def deliveries_of(tx: Tx, event_id: str) -> list[tuple[int, Delivery]]:
    """Return (seq, delivery) of every row of this event id: what was received, to be read anew."""
    asked = select(events).where(events.c.event_id == event_id).order_by(events.c.seq)
    return [(row.seq, delivered(row)) for row in tx.execute(asked)]


def delivered(row: Row[Any]) -> Delivery:
    """Make of a row what was received."""
    # The header counts only where the body does not say the type.
    headers = {"x-amili-event": row.type}
    return Delivery(bytes(row.digest), bytes(row.body), headers, row.received_at)


def revive(tx: Tx, again: Sequence[tuple[int, NewEvent]]) -> None:
    """Make events wait again as they were read just now, and their entities due at once."""
    # Entities are locked first, as by an apply, which settles their events after that.
    entities.revive(tx, wants([event for _, event in again]))
    for seq, event in again:
        row = event_row(event, is_variant=False)
        kept = ("digest", "body", "received_at", "idempotency_key", "request_id", "is_variant")
        changed = {name: value for name, value in row.items() if name not in kept}
        tx.execute(update(events).where(events.c.seq == seq).values(changed))
