"""The database: connections, transactions, and the store's clock.

SQLite takes one writer at a time: every writing transaction begins IMMEDIATE (a deferred
one fails at once with «database is locked», whatever the busy time-out). PostgreSQL's
deadlocks and serialization failures are tried again, as a whole transaction.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar

from sqlalchemy import URL, Connection, Engine, create_engine, event, make_url, text
from sqlalchemy.exc import DBAPIError, InterfaceError, OperationalError, ProgrammingError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from service.errors import (
    ConfigError,
    SchemaMismatch,
    StoreContended,
    StoreError,
    StoreRefused,
    StoreUnavailable,
)

#: SQLSTATEs after which a whole transaction may be tried again.
TRY_AGAIN = {"40001", "40P01", "55P03"}
#: SQLSTATEs of a table or column that is not there.
NO_SUCH = {"42P01", "42703"}
CONNECT_SECONDS = 3
T = TypeVar("T")
BUSY_SECONDS = 15


@dataclass(frozen=True, slots=True)
class Tx:
    """One transaction and its time."""

    connection: Connection
    now: datetime
    is_sqlite: bool

    def execute(self, statement: Any, rows: Any = None) -> Any:
        """Run one statement."""
        return self.connection.execute(statement, rows)

    @contextmanager
    def savepoint(self) -> Iterator[None]:
        """Undo only what happens inside, if it raises."""
        with self.connection.begin_nested():
            yield


class Database:
    """One pool of connections; made after a fork, never before.

    `clock` is given in simulations only: otherwise the time is the database's own.
    """

    def __init__(
        self, url: str, *, pool: int = 4, clock: Callable[[], datetime] | None = None
    ) -> None:
        self.is_sqlite = url.startswith("sqlite")
        self._clock = clock
        self.engine = make_engine(url, pool)

    @contextmanager
    def begin(self) -> Iterator[Tx]:
        """Open a writing transaction; commit at the end, undo on any error."""
        with translated(), self.engine.begin() as connection:
            yield Tx(connection, self._now(connection), self.is_sqlite)

    @contextmanager
    def read(self) -> Iterator[Tx]:
        """Open a transaction that only reads."""
        with translated(), self.engine.connect() as opened:
            connection = opened.execution_options(reads=True)
            yield Tx(connection, self._now(connection), self.is_sqlite)
            # psycopg forgets what it prepared at each ROLLBACK: every question was planned anew.
            connection.commit()

    def run(self, work: Callable[[Tx], T], tries: int = 5) -> T:
        """Run `work` in a transaction of its own; again after a deadlock."""
        for attempt in range(tries):
            try:
                with self.begin() as tx:
                    return work(tx)
            except StoreContended:
                if attempt == tries - 1:
                    raise
                # Jitter, so that the two do not meet again.
                time.sleep(random.uniform(0, 0.02 * 2 ** min(attempt, 6)))  # noqa: S311
        raise AssertionError("unreachable")

    def close(self) -> None:
        """Close every connection."""
        self.engine.dispose()

    def _now(self, connection: Connection) -> datetime:
        if self._clock is not None:
            return self._clock()
        if self.is_sqlite:
            return datetime.now(UTC)
        now: datetime = connection.execute(text("SELECT clock_timestamp()")).scalar_one()
        return now.astimezone(UTC)


def make_engine(url: str, pool: int) -> Engine:
    """Build the engine with what this house needs of each database."""
    try:
        parsed = make_url(url)
    except Exception as exc:
        raise ConfigError("AMILI_DATABASE_URL: not a database URL") from exc
    name = parsed.get_backend_name()
    if name == "sqlite":
        if parsed.database:
            Path(parsed.database).parent.mkdir(parents=True, exist_ok=True)
        return sqlite_engine(url, pool)
    if name == "postgresql":
        return postgresql_engine(parsed.set(drivername="postgresql+psycopg"), pool)
    raise ConfigError(f"AMILI_DATABASE_URL: {name} is not supported; use postgresql or sqlite")


def sqlite_engine(url: str, pool: int) -> Engine:
    """Use WAL with every commit on disk, and IMMEDIATE for every writer."""
    engine = create_engine(
        url,
        pool_size=pool,
        max_overflow=4,
        hide_parameters=True,  # an error's text must not show a person's data
        connect_args={"timeout": BUSY_SECONDS},
    )

    @event.listens_for(engine, "connect")
    def set_up(connection: Any, _: Any) -> None:
        connection.isolation_level = None  # BEGIN is ours
        for pragma in ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON"):
            connection.execute(f"PRAGMA {pragma}")

    @event.listens_for(engine, "begin")
    def begin(connection: Connection) -> None:
        reads = connection.get_execution_options().get("reads")
        connection.exec_driver_sql("BEGIN" if reads else "BEGIN IMMEDIATE")

    return engine


def postgresql_engine(url: URL, pool: int) -> Engine:
    """Bound every wait: a database that hangs must not hang the house."""
    options = (
        "-c statement_timeout=30000 -c lock_timeout=10000 "
        "-c idle_in_transaction_session_timeout=60000"
    )
    return create_engine(
        url,
        pool_size=pool,
        max_overflow=4,
        pool_timeout=5,
        pool_pre_ping=True,
        hide_parameters=True,  # an error's text must not show a person's data
        connect_args={
            "connect_timeout": CONNECT_SECONDS,
            "options": options,
            "keepalives_idle": 10,
            "keepalives_interval": 5,
            "keepalives_count": 3,
            "tcp_user_timeout": 15000,
            "application_name": "amili-events",
        },
    )


@contextmanager
def translated() -> Iterator[None]:
    """Turn the driver's errors into ours: outside the store nobody knows SQLAlchemy."""
    try:
        yield
    except DBAPIError as exc:
        raise translation(exc) from exc
    except PoolTimeout as exc:
        raise StoreUnavailable("no database connection became free in time") from exc


