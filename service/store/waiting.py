"""Why an entity was not looked at yet: for people who wonder why nothing happens."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Row, select, text

from service.domain.entities import EntityKey
from service.store.database import Tx
from service.store.schema import entities


def of(tx: Tx, key: EntityKey) -> Row[Any] | None:
    """Return error, failures and the next try of an entity that failed and waits; else None."""
    asked = select(entities.c.error, entities.c.failures, entities.c.not_before).where(
        entities.c.entity == str(key), entities.c.error.is_not(None), text("wanted > done")
    )
    found: Row[Any] | None = tx.execute(asked).one_or_none()
    return found
