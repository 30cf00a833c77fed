"""Keeps Redis and SQL in step: the door's keys must speak of the database that there is.

For seven days those keys let the door leave out what is «stored». After a restore SQL may lack
what they name, and a delivery that Amili repeats would be lost: so they are cleared then. Until
that is seen, some seconds after the restore, a repeated delivery may still be left out.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import structlog

from service.inbox import epoch as in_redis
from service.redis import Client
from service.store import epoch as in_sql
from service.store.database import Database

log = structlog.get_logger()

#: Why the keys were cleared; '' when they were not.
Reason = Literal["", "other_database", "lost_events", "unfinished"]


@dataclass(frozen=True, slots=True)
class Finding:
    """What was found and, with a reason, mended."""

    reason: Reason = ""
    #: Keys that were deleted.
    cleared: int = 0
    #: Redis knew of no database before: it was empty, or is new.
    is_adopted: bool = False


def keep_in_step(database: Database, client: Client) -> Finding:
    """Compare both sides; where they differ, renew the epoch and clear the door's keys.

    Safe with several processes at once. Raises StoreError or RedisError; whatever was begun is
    then finished by the next look.
    """
    known = in_redis.read(client)  # first: a witness is told only after its commit
    with database.read() as tx:
        epoch = in_sql.current(tx)
        lost = in_sql.lost(tx, known.witnesses)
    if epoch is None:
        epoch = database.run(in_sql.ensure)
    if known.epoch is None:
        return Finding(is_adopted=in_redis.adopt(client, epoch))
    if known.epoch != epoch:
        return renew(database, client, epoch, "other_database")
    if lost:
        return renew(database, client, epoch, "lost_events")
    return clear(client, epoch, "unfinished") if known.is_clearing else Finding()


def renew(database: Database, client: Client, old: str, reason: Reason) -> Finding:
    """Give the database a new id, then clear; whoever comes second leaves it to the first."""
    made = database.run(lambda tx: in_sql.renew(tx, old))
    return Finding() if made is None else clear(client, made, reason)


def clear(client: Client, epoch: str, reason: Reason) -> Finding:
    """Delete the door's keys and say so."""
    log.warning("store_epoch_differs", reason=reason)
    found = Finding(reason, sum(in_redis.clear(client, epoch)))
    log.warning("store_epoch_renewed", reason=reason, keys=found.cleared)
    return found
