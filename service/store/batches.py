"""Batches with their items, and settlements: what Amili says of them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from sqlalchemy import Row, select

from service.domain.entities import Read
from service.domain.records import Batch, Invoice, Settlement
from service.store.database import Tx
from service.store.dialects import ROWS
from service.store.mirror import plain, row_of, upsert
from service.store.schema import FAILED, batch_items, batches, settlements

KEEP = frozenset({"organization_id"})


def save(tx: Tx, batch: Batch, read: Read) -> bool:
    """Write a batch and its items as read; False when a later reading stands there."""
    row = row_of(batch, read)
    items = [
        {"batch_id": batch.batch_id, "position": position} | plain(item)
        for position, item in enumerate(row.pop("items"))
    ]
    if not upsert(tx, batches, [row], KEEP):
        return False
    tx.execute(batch_items.delete().where(batch_items.c.batch_id == batch.batch_id))
    for start in range(0, len(items), ROWS):
        tx.execute(batch_items.insert(), items[start : start + ROWS])
    return True


def get(tx: Tx, batch_id: str) -> Row[Any] | None:
    """Return one batch, or None."""
    found: Row[Any] | None = tx.execute(
        select(batches).where(batches.c.batch_id == batch_id)
    ).one_or_none()
    return found


def items(tx: Tx, batch_id: str) -> Sequence[Row[Any]]:
    """Return a batch's items, in the order in which Amili gave them."""
    asked = (
        select(batch_items)
        .where(batch_items.c.batch_id == batch_id)
        .order_by(batch_items.c.position)
    )
    found: Sequence[Row[Any]] = tx.execute(asked).all()
    return found


def failed_naming(tx: Tx, found: Iterable[Invoice]) -> dict[str, str | None]:
    """Return batch id → organization of the batches of which a failed item names one of these."""
    names = list(found)
    columns = {
        "invoice_id": [each.invoice_id for each in names],
        "invoice_number": [each.invoice_number for each in names if each.invoice_number],
        "unique_source_invoice_id": [
            each.unique_source_invoice_id for each in names if each.unique_source_invoice_id
        ],
    }
    batch_ids: dict[str, str | None] = {}
    for name, values in columns.items():
        for start in range(0, len(values), ROWS):
            asked = (
                select(batches.c.batch_id, batches.c.organization_id)
                .join(batch_items, batch_items.c.batch_id == batches.c.batch_id)
                .where(
                    FAILED,
                    batch_items.c[name].in_(values[start : start + ROWS]),
                )
            )
            batch_ids |= {row.batch_id: row.organization_id for row in tx.execute(asked)}
    return batch_ids


def save_settlements(tx: Tx, found: Iterable[tuple[Settlement, Read]]) -> set[str]:
    """Write settlements, each as it was read; return the ids that were written."""
    return upsert(tx, settlements, [row_of(each, read) for each, read in found], KEEP)


def get_settlement(tx: Tx, settlement_id: str) -> Row[Any] | None:
    """Return one settlement, or None."""
    found: Row[Any] | None = tx.execute(
        select(settlements).where(settlements.c.settlement_id == settlement_id)
    ).one_or_none()
    return found


def listed_settlements(tx: Tx, *, after: str | None = None, limit: int = 50) -> Sequence[Row[Any]]:
    """Return settlements by id; `after` is the id where the last page ended."""
    asked = select(settlements).order_by(settlements.c.settlement_id).limit(limit)
    if after is not None:
        asked = asked.where(settlements.c.settlement_id > after)
    found: Sequence[Row[Any]] = tx.execute(asked).all()
    return found
