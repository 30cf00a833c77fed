"""The migrations: they lead to exactly the schema that the code believes in."""

from __future__ import annotations

import re
import threading

import pytest
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import inspect, text

from service.errors import SchemaMismatch
from service.store import events, migrating
from service.store.database import Database
from service.store.schema import events as events_table
from tests.integration.store_records import event, migrated, with_driver


def test_the_migrations_make_the_metadata(database_url: str) -> None:
    """Alembic finds nothing to add, remove or change: tables, columns, types, indexes, keys."""
    with migrated(database_url) as database, database.engine.connect() as connection:
        opts = {"compare_type": True, "include_name": is_no_partition}
        context = MigrationContext.configure(connection, opts=opts)
        assert compare_metadata(context, events_table.metadata) == []


def is_no_partition(name: str | None, kind: str, parents: object) -> bool:
    """Leave out the months: they have what their parent has."""
    return kind != "table" or not re.fullmatch(r"events_(default|\d{4}_\d{2})", name or "")


def test_partial_indexes_are_partial(database_url: str) -> None:
    """What Alembic does not compare: one open pause or resume for each case, and no more."""
    with migrated(database_url) as database:
        indexes = {each["name"]: each for each in inspect(database.engine).get_indexes("actions")}
    options = indexes["uq_actions_one_open"]["dialect_options"]
    where = " ".join(str(value) for value in options.values())
    assert indexes["uq_actions_one_open"]["unique"]
    assert all(state in where for state in ("planned", "sent", "answered", "uncertain"))


def test_upgrading_twice_is_harmless(database_url: str) -> None:
    """The second time nothing happens, and nothing is lost."""
    with migrated(database_url) as database:
        database.run(lambda tx: events.store(tx, [event("one")]))
        migrating.upgrade(database)
        with database.read() as tx:
            assert len(events.listed(tx)) == 1


def test_many_may_upgrade_at_once(database_url: str) -> None:
    """Replicas that start together wait for each other; each finds the schema in place."""
    databases = [Database(with_driver(database_url)) for _ in range(4)]
    failed: list[BaseException] = []

    def upgrade(database: Database) -> None:
        try:
            migrating.upgrade(database)
        except BaseException as exc:
            failed.append(exc)

    threads = [threading.Thread(target=upgrade, args=(each,)) for each in databases]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failed == []
    assert {migrating.standing(each) for each in databases} == {"current"}
    for each in databases:
        each.close()


def test_standing(database_url: str) -> None:
    """A database is empty, current, or newer than this code; looking changes nothing."""
    database = Database(with_driver(database_url))
    assert migrating.standing(database) == "empty"
    assert migrating.standing(database) == "empty"
    migrating.upgrade(database)
    assert migrating.standing(database) == "current"
    with database.engine.begin() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    assert migrating.standing(database) == "newer"
    database.close()


def test_an_older_schema_is_told_apart(database_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A revision that this code knows and that is not its newest is older."""
    with migrated(database_url) as database:
        monkeypatch.setattr(ScriptDirectory, "get_current_head", lambda self: "9999")
        assert migrating.standing(database) == "older"


def test_a_schema_that_is_missing_is_named(database_url: str) -> None:
    """Working without tables says what to do: migrate."""
    database = Database(with_driver(database_url))
    with pytest.raises(SchemaMismatch, match="migrate"):
        database.run(events.dead_count)
    database.close()
