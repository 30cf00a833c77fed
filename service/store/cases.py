"""Cases: what Amili says of them, and the level that our holds give them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Row, Select, and_, exists, func, or_, select, update
from sqlalchemy.sql import ColumnElement
from sqlalchemy.sql.selectable import Exists

from service.domain.entities import Read
from service.domain.pausing import Desired
from service.domain.records import PAUSED, Case
from service.store.database import Tx
from service.store.holds import in_force
from service.store.mirror import row_of, upsert
from service.store.schema import cases, holds

KEEP = frozenset({"organization_id"})


@dataclass(frozen=True, slots=True)
class Standing:
    """What we keep of a case beside its mirror, with the row locked."""

    case_id: str
    organization_id: str | None
    level: int
    desired: Desired
    status: str | None
    is_over: bool
    read_began_at: datetime
    #: Which of all reads it was.
    fetch_number: int

    @property
    def is_paused(self) -> bool:
        """The last read showed it paused."""
        return self.status == PAUSED


@dataclass(frozen=True, slots=True)
class Saved:
    """A case as read, with the level that its holds give it."""

    case: Case
    read: Read
    is_over: bool
    level: int = 0
    desired: Desired = "running"


def save(tx: Tx, found: Iterable[Saved]) -> set[str]:
    """Write cases; return the ids of those that are no older than what stands there.

    Their rows are locked by the caller: the level is written with the rest.
    """
    rows = [
        row_of(each.case, each.read, is_over=each.is_over, level=each.level, desired=each.desired)
        for each in found
    ]
    return upsert(tx, cases, rows, KEEP)


def lock(tx: Tx, case_ids: Iterable[str]) -> dict[str, Standing]:
    """Lock these cases, in order; those that are not known are left out."""
    asked = (
        select(
            cases.c.case_id,
            cases.c.organization_id,
            cases.c.level,
            cases.c.desired,
            cases.c.status,
            cases.c.is_over,
            cases.c.read_began_at,
            cases.c.fetch_number,
        )
        .where(cases.c.case_id.in_(sorted(case_ids)))
        .order_by(cases.c.case_id)
    )
    if not tx.is_sqlite:
        asked = asked.with_for_update()
    return {row.case_id: Standing(*row) for row in tx.execute(asked)}


def set_level(tx: Tx, case_id: str, level: int, desired: Desired) -> None:
    """Write the level; the row is locked by the caller."""
    tx.execute(update(cases).where(cases.c.case_id == case_id).values(level=level, desired=desired))


def by_number(tx: Tx, numbers: Iterable[str]) -> dict[str, str]:
    """Return case number → case id, for those known."""
    asked = select(cases.c.case_number, cases.c.case_id).where(
        cases.c.case_number.in_(sorted(set(numbers)))
    )
    return {row.case_number: row.case_id for row in tx.execute(asked)}


def get(tx: Tx, case_id: str) -> Row[Any] | None:
    """Return one case, or None."""
    found: Row[Any] | None = tx.execute(
        select(cases).where(cases.c.case_id == case_id)
    ).one_or_none()
    return found


def ids_of(tx: Tx, number: str, limit: int = 10) -> list[str]:
    """Return the ids of the cases with this number, which each organization may use."""
    asked = select(cases.c.case_id).where(cases.c.case_number == number)
    return list(tx.execute(asked.order_by(cases.c.case_id).limit(limit)).scalars())


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which cases a list is of; None: whatever it is."""

    status: str | None = None
    number: str | None = None
    #: Only those that are not at Amili as our holds ask for.
    adrift: bool = False


def listed(
    tx: Tx, wanted: Wanted = Wanted(), *, after: str | None = None, limit: int = 50
) -> list[Row[Any]]:
    """Return cases, newest registered first, at the end those whose date is not known.

    `after` is the id of the case where the last page ended; one that is not known ends the list.
    """
    same = {cases.c.status: wanted.status, cases.c.case_number: wanted.number}
    asked = select(cases).where(
        *(name == value for name, value in same.items() if value is not None),
        *(is_adrift(tx) if wanted.adrift else ()),
    )
    at, name = cases.c.registered_at, cases.c.case_id
    dated = asked.where(at.is_not(None)).order_by(at.desc(), name.desc())
    undated = asked.where(at.is_(None)).order_by(name.desc())
    if after is None:
        return parts_of(tx, (dated, undated), limit)
    row = tx.execute(select(at).where(name == after)).one_or_none()
    if row is None:
        return []
    if row[0] is None:
        return parts_of(tx, (undated.where(name < after),), limit)
    # The first bound alone is what an index is searched by.
    same_date = and_(at == row[0], name < after)
    return parts_of(tx, (dated.where(at <= row[0], or_(at < row[0], same_date)), undated), limit)


def parts_of(tx: Tx, parts: Iterable[Select[Any]], limit: int) -> list[Row[Any]]:
    """Return the first rows of several queries, one after the other; each can use an index."""
    found: list[Row[Any]] = []
    for part in parts:
        if len(found) < limit:
            found += tx.execute(part.limit(limit - len(found))).all()
    return found


def counts(tx: Tx) -> dict[tuple[str, str], float]:
    """Count cases by type and status."""
    asked = select(cases.c.type, cases.c.status, func.count()).group_by(
        cases.c.type, cases.c.status
    )
    return {
        (kind or "unknown", status or "unknown"): float(count)
        for kind, status, count in tx.execute(asked)
    }


def held_unpaused(tx: Tx) -> float:
    """Count the cases that are held, and that the last read showed running."""
    asked = select(func.count()).select_from(cases).where(is_held(tx), *is_adrift(tx))
    return float(tx.execute(asked).scalar_one())


def is_held(tx: Tx) -> Exists:
    """Say which cases a hold is in force on."""
    return exists().where(holds.c.case_id == cases.c.case_id, in_force(tx))


def is_adrift(tx: Tx) -> tuple[ColumnElement[bool], ...]:
    """Say which cases run though they are held, or are paused though nothing holds them."""
    is_paused = cases.c.status.is_not_distinct_from(PAUSED)
    return cases.c.is_over.is_(False), is_held(tx) != is_paused