def translation(exc: DBAPIError) -> StoreError:
    """Say in our words what a driver's error means; its text may hold values, so it is dropped."""
    name = type(exc.orig).__name__
    if is_no_such(exc):
        return SchemaMismatch()
    if may_try_again(exc):
        return StoreContended(f"another transaction was in the way: {name}")
    if is_away(exc):
        return StoreUnavailable(f"the database did not answer: {why_away(exc) or name}")
    return StoreRefused(f"the database refuses these values: {name}")


def why_away(exc: DBAPIError) -> str:
    """Say why no connection was made: host and cause, no values; '' when one was there."""
    if exc.statement is not None:
        return ""
    return str(exc.orig).strip().partition("\n")[0][:300]


def spoils_all(exc: Exception) -> bool:
    """Say whether an error inside a savepoint ends the whole transaction with it."""
    return isinstance(exc, DBAPIError) and (may_try_again(exc) or is_away(exc))


def sqlstate(exc: DBAPIError) -> str:
    """Return PostgreSQL's five characters, or ''."""
    return str(getattr(exc.orig, "sqlstate", None) or "")


def may_try_again(exc: DBAPIError) -> bool:
    """Say whether the same transaction may succeed a moment later."""
    return sqlstate(exc) in TRY_AGAIN or "database is locked" in str(exc.orig)


def is_no_such(exc: DBAPIError) -> bool:
    """Say whether a table or column is missing: the schema is older than this code."""
    if isinstance(exc, ProgrammingError) and sqlstate(exc) in NO_SUCH:
        return True
    said = str(exc.orig)
    return isinstance(exc, OperationalError) and (
        "no such table" in said or "no such column" in said or "has no column named" in said
    )


def is_away(exc: DBAPIError) -> bool:
    """Say whether the connection, and not the statement, is what failed."""
    return isinstance(exc, (OperationalError, InterfaceError)) or exc.connection_invalidated
