"""The one statement that the two databases spell differently: INSERT … ON CONFLICT."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Table
from sqlalchemy.dialects import postgresql, sqlite

from service.store.database import Tx

#: Bound parameters of one statement stay well below SQLite's 32,766.
ROWS = 500


def insert(tx: Tx, table: Table) -> Any:
    """Start an INSERT that knows `on_conflict_do_nothing` and `on_conflict_do_update`."""
    return sqlite.insert(table) if tx.is_sqlite else postgresql.insert(table)
