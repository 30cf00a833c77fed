"""What the two databases spell differently: INSERT … ON CONFLICT, and «one of these»."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from sqlalchemy import Column, String, Table, Text, any_, bindparam
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.sql import ColumnElement

from service.store.database import Tx

#: Bound parameters of one statement stay well below SQLite's 32,766.
ROWS = 500


def insert(tx: Tx, table: Table) -> Any:
    """Start an INSERT that knows `on_conflict_do_nothing` and `on_conflict_do_update`."""
    return sqlite.insert(table) if tx.is_sqlite else postgresql.insert(table)


def among(tx: Tx, column: Column[Any], values: Collection[Any]) -> ColumnElement[bool]:
    """Say that a column has one of these values.

    To PostgreSQL they go as one array: however many there are, the statement is the same, is
    prepared once, and is planned no more after a few times; with partitions planning costs more
    than the search itself.
    """
    if tx.is_sqlite:
        return column.in_(values)
    # An explicit length would cut off what is longer, and find what is not meant.
    kind = Text() if isinstance(column.type, String) else column.type
    return column == any_(bindparam(None, list(values), type_=postgresql.ARRAY(kind)))
