"""Bring the schema up to this code, and say how the two stand to each other."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import stamina
from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import text

from service.errors import StoreContended
from service.store.database import Database, translated

Standing = Literal["current", "older", "newer", "empty"]
#: Any number that nobody else locks: two migrations at once wait for each other.
LOCK = 0x616D696C69
WHAT_TO_DO = "run `amili-events migrate`"


def config() -> Config:
    """Point Alembic at the migrations of this package."""
    made = Config()
    made.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
    return made


@stamina.retry(on=StoreContended, attempts=20, wait_initial=0.05, wait_max=0.5, timeout=60)
def upgrade(database: Database) -> None:
    """Migrate to the newest schema; nothing happens when it is there already.

    Who first opens a SQLite file changes its journal, and others who come then are sent away at
    once, whatever their patience: they come again.
    """
    with translated(), database.engine.begin() as connection:
        if not database.is_sqlite:
            connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": LOCK})
        made = config()
        made.attributes["connection"] = connection
        command.upgrade(made, "head")


def standing(database: Database) -> Standing:
    """Compare the database's schema with what this code needs."""
    script = ScriptDirectory.from_config(config())
    with translated(), database.engine.connect() as opened:
        connection = opened.execution_options(reads=True)
        revision = MigrationContext.configure(connection).get_current_revision()
    if revision is None:
        return "empty"
    if revision == script.get_current_head():
        return "current"
    known = {each.revision for each in script.walk_revisions()}
    return "older" if revision in known else "newer"


def lack(standing: str) -> str:
    """Say in a sentence what keeps this code from working with a schema; '' for nothing."""
    if standing == "empty":
        return f"The database has no schema yet: {WHAT_TO_DO}."
    if standing == "older":
        return f"The database schema is older than this code: {WHAT_TO_DO}."
    return ""
