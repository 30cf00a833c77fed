"""What is old and settled leaves the history: whole months at once, the rest some at a time.

What is not settled is somebody's debt and stays, however old it is. `event_keys` stays for ever:
a body that was ever stored is a duplicate. Each step is a transaction of its own, and each is
safe to repeat.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import delete, select

from service.domain.deliveries import LABELS, EventState
from service.store import partitions
from service.store.database import Tx
from service.store.dialects import among, insert
from service.store.schema import events, facts

#: Removed in one transaction: SQLite lets nobody else write meanwhile.
TOGETHER = 500
FACT = "events_removed_before"


@dataclass(frozen=True, slots=True)
class Place:
    """How far a pass over the history is: labels that are done, and a moment in the next."""

    labels: int = 0
    after: datetime | None = None

    @property
    def is_end(self) -> bool:
        """Nothing is left to look at."""
        return self.labels >= len(LABELS)


def old_months(tx: Tx, before: datetime) -> list[datetime]:
    """Return the months, oldest first, in which everything was received before this moment."""
    return [month for month in partitions.known(tx) if partitions.following(month) <= before]


def remove_month(tx: Tx, month: datetime, before: datetime) -> bool:
    """Remove one of `old_months`; False: something in it is not settled.

    Raises StoreContended where somebody is in the way.
    """
    gone = partitions.drop(tx, month)
    if gone:
        note(tx, before)
    return gone


def remove(tx: Tx, before: datetime, place: Place, limit: int = TOGETHER) -> tuple[int, Place]:
    """Remove up to `limit` settled events received before this moment, from `place` on.

    Return how many, and where to go on. Those of a label stand by time in an index.
    """
    asked = select(events.c.seq, events.c.received_at).where(
        events.c.label == LABELS[place.labels],
        events.c.received_at < before,
        events.c.state == EventState.SETTLED,
    )
    if place.after is not None:  # what was passed over is not settled: why read it again
        asked = asked.where(events.c.received_at >= place.after)
    rows = tx.execute(asked.order_by(events.c.received_at).limit(limit)).all()
    removed = 0
    if rows:
        done = tx.execute(
            delete(events).where(
                among(tx, events.c.seq, [row.seq for row in rows]),
                events.c.received_at.between(rows[0].received_at, rows[-1].received_at),
                events.c.state == EventState.SETTLED,  # still: an operator may just have asked
            )
        )
        removed = int(done.rowcount)
        note(tx, before)
    if len(rows) < limit:
        return removed, Place(place.labels + 1)
    return removed, Place(place.labels, rows[-1].received_at)


def note(tx: Tx, before: datetime) -> None:
    """Keep from when on the history is whole, for whoever asks for what is gone."""
    told = removed_before(tx)
    if told is None or told < before:
        row = {"name": FACT, "value": before.isoformat()}
        made = insert(tx, facts).values(row)
        tx.execute(made.on_conflict_do_update(index_elements=[facts.c.name], set_=row))


def removed_before(tx: Tx) -> datetime | None:
    """Return the moment before which settled events were removed; None: none ever was."""
    found = tx.execute(select(facts.c.value).where(facts.c.name == FACT)).scalar_one_or_none()
    return None if found is None else datetime.fromisoformat(found)
