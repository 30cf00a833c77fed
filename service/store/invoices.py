"""Invoices, as read by themselves or inside their case."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import fields
from typing import Any, NamedTuple

from sqlalchemy import Row, select

from service.domain.entities import Read
from service.domain.records import Invoice, one_spelling
from service.store.database import Tx
from service.store.mirror import row_of, upsert
from service.store.schema import invoices

#: A reading inside a case knows less than one by itself: what it lacks stays.
KEEP = frozenset(f.name for f in fields(Invoice)) - {"invoice_id"}


def save(tx: Tx, found: Iterable[tuple[Invoice, Read]]) -> set[str]:
    """Write invoices, each as it was read; return the ids that were written."""
    return upsert(tx, invoices, [row_of(invoice, read) for invoice, read in found], KEEP)


COLUMNS = tuple(invoices.c[f.name] for f in fields(Invoice))


#: Ids in one query; each is asked for in three spellings.
TOGETHER = 5000


def spellings(names: Iterable[str]) -> list[str]:
    """List ids as they are, in small and in capital letters: an index finds each of these."""
    return sorted({each for name in names for each in (name, name.lower(), name.upper())})


def known(tx: Tx, invoice_ids: Sequence[str]) -> dict[str, Invoice]:
    """Return these invoices as they stand here, by id as asked for, however it is spelt there."""
    found: dict[str, Invoice | None] = {}
    for start in range(0, len(invoice_ids), TOGETHER):
        some = invoice_ids[start : start + TOGETHER]
        asked = select(*COLUMNS).where(invoices.c.invoice_id.in_(spellings(some)))
        there = {row.invoice_id: Invoice(*row) for row in tx.execute(asked)}
        # An id as it is wins over another spelling of it.
        there = {one_spelling(name): each for name, each in there.items()} | there
        found |= {name: there.get(name) or there.get(one_spelling(name)) for name in some}
    return {name: invoice for name, invoice in found.items() if invoice is not None}


def unknown(tx: Tx, invoice_ids: Iterable[str]) -> set[str]:
    """Return those of these ids by which no invoice is known here, in any spelling."""
    names = sorted(set(invoice_ids))
    there: set[str] = set()
    for start in range(0, len(names), TOGETHER):
        some = spellings(names[start : start + TOGETHER])
        asked = select(invoices.c.invoice_id).where(invoices.c.invoice_id.in_(some))
        there |= {one_spelling(name) for name in tx.execute(asked).scalars()}
    return {name for name in names if one_spelling(name) not in there}


def named(
    tx: Tx, *, ids: Sequence[str], numbers: Sequence[str], sources: Sequence[str]
) -> list[Invoice]:
    """Return the invoices that any of these name."""
    wanted = (
        (invoices.c.invoice_id, spellings(ids)),
        (invoices.c.invoice_number, numbers),
        (invoices.c.unique_source_invoice_id, sources),
    )
    found: dict[str, Invoice] = {}
    for column, names in wanted:
        for start in range(0, len(names), TOGETHER):
            asked = select(*COLUMNS).where(column.in_(names[start : start + TOGETHER]))
            found |= {row.invoice_id: Invoice(*row) for row in tx.execute(asked)}
    return [found[invoice_id] for invoice_id in sorted(found)]


class Filters(NamedTuple):
    """Which invoices are wanted; None: any."""

    invoice_number: str | None = None
    unique_source_invoice_id: str | None = None
    case_id: str | None = None


def listed(tx: Tx, wanted: Filters, *, after: str | None = None, limit: int = 50) -> list[Row[Any]]:
    """Return invoices by id; `after` is the id where the last page ended."""
    asked = select(invoices).order_by(invoices.c.invoice_id).limit(limit)
    for name, value in wanted._asdict().items():
        if value is not None:
            asked = asked.where(invoices.c[name] == value)
    if after is not None:
        asked = asked.where(invoices.c.invoice_id > after)
    return list(tx.execute(asked).all())


def ids_of(tx: Tx, name: str, limit: int = 10) -> list[str]:
    """Return the ids of the invoices whose number or uniqueSourceInvoiceId this is."""
    found: set[str] = set()
    for column in (invoices.c.invoice_number, invoices.c.unique_source_invoice_id):
        found |= set(
            tx.execute(select(invoices.c.invoice_id).where(column == name).limit(limit)).scalars()
        )
    return sorted(found)[:limit]


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
