"""Every operation of Amili's called once through the client, with every argument that it has."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

import simplejson

from service.amili.client import AmiliClient
from service.amili.client.arguments import Said
from service.amili.operations import OPERATIONS
from service.amili.requests import NewCorrection, NewInvoice, NewPayment
from service.amili.texts import decode

SAMPLES = Path(__file__).parent / "samples" / "operations"


@dataclass(frozen=True)
class Ids:
    """What the calls are about."""

    organization: str = "o-1"
    batch: str = "b-1"
    invoice: str = "i-1"
    case: str = "c-1"
    settlement: str = "s-1"


#: Makes one call and returns every record that it brought.
Called = Callable[[AmiliClient, Ids], Awaitable[list[Any]]]
KEY = "key-1"
SAID: Said = {"reason": "dispute", "comment": "asked by phone"}


def exchanges(operation: str) -> list[dict[str, Any]]:
    """Read the recorded requests and answers of an operation, numbers as Decimal."""
    for path in sorted(SAMPLES.glob("*.json")):
        sample = json.loads(path.read_text(encoding="utf-8"), parse_float=Decimal)
        if sample["operation"] == operation:
            found: list[dict[str, Any]] = sample["exchanges"]
            return found
    raise LookupError(f"no sample of {operation} in {SAMPLES}")


def written(value: Any) -> str:
    """Write JSON, each number with its scale; no code of the product."""
    text: str = simplejson.dumps(value, use_decimal=True)
    return text


def exact(text: str | bytes) -> Any:
    """Read JSON so that 1.50 and 1.5 differ."""
    return json.loads(text, parse_float=lambda number: ("number", number))


def items(operation: str) -> list[Any]:
    """Read what the sample of a submission hands over, as the product reads JSON."""
    (exchange,) = exchanges(operation)
    (rows,) = decode(written(exchange["request"]["body"]).encode()).values()
    found: list[Any] = rows
    return found


async def every(records: AsyncIterator[Any]) -> list[Any]:
    """Collect a list, page after page."""
    return [record async for record in records]


async def get_batch(client: AmiliClient, ids: Ids) -> list[Any]:
    """Call GetBatchById."""
    return [await client.get_batch_by_id(ids.organization, ids.batch)]


async def get_batch_by_legacy_path(client: AmiliClient, ids: Ids) -> list[Any]:
    """Call GetBatchById, legacy, to be removed."""
    return [await client.get_batch_by_id(None, ids.batch)]


async def get_batches(client: AmiliClient, ids: Ids) -> list[Any]:
    """Call GetBatchesByOrganization."""
    return await every(
        client.get_batches_by_organization(
            ids.organization,
            state="PARTIAL",
            type="INVOICE",
            subject_id=ids.invoice,
            idempotency_key=KEY,
            page_size=2,
            sort_direction="DESC",
        )
    )


async def create_invoices(client: AmiliClient, ids: Ids) -> list[Any]:
    """Call CreateInvoices."""
    invoices = [NewInvoice.model_validate(item) for item in items("CreateInvoices")]
    return [await client.create_invoices(ids.organization, invoices, idempotency_key=KEY)]


async def get_invoices(client: AmiliClient, ids: Ids) -> list[Any]:
    """Call GetInvoicesByOrganization."""
    return await every(
        client.get_invoices_by_organization(
            ids.organization,
            status="OPEN",
            type="PAYMENT_REMINDER",
            invoice_number="1001",
            unique_source_invoice_id="src-1",
            customer_number="K1",
            from_="2026-01-01",
            to="2026-12-31",
        )
    )


async def get_invoice(client: AmiliClient, ids: Ids) -> list[Any]:
    """Call GetInvoiceById."""
    return [await client.get_invoice_by_id(ids.organization, ids.invoice)]


async def get_cases(client: AmiliClient, ids: Ids) -> list[Any]:
    """Call GetCasesByOrganization."""
    return await every(
        client.get_cases_by_organization(
            ids.organization,
            status="PAUSED",
            type="COLLECTION_NOTICE",
            case_number="4711",
            customer_number="K1",
            unique_source_invoice_id="src-1",
            from_created_at="2026-04-01T00:00:00Z",
            to_created_at="2026-05-01T00:00:00Z",
            page_size=1,
        )
    )


async def create_payments(client: AmiliClient, ids: Ids) -> list[Any]:
    """Call CreatePayments."""
    rows = [{**item, "invoiceId": ids.invoice} for item in items("CreatePayments")]
    payments = [NewPayment.model_validate(row) for row in rows]
    return [await client.create_payments(ids.organization, payments, idempotency_key=KEY)]


async def create_corrections(client: AmiliClient, ids: Ids) -> list[Any]:
    """Call CreateCorrections."""
    rows = [{**item, "invoiceId": ids.invoice} for item in items("CreateCorrections")]
    corrections = [NewCorrection.model_validate(row) for row in rows]
    return [await client.create_corrections(ids.organization, corrections, idempotency_key=KEY)]


async def get_settlements(client: AmiliClient, ids: Ids) -> list[Any]:
    """Call GetSettlements."""
    return await every(
        client.get_settlements(
            ids.organization, from_date="2026-05-01", to_date="2026-05-31", page_size=1
        )
    )


async def get_settlement(client: AmiliClient, ids: Ids) -> list[Any]:
    """Call GetSettlement on Id."""
    return [await client.get_settlement(ids.organization, ids.settlement)]


def of_case(name: str) -> Called:
    """Make the call of one of the nine operations on a case, which bring nothing."""

    async def call(client: AmiliClient, ids: Ids) -> list[Any]:
        method = getattr(client, name)
        answer = await method(ids.organization, ids.case, idempotency_key=KEY, **SAID)
        assert answer is None
        return []

    return call


async def get_legacy_batch(client: AmiliClient, _: Ids) -> list[Any]:
    """Call GetLegacyBatch."""
    return [await client.get_legacy_batch()]


async def create_legacy_batch(client: AmiliClient, _: Ids) -> list[Any]:
    """Call CreateLegacyBatch."""
    document = {"Invoices": [{"Amount": Decimal("4500.00")}]}
    return [await client.create_legacy_batch("sender-1", document, idempotency_key=KEY)]


async def legacy_attachment(client: AmiliClient, _: Ids) -> list[Any]:
    """Call LegacyAttachment."""
    return [await client.legacy_attachment()]


async def legacy_ping(client: AmiliClient, _: Ids) -> list[Any]:
    """Call LegacyPing."""
    return [await client.legacy_ping()]


#: By the operation's name.
CALLS: Mapping[str, Called] = {
    "GetBatchById": get_batch,
    "GetBatchById, legacy, to be removed": get_batch_by_legacy_path,
    "GetBatchesByOrganization": get_batches,
    "CreateInvoices": create_invoices,
    "GetInvoicesByOrganization": get_invoices,
    "GetInvoiceById": get_invoice,
    "GetCasesByOrganization": get_cases,
    "CreatePayments": create_payments,
    "CreateCorrections": create_corrections,
    "GetSettlements": get_settlements,
    "GetSettlement on Id": get_settlement,
    "GetLegacyBatch": get_legacy_batch,
    "CreateLegacyBatch": create_legacy_batch,
    "LegacyAttachment": legacy_attachment,
    "LegacyPing": legacy_ping,
    **{each.name: of_case(each.label) for each in OPERATIONS if "{caseId}" in each.path},
}
