"""Checks of the database: is it there, of this version, durable, and the one that Redis knows?"""

from __future__ import annotations

import asyncio

from service.desk.doctor.findings import Check, bounded, in_thread, skipped
from service.desk.epoch import keep_in_step
from service.redis import connect
from service.settings import Settings
from service.store import examining, migrating
from service.store.database import Database

NAMES = ["migrations", "durable commits"]
EPOCH = "store epoch"
DO = "Start the database, or correct AMILI_DATABASE_URL."
MIGRATE = "Run `amili-events migrate`."
WHY = {
    "other_database": "Redis spoke of another database",
    "lost_events": "SQL lacks events that Redis saw stored, as after a restore",
    "unfinished": "A clearing of Redis was not finished",
}


async def check_database(settings: Settings) -> tuple[list[Check], Database | None]:
    """Look at the database; return it too when it can be read with this version."""
    opened: list[Database] = []
    first = await bounded("database", in_thread(lambda: reachable(settings, opened)), DO)
    if first.result == "failed":
        return [first, *skipped(NAMES, "The database does not answer.")], None
    (database,) = opened
    schema, commits = await asyncio.gather(
        bounded(NAMES[0], in_thread(lambda: migrations(database)), DO),
        bounded(NAMES[1], in_thread(lambda: durable_commits(database)), DO),
    )
    return [first, schema, commits], database if schema.result == "ok" else None


def reachable(settings: Settings, opened: list[Database]) -> Check:
    """Open the database, which is left in `opened`; a file that is not there is not made."""
    file = examining.sqlite_file(settings.sql_url)
    if file is not None and not file.exists():
        return Check("database", "failed", f"There is no file {file}.", MIGRATE)
    database = Database(settings.sql_url, pool=4)
    with database.read():
        kind = "SQLite" if database.is_sqlite else "PostgreSQL"
    opened.append(database)
    return Check("database", "ok", f"{kind} answers.")


def migrations(database: Database) -> Check:
    """The schema is this version's."""
    standing = migrating.standing(database)
    if standing == "current":
        return Check(NAMES[0], "ok", "The schema is this version's.")
    if standing == "newer":
        said = "The schema is newer than this version."
        return Check(NAMES[0], "warning", said, "Update what runs here.")
    said = (
        "There is no schema yet." if standing == "empty" else "The schema is of an older version."
    )
    return Check(NAMES[0], "failed", said, MIGRATE)


def durable_commits(database: Database) -> Check:
    """What is committed survives a power cut."""
    weak = examining.weak_commits(database)
    if weak:
        said = f"In the database {weak}: a power cut loses what was committed."
        return Check(NAMES[1], "failed", said, "Turn it on, for the server and for this role.")
    return Check(NAMES[1], "ok", "A commit waits for the disk.")


async def check_epoch(settings: Settings, database: Database | None, redis: Check) -> Check:
    """Redis and SQL speak of one history; where they do not, this mends it."""
    if database is None or redis.result == "failed":
        return Check(EPOCH, "skipped", "It needs Redis and a database of this version.")
    return await bounded(
        EPOCH, in_thread(lambda: epoch(settings, database)), "Look at Redis and the database."
    )


def epoch(settings: Settings, database: Database) -> Check:
    """Compare the store epoch, and clear the door's keys where it differs."""
    client = connect(settings.redis_url)
    try:
        found = keep_in_step(database, client)
    finally:
        client.close()
    if not found.reason:
        return Check(EPOCH, "ok", "Redis and SQL speak of the same database.")
    said = f"{WHY[found.reason]}: {found.cleared} of the door's keys were cleared."
    do = "Nothing more: what Amili repeats is taken as new, what it does not is not known."
    return Check(EPOCH, "warning", said, do)
