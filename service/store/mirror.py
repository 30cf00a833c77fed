"""How a row that mirrors Amili is written: only by a larger fetch number.

Two workers may read the same invoice, one by itself and one inside its case; whichever
reading began later stays, in whatever order they are written.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from sqlalchemy import Table, func

from service.domain.entities import Read
from service.store.database import Tx
from service.store.dialects import ROWS, insert


def row_of(record: Any, read: Read, **more: Any) -> dict[str, Any]:
    """Turn a record into its row, stamped with the read it came from."""
    row = asdict(record)
    return row | {"fetch_number": read.number, "read_began_at": read.began_at} | more


def upsert(tx: Tx, table: Table, rows: Sequence[dict[str, Any]], keep: frozenset[str]) -> set[str]:
    """Write rows unless a later reading stands there; return the ids that were written.

    `keep` names the columns that a reading without a value leaves as they are.
    """
    key = next(iter(table.primary_key.columns))
    written: set[str] = set()
    # PostgreSQL refuses a row that comes twice in one statement.
    unique = {str(row[key.name]): row for row in rows}
    ordered = [unique[name] for name in sorted(unique)]
    for start in range(0, len(ordered), ROWS):
        statement = insert(tx, table).values(ordered[start : start + ROWS])
        new = statement.excluded
        columns = [name for name in ordered[0] if name != key.name]
        done = tx.execute(
            statement.on_conflict_do_update(
                index_elements=[key],
                set_={
                    name: func.coalesce(new[name], table.c[name]) if name in keep else new[name]
                    for name in columns
                },
                where=table.c.fetch_number < new.fetch_number,
            ).returning(key)
        )
        written |= {name for (name,) in done}
    return written
