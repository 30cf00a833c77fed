"""The second store of the door: what Redis could not take waits here for the drain."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from sqlalchemy import func, select

from service.domain.deliveries import Delivery
from service.store.database import Tx
from service.store.schema import spool


def add(tx: Tx, deliveries: Sequence[Delivery]) -> None:
    """Keep deliveries."""
    tx.execute(
        spool.insert(),
        [
            {
                "digest": each.digest,
                "headers": json.dumps(dict(each.headers)),
                "body": each.body,
                "received_at": each.received_at,
            }
            for each in deliveries
        ],
    )


def probe(tx: Tx) -> None:
    """Write what changes nothing: raises as `add` would where the table cannot be written."""
    tx.execute(spool.delete().where(spool.c.seq < 0))


def take(tx: Tx, limit: int) -> list[tuple[int, Delivery]]:
    """Return the oldest (row, delivery); on PostgreSQL locked, so that two drains share them."""
    asked = select(spool).order_by(spool.c.seq).limit(limit)
    if not tx.is_sqlite:
        asked = asked.with_for_update(skip_locked=True)
    return [(row.seq, delivery_of(row)) for row in tx.execute(asked)]


def delivery_of(row: Any) -> Delivery:
    """Turn a row into a delivery."""
    return Delivery(bytes(row.digest), bytes(row.body), json.loads(row.headers), row.received_at)


def remove(tx: Tx, rows: Sequence[int]) -> None:
    """Forget what is in the inbox now."""
    tx.execute(spool.delete().where(spool.c.seq.in_(rows)))


def count(tx: Tx) -> int:
    """Count what waits."""
    return int(tx.execute(select(func.count()).select_from(spool)).scalar_one())
