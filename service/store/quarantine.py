"""The quarantine in SQL: every door and every command sees the same refused deliveries."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Row, func, select, update
from sqlalchemy.sql import Delete

from service.domain.quarantine import Caps, Held, Refused, victims
from service.store.database import Tx
from service.store.dialects import ROWS, insert
from service.store.refused import quarantine

SHOWN = tuple(column for column in quarantine.c if column.name not in ("name", "sealed"))


def add(tx: Tx, found: Iterable[Refused], caps: Caps) -> None:
    """Keep refused deliveries, the newest copy of each, and make room where there are too many."""
    ordered = sorted(found, key=lambda each: each.at)
    times = Counter(each.name for each in ordered)
    last = {each.name: each for each in ordered}
    # Sorted, so that two doors never wait for each other in a circle.
    rows = [row_of(last[name]) | {"times": times[name]} for name in sorted(last)]
    for start in range(0, len(rows), ROWS):
        statement = insert(tx, quarantine).values(rows[start : start + ROWS])
        new = statement.excluded
        tx.execute(
            statement.on_conflict_do_update(
                index_elements=[quarantine.c.name],
                set_={
                    "sealed": new.sealed,
                    "size": new.size,
                    "last_at": new.last_at,
                    "times": quarantine.c.times + new.times,
                },
            )
        )
    make_room(tx, caps)


def row_of(refused: Refused) -> dict[str, Any]:
    """Turn a refused delivery into its row."""
    return {
        "quarantine_id": refused.quarantine_id,
        "name": refused.name,
        "reason": refused.reason,
        "source": refused.source,
        "body_bytes": refused.body_bytes,
        "size": len(refused.sealed),
        "first_at": refused.at,
        "last_at": refused.at,
        "sealed": refused.sealed,
    }


def make_room(tx: Tx, caps: Caps) -> None:
    """Remove what is too much."""
    count, size = tx.execute(select(func.count(), func.sum(quarantine.c.size))).one()
    if count <= caps.entries and (size or 0) <= caps.bytes:
        return
    columns = (quarantine.c.seq, quarantine.c.source, quarantine.c.reason, quarantine.c.size)
    asked = select(*columns).order_by(quarantine.c.last_at, quarantine.c.seq)
    gone = sorted(victims((Held(*row) for row in tx.execute(asked)), caps))
    for start in range(0, len(gone), ROWS):
        some = gone[start : start + ROWS]
        tx.execute(quarantine.delete().where(quarantine.c.seq.in_(some)))


def listed(
    tx: Tx, *, reason: str | None = None, before: int | None = None, limit: int = 50
) -> list[Row[Any]]:
    """Return entries, newest first; `before` is the `seq` where the last page ended."""
    asked = select(*SHOWN).order_by(quarantine.c.seq.desc()).limit(limit)
    if reason is not None:
        asked = asked.where(quarantine.c.reason == reason)
    if before is not None:
        asked = asked.where(quarantine.c.seq < before)
    return list(tx.execute(asked).all())


def get(tx: Tx, quarantine_id: str) -> Row[Any] | None:
    """Return one entry with what it seals, or None."""
    asked = select(*SHOWN, quarantine.c.sealed).where(quarantine.c.quarantine_id == quarantine_id)
    found: Row[Any] | None = tx.execute(asked).one_or_none()
    return found


def newest(tx: Tx, reasons: Collection[str]) -> Row[Any] | None:
    """Return the entry that came last of those refused for these reasons, or None."""
    asked = (
        select(*SHOWN, quarantine.c.sealed)
        .where(quarantine.c.reason.in_(reasons))
        .order_by(quarantine.c.last_at.desc(), quarantine.c.seq.desc())
        .limit(1)
    )
    found: Row[Any] | None = tx.execute(asked).one_or_none()
    return found


def tried(tx: Tx, quarantine_id: str, reason: str) -> None:
    """Note that an entry was replayed in vain, and why."""
    same = quarantine.c.quarantine_id == quarantine_id
    tx.execute(update(quarantine).where(same).values(reason=reason, tried_at=tx.now))


def remove(tx: Tx, quarantine_ids: Sequence[str]) -> int:
    """Forget entries; return how many there were."""
    same = quarantine.c.quarantine_id.in_(quarantine_ids)
    return int(tx.execute(quarantine.delete().where(same)).rowcount)


def purge(tx: Tx, *, reason: str | None = None, before: datetime | None = None) -> int:
    """Forget every entry of this reason that came last before this; return how many."""
    statement: Delete = quarantine.delete()
    if reason is not None:
        statement = statement.where(quarantine.c.reason == reason)
    if before is not None:
        statement = statement.where(quarantine.c.last_at < before)
    return int(tx.execute(statement).rowcount)


def count(tx: Tx) -> int:
    """Count the entries."""
    return int(tx.execute(select(func.count()).select_from(quarantine)).scalar_one())
