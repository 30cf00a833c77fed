"""Invoices, as read by themselves or inside their case."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import fields
from typing import Any

from sqlalchemy import Row, select

from service.domain.entities import Read
from service.domain.records import Invoice
from service.store.database import Tx
from service.store.mirror import row_of, upsert
from service.store.schema import invoices

#: A reading inside a case knows less than one by itself: what it lacks stays.
KEEP = frozenset(f.name for f in fields(Invoice)) - {"invoice_id"}


def save(tx: Tx, found: Iterable[Invoice], read: Read) -> set[str]:
    """Write invoices as read; return the ids that were written."""
    rows = [row_of(invoice, read) for invoice in found]
    return upsert(tx, invoices, rows, KEEP) if rows else set()


COLUMNS = tuple(invoices.c[f.name] for f in fields(Invoice))


def known(tx: Tx, invoice_ids: Sequence[str]) -> dict[str, Invoice]:
    """Return these invoices as they stand here, by id."""
    found = {}
    for start in range(0, len(invoice_ids), 5000):
        some = invoice_ids[start : start + 5000]
        for row in tx.execute(select(*COLUMNS).where(invoices.c.invoice_id.in_(some))):
            found[row.invoice_id] = Invoice(*row)
    return found


def named(
    tx: Tx, *, ids: Sequence[str], numbers: Sequence[str], sources: Sequence[str]
) -> list[Invoice]:
    """Return the invoices that any of these name."""
    wanted = (
        (invoices.c.invoice_id, ids),
        (invoices.c.invoice_number, numbers),
        (invoices.c.unique_source_invoice_id, sources),
    )
    found: dict[str, Invoice] = {}
    for column, names in wanted:
        for start in range(0, len(names), 5000):
            asked = select(*COLUMNS).where(column.in_(names[start : start + 5000]))
            found |= {row.invoice_id: Invoice(*row) for row in tx.execute(asked)}
    return [found[invoice_id] for invoice_id in sorted(found)]


def of_case(tx: Tx, case_id: str) -> list[Row[Any]]:
    """Return a case's invoices."""
    asked = select(invoices).where(invoices.c.case_id == case_id).order_by(invoices.c.invoice_id)
    return list(tx.execute(asked).all())


def get(tx: Tx, invoice_id: str) -> Row[Any] | None:
    """Return one invoice, or None."""
    found: Row[Any] | None = tx.execute(
        select(invoices).where(invoices.c.invoice_id == invoice_id)
    ).one_or_none()
    return found
