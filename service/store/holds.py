"""Holds. Placing and releasing one locks the row of its case first (the caller does)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict, fields

from sqlalchemy import and_, func, or_, select, update
from sqlalchemy.sql import ColumnElement

from service.domain.holds import REASONS, Hold
from service.store.database import Tx
from service.store.dialects import ROWS, insert
from service.store.schema import holds

COLUMNS = tuple(holds.c[f.name] for f in fields(Hold))


def place(tx: Tx, hold: Hold) -> Hold:
    """Write a hold; the same key on the same case returns the one that stands there."""
    row = asdict(hold)
    done = tx.execute(
        insert(tx, holds).values(row).on_conflict_do_nothing().returning(holds.c.hold_id)
    )
    if done.first() is not None or hold.key is None:
        return hold
    same = (holds.c.case_id == hold.case_id, holds.c.key == hold.key)
    return Hold(*tx.execute(select(*COLUMNS).where(*same)).one())


def place_all(tx: Tx, placed: Sequence[Hold]) -> None:
    """Write holds; of those whose key stands on their case already nothing is written."""
    if placed:
        rows = [asdict(hold) for hold in placed]
        tx.execute(insert(tx, holds).on_conflict_do_nothing(), rows)


def release(tx: Tx, hold_ids: Iterable[str], by: str) -> list[str]:
    """End these holds; return the ids of those that were in force."""
    names = list(hold_ids)
    done: list[str] = []
    for start in range(0, len(names), ROWS):
        released = (
            update(holds)
            .where(holds.c.hold_id.in_(names[start : start + ROWS]), holds.c.released_at.is_(None))
            .values(released_at=tx.now, released_by=by)
            .returning(holds.c.hold_id)
        )
        done += tx.execute(released).scalars()
    return done


def of_cases(tx: Tx, case_ids: Sequence[str]) -> dict[str, tuple[Hold, ...]]:
    """Return every hold that these cases ever had, oldest first."""
    found: dict[str, list[Hold]] = {case_id: [] for case_id in case_ids}
    asked = select(*COLUMNS).where(holds.c.case_id.in_(case_ids)).order_by(holds.c.placed_at)
    for row in tx.execute(asked):
        found[row.case_id].append(Hold(*row))
    return {case_id: tuple(some) for case_id, some in found.items()}


def get(tx: Tx, hold_id: str) -> Hold | None:
    """Return one hold, or None."""
    row = tx.execute(select(*COLUMNS).where(holds.c.hold_id == hold_id)).one_or_none()
    return None if row is None else Hold(*row)


def listed(
    tx: Tx,
    *,
    only_active: bool = True,
    case_id: str | None = None,
    after: str | None = None,
    limit: int = 200,
) -> list[Hold]:
    """Return holds, newest first; `after` is the id of the hold where the last page ended."""
    asked = select(*COLUMNS).order_by(holds.c.placed_at.desc(), holds.c.hold_id).limit(limit)
    if after is not None:
        at = select(holds.c.placed_at).where(holds.c.hold_id == after).scalar_subquery()
        same = and_(holds.c.placed_at == at, holds.c.hold_id > after)
        # The first bound alone is what an index is searched by.
        asked = asked.where(holds.c.placed_at <= at, or_(holds.c.placed_at < at, same))
    if only_active:
        asked = asked.where(in_force(tx))
    if case_id is not None:
        asked = asked.where(holds.c.case_id == case_id)
    return [Hold(*row) for row in tx.execute(asked)]


def expired(tx: Tx, limit: int = 500) -> list[Hold]:
    """Return holds whose time is up and that nobody has ended yet."""
    asked = (
        select(*COLUMNS)
        .where(holds.c.released_at.is_(None), holds.c.until <= tx.now)
        .order_by(holds.c.until)
        .limit(limit)
    )
    return [Hold(*row) for row in tx.execute(asked)]


def counts(tx: Tx) -> dict[str, float]:
    """Count the holds in force by reason; unknown reasons are `other`."""
    asked = select(holds.c.reason, func.count()).where(in_force(tx)).group_by(holds.c.reason)
    found: dict[str, float] = {}
    for reason, count in tx.execute(asked):
        name = reason if reason in REASONS else "other"
        found[name] = found.get(name, 0) + count
    return found


def in_force(tx: Tx) -> ColumnElement[bool]:
    """Say which holds are active now."""
    return holds.c.released_at.is_(None) & or_(holds.c.until.is_(None), holds.c.until > tx.now)
