"""The rows that mirror Amili. Money is `Decimal`, in major units, beside its currency."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

#: The case status that means paused (contract §3, seen).
PAUSED = "PAUSED"
#: Case statuses after which nothing is collected any more (assumed: `CLOSED` was not seen).
CLOSED = frozenset({"CLOSED"})


def one_spelling(invoice_id: str) -> str:
    """Write an id of Amili's so that the same one is equal: people's files have it in capitals."""
    return invoice_id.lower() if invoice_id.isascii() else invoice_id


@dataclass(frozen=True, slots=True)
class Case:
    """A case as last read. `raw` is the JSON text it was read from."""

    case_id: str
    case_number: str
    organization_id: str | None
    status: str | None
    sub_status: str | None
    type: str | None
    description: str | None
    registered_at: datetime | None
    closed_at: datetime | None
    raw: str

    @property
    def is_paused(self) -> bool:
        """Amili says that collection on it is paused."""
        return self.status == PAUSED

    @property
    def is_closed(self) -> bool:
        """Amili's work on it has ended."""
        return self.closed_at is not None or self.status in CLOSED


@dataclass(frozen=True, slots=True)
class Invoice:
    """An invoice as last read, by itself or inside its case."""

    invoice_id: str
    organization_id: str | None = None
    invoice_number: str | None = None
    unique_source_invoice_id: str | None = None
    case_id: str | None = None
    case_number: str | None = None
    batch_id: str | None = None
    type: str | None = None
    status: str | None = None
    currency: str | None = None
    original_amount: Decimal | None = None
    remaining_amount: Decimal | None = None
    remaining_principal: Decimal | None = None
    paid_amount: Decimal | None = None
    credited_amount: Decimal | None = None
    invoice_date: datetime | None = None
    due_date: datetime | None = None
    raw: str | None = None


@dataclass(frozen=True, slots=True)
class BatchItem:
    """One invoice of a batch: taken, or failed with reasons."""

    succeeded: bool
    invoice_id: str | None = None
    invoice_number: str | None = None
    unique_source_invoice_id: str | None = None
    case_id: str | None = None
    case_number: str | None = None
    errors: str | None = None


@dataclass(frozen=True, slots=True)
class Batch:
    """A batch as last read, with its items."""

    batch_id: str
    organization_id: str | None
    type: str | None
    status: str | None
    created_at: datetime | None
    finished_at: datetime | None
    items: tuple[BatchItem, ...]
    raw: str


@dataclass(frozen=True, slots=True)
class Settlement:
    """A settlement as last read; amounts stay in `raw` (contract §3: the rest is not known)."""

    settlement_id: str
    organization_id: str | None
    case_number: str | None
    collection_type: str | None
    currency: str | None
    customer_reference: str | None
    raw: str
