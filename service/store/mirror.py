"""How a row that mirrors Amili is written: only by a larger fetch number.

Two workers may read the same invoice, one by itself and one inside its case; whichever
reading began later stays, in whatever order they are written.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields
from typing import Any

from sqlalchemy import Table, func

from service.domain.entities import Read
from service.store.database import Tx
from service.store.dialects import insert


def row_of(record: Any, read: Read, **more: Any) -> dict[str, Any]:
    """Turn a record into its row, stamped with the read it came from."""
    return plain(record) | {"fetch_number": read.number, "read_began_at": read.began_at} | more


def plain(record: Any) -> dict[str, Any]:
    """Turn a record into a dictionary; `asdict` would copy each value, and takes ten times longer.

    What is inside its members stays as it is.
    """
    return {each.name: getattr(record, each.name) for each in fields(record)}


def upsert(tx: Tx, table: Table, rows: Sequence[dict[str, Any]], keep: frozenset[str]) -> set[str]:
    """Write rows unless a later reading stands there; return the ids that were written.

    `keep` names the columns that a reading without a value leaves as they are.
    """
    key = next(iter(table.primary_key.columns))
    written: set[str] = set()
    for some in rounds(rows, key.name):
        statement = insert(tx, table)
        new = statement.excluded
        kept = {
            name: func.coalesce(new[name], table.c[name]) if name in keep else new[name]
            for name in some[0]
            if name != key.name
        }
        upserted = statement.on_conflict_do_update(
            index_elements=[key], set_=kept, where=table.c.fetch_number < new.fetch_number
        )
        written |= set(tx.execute(upserted.returning(key), some).scalars())
    return written


def rounds(rows: Sequence[dict[str, Any]], key: str) -> list[list[dict[str, Any]]]:
    """Put rows into rounds to be written one after the other, each sorted by its key.

    PostgreSQL refuses a row that comes twice in one statement: its n-th reading is written in
    the n-th round. Of one and the same reading the last row counts.
    """
    readings: dict[str, dict[Any, dict[str, Any]]] = {}
    for row in rows:
        readings.setdefault(str(row[key]), {})[row["fetch_number"]] = row
    most = max(map(len, readings.values()), default=0)
    ordered = [[*readings[name].values()] for name in sorted(readings)]
    return [[some[n] for some in ordered if len(some) > n] for n in range(most)]
