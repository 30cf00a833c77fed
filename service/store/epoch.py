"""The SQL side of the store epoch: a random id that stands for this database and its history.

Redis keeps the same id, and witnesses: digests of bodies that were committed under it. A
database that was restored or replaced has another id, or lacks a witness.
"""

from __future__ import annotations

import uuid
from collections.abc import Sequence

from sqlalchemy import func, select, update

from service.store.database import Tx
from service.store.dialects import insert
from service.store.schema import event_keys, facts

NAME = "epoch"


def ensure(tx: Tx) -> str:
    """Return the id; a new database gets one here."""
    found = current(tx)
    if found is not None:
        return found
    tx.execute(insert(tx, facts).values(name=NAME, value=new()).on_conflict_do_nothing())
    return current(tx) or ""


def current(tx: Tx) -> str | None:
    """Return the id; None in a database that nothing was drained into yet."""
    found: str | None = tx.execute(select(facts.c.value).where(facts.c.name == NAME)).scalar()
    return found


def renew(tx: Tx, old: str) -> str | None:
    """Replace this id by a new one and return that; None when somebody else did so before."""
    made = new()
    changed = update(facts).where(facts.c.name == NAME, facts.c.value == old).values(value=made)
    return made if tx.execute(changed).rowcount == 1 else None


def lost(tx: Tx, witnesses: Sequence[bytes]) -> int:
    """Count the bodies among these that SQL does not have; it never forgets one by itself."""
    if not witnesses:
        return 0
    asked = (
        select(func.count()).select_from(event_keys).where(event_keys.c.digest.in_(set(witnesses)))
    )
    return len(set(witnesses)) - int(tx.execute(asked).scalar_one())


def new() -> str:
    """Make an id that no other database has."""
    return uuid.uuid4().hex
