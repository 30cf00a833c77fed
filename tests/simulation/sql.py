"""SQLite in memory, shared by all processes; each transaction can crash before or after it counts.

One process runs at a time and nobody is interrupted inside a transaction: what matters is only
whether it was committed, and whether its process learned of it.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import cache
from typing import Any

from sqlalchemy import Connection, Engine, create_engine, event
from sqlalchemy.pool import StaticPool

from service.errors import StoreContended, StoreUnavailable
from service.store import migrating
from service.store.database import Database, Tx
from tests.simulation.clockwork import Process
from tests.simulation.dice import Dice

#: Writes down, for the oracle, each step that a row takes; what is rolled back leaves no trace.
WATCH = """
CREATE TEMP TABLE IF NOT EXISTS history (what TEXT, was TEXT, became TEXT);
DELETE FROM history;
CREATE TEMP TRIGGER IF NOT EXISTS watch_actions AFTER UPDATE OF state ON main.actions
WHEN old.state IS NOT new.state
BEGIN INSERT INTO history VALUES (new.kind, old.state, new.state); END;
CREATE TEMP TRIGGER IF NOT EXISTS watch_events AFTER UPDATE OF state ON main.events
WHEN old.state = 'settled' AND new.state != 'settled'
BEGIN INSERT INTO history VALUES ('event', old.state, new.state); END;
CREATE TEMP TRIGGER IF NOT EXISTS watch_entities AFTER UPDATE OF done ON main.entities
WHEN new.done < old.done
BEGIN INSERT INTO history VALUES ('entity', 'done', 'done before'); END;
"""


class Memory:
    """One database in memory, made empty for each simulation."""

    def __init__(self) -> None:
        self.raw = sqlite3.connect(":memory:", check_same_thread=False)
        self.raw.isolation_level = None
        self.engine = engine_on(self.raw)

    def empty(self) -> None:
        """Begin with the newest schema and no rows."""
        self.raw.deserialize(template())
        self.raw.execute("PRAGMA foreign_keys=ON")
        self.raw.executescript(WATCH)


def engine_on(raw: sqlite3.Connection) -> Engine:
    """Make an engine that has this one connection."""
    engine = create_engine("sqlite://", poolclass=StaticPool, creator=lambda: raw)

    @event.listens_for(engine, "begin")
    def begin(connection: Connection) -> None:
        connection.exec_driver_sql("BEGIN IMMEDIATE")

    return engine


@cache
def template() -> bytes:
    """Return an empty database with the newest schema, as bytes."""
    raw = sqlite3.connect(":memory:", check_same_thread=False)
    raw.isolation_level = None
    migrating.upgrade(Plain(engine_on(raw)))
    return raw.serialize()


class Plain(Database):
    """The real `Database` on a given engine."""

    def __init__(self, engine: Engine, **named: Any) -> None:
        self.is_sqlite = True
        self._clock = named.get("clock")
        self.engine = engine

    def close(self) -> None:
        """Leave the connection to the others."""


class ShakyDatabase(Plain):
    """The database as one process sees it: each transaction is a step that may go wrong."""

    def __init__(self, engine: Engine, process: Process, dice: Dice) -> None:
        clockwork = process.clockwork
        super().__init__(engine, clock=lambda: datetime.fromtimestamp(clockwork.now, UTC))
        self._process = process
        self._dice = dice

    @contextmanager
    def begin(self) -> Iterator[Tx]:
        """Write: fails, crashes or stands still before or after its commit."""
        fate = self._dice.fate(self._process, "sql")
        if fate == "before":
            if self._dice.chance.random() < 0.3:
                raise StoreContended("simulated: another transaction was in the way")
            raise StoreUnavailable("simulated: the database is away")
        with super().begin() as tx:
            yield tx
            if self._dice.happens(self._dice.crash, "sql", self._process.clockwork.now):
                self._dice.note(self._process, "crashes before COMMIT")
                self._process.crash()
        self._dice.done(self._process, "sql")
        if fate == "after":
            self._dice.note(self._process, "COMMIT is not answered")
            raise StoreUnavailable("simulated: the database went away after COMMIT")

    @contextmanager
    def read(self) -> Iterator[Tx]:
        """Read: may fail, crash or stand still before."""
        if self._dice.fate(self._process, "sql"):
            raise StoreUnavailable("simulated: the database is away")
        with super().read() as tx:
            yield tx
