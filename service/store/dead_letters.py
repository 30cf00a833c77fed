"""Dead letters: events that were given up, and that an operator has worked on again."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import accumulate

from sqlalchemy import func, select

from service.domain.deliveries import Delivery, EventState, NewEvent, Which
from service.store import events as inbox
from service.store.database import Tx, spoils_all
from service.store.dialects import among
from service.store.schema import events

#: Of bodies that are read at once: many large ones must not fill the memory of a door.
MOST_BYTES = 16 * 1024 * 1024


def count(tx: Tx, which: Which) -> tuple[int, int]:
    """Count the dead letters that are meant; return that and the newest one's `seq`."""
    asked = select(func.count(), func.max(events.c.seq)).where(*inbox.meant(tx, dead(which)))
    found, newest = tx.execute(asked).one()
    return int(found), int(newest or 0)


def take(
    tx: Tx, which: Which, *, after: int, until: int | None, limit: int
) -> tuple[list[tuple[int, Delivery]], bool]:
    """Return (seq, delivery) of dead letters, the oldest first, beyond `after`.

    At most `limit`, and no more than `MOST_BYTES` of bodies beyond the first one; also
    whether that cut some off.
    """
    asked = select(events.c.seq, func.length(events.c.body))
    asked = asked.where(*inbox.meant(tx, dead(which)), events.c.seq > after)
    if until is not None:
        asked = asked.where(events.c.seq <= until)
    sizes = tx.execute(asked.order_by(events.c.seq).limit(limit)).all()
    sums = accumulate(size for _, size in sizes)
    seqs = [seq for (seq, size), summed in zip(sizes, sums, strict=True) if fits(size, summed)]
    chosen = select(events).where(among(tx, events.c.seq, seqs)).order_by(events.c.seq)
    found = [(row.seq, inbox.delivered(row)) for row in tx.execute(chosen)]
    return found, len(seqs) == limit or len(seqs) < len(sizes)


def fits(size: int, summed: int) -> bool:
    """Say whether a body may come along: the first may always."""
    return summed <= MOST_BYTES or summed == size


def dead(which: Which) -> Which:
    """Mean only the dead ones of these."""
    return replace(which, state=EventState.DEAD)


def revive(tx: Tx, again: Sequence[tuple[int, NewEvent]]) -> int:
    """Make these wait again; one that the database refuses stays dead and holds up no other.

    Returns how many wait.
    """
    try:
        with tx.savepoint():
            inbox.revive(tx, again)
    except inbox.REFUSALS as exc:
        if spoils_all(exc):
            raise
        if len(again) == 1:
            return 0
        return sum(revive(tx, [each]) for each in again)
    return len(again)
