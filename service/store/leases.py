"""Leases of whole processes: at most one holder of a name at a time, each with a higher fence."""

from __future__ import annotations

from datetime import timedelta

from sqlalchemy import or_, update

from service.store.database import Tx
from service.store.dialects import insert
from service.store.schema import leases


def hold(tx: Tx, name: str, holder: str, lease: timedelta) -> bool:
    """Take or renew a lease; False while somebody else has it."""
    statement = insert(tx, leases).values(name=name, holder=holder, fence=1, until=tx.now + lease)
    done = tx.execute(
        statement.on_conflict_do_update(
            index_elements=[leases.c.name],
            set_={
                "holder": statement.excluded.holder,
                "until": statement.excluded.until,
                "fence": leases.c.fence + 1,
            },
            where=or_(leases.c.holder == holder, leases.c.until <= tx.now),
        ).returning(leases.c.fence)
    )
    return done.first() is not None


def let_go(tx: Tx, name: str, holder: str) -> None:
    """Give a lease back, so that the next need not wait for its end."""
    mine = (leases.c.name == name, leases.c.holder == holder)
    tx.execute(update(leases).where(*mine).values(until=tx.now))
