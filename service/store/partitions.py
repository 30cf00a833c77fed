"""The months of the history on PostgreSQL: `events_2026_11` and so on, and `events_default`.

The default takes what has no month of its own, so that no row is ever refused; it is worked on
like any other. Everything here is one short transaction that waits for nobody for long: who comes
too late tries again at the next look.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime

from sqlalchemy import text

from service.store.database import Tx

DEFAULT = "events_default"
NAME = re.compile(r"events_(\d{4})_(\d{2})")
#: Months after this one that have their partition before anything is received in them.
AHEAD = 2
#: Rows that the default may have of a month that is to be made.
MOST_MOVED = 50_000
#: While we wait for a lock, all others wait behind us.
PATIENCE = text("SET LOCAL lock_timeout = '500ms'")

KNOWN = text(
    "SELECT relname FROM pg_inherits JOIN pg_class ON pg_class.oid = inhrelid "
    "WHERE inhparent = to_regclass('events')"
)


def month_of(moment: datetime) -> datetime:
    """Return the beginning of a moment's month (UTC)."""
    return moment.astimezone(UTC).replace(day=1, hour=0, minute=0, second=0, microsecond=0)


def following(month: datetime) -> datetime:
    """Return the beginning of the month after."""
    years, months = divmod(month.month, 12)
    return month.replace(year=month.year + years, month=months + 1)


def name_of(month: datetime) -> str:
    """Name a month's partition."""
    return f"events_{month:%Y_%m}"


def known(tx: Tx) -> list[datetime]:
    """Return the months that have a partition, oldest first; none on SQLite."""
    if tx.is_sqlite:
        return []
    names = tx.execute(KNOWN).scalars()
    found = (match for name in names if (match := NAME.fullmatch(name)))
    return sorted(datetime(int(each[1]), int(each[2]), 1, tzinfo=UTC) for each in found)


def lacking(tx: Tx) -> list[datetime]:
    """Return the months that soon need a partition and have none."""
    if tx.is_sqlite:
        return []
    needed = [month_of(tx.now)]
    while len(needed) <= AHEAD:
        needed.append(following(needed[-1]))
    there = set(known(tx))
    return [month for month in needed if month not in there]


def make(tx: Tx, month: datetime) -> bool:
    """Make a month's partition, with what the default has of it; False: it has too much.

    Raises StoreContended where somebody is in the way.
    """
    tx.execute(PATIENCE)
    tx.execute(text("LOCK TABLE ONLY events IN SHARE UPDATE EXCLUSIVE MODE"))
    if month in known(tx):
        return True
    # From here on nothing else gets into the default that would keep the month from being made.
    tx.execute(text(f"LOCK TABLE {DEFAULT} IN ACCESS EXCLUSIVE MODE"))
    name, bounds = name_of(month), {"start": month, "end": following(month)}
    of_month = f"FROM {DEFAULT} WHERE received_at >= :start AND received_at < :end"
    few = text(f"SELECT count(*) FROM (SELECT 1 {of_month} LIMIT {MOST_MOVED + 1}) AS few")  # noqa: S608 - our words
    if tx.execute(few, bounds).scalar_one() > MOST_MOVED:
        return False
    tx.execute(text(f"CREATE TABLE {name} (LIKE events INCLUDING DEFAULTS)"))
    moved = f"WITH moved AS (DELETE {of_month} RETURNING *) INSERT INTO {name} SELECT * FROM moved"  # noqa: S608 - our words
    tx.execute(text(moved), bounds)
    tx.execute(
        text(
            f"ALTER TABLE events ATTACH PARTITION {name} "
            f"FOR VALUES FROM ('{month.isoformat()}') TO ('{following(month).isoformat()}')"
        )
    )
    return True


def drop(tx: Tx, month: datetime) -> bool:
    """Remove a month with all its events; False: something in it is not settled.

    Raises StoreContended where somebody is in the way.
    """
    if month not in known(tx) or has_open(tx, month):
        return False
    tx.execute(PATIENCE)
    tx.execute(text("LOCK TABLE ONLY events IN ACCESS EXCLUSIVE MODE"))
    # Only now nobody can make one of them wait again, or remove the month before us.
    if month not in known(tx) or has_open(tx, month):
        return False
    tx.execute(text(f"ALTER TABLE events DETACH PARTITION {name_of(month)}"))
    tx.execute(text(f"DROP TABLE {name_of(month)}"))
    return True


def has_open(tx: Tx, month: datetime) -> bool:
    """Say whether something in a month is not settled."""
    is_open = "state IN ('received', 'retrying', 'dead')"  # as the index of what is open says it
    asked = text(f"SELECT 1 FROM {name_of(month)} WHERE {is_open} LIMIT 1")  # noqa: S608 - our words
    return tx.execute(asked).first() is not None
