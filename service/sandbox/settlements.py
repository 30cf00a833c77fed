"""Settlements: Amili pays out what it collected.

Of the API's answer only `caseNumber` to `exchangeRate` were read; the rest is [assumed].
"""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from service.sandbox import cases
from service.sandbox.errors import SandboxError
from service.sandbox.outbox import SETTLEMENT_CREATED
from service.sandbox.wire import Record, amount, day, unix
from service.sandbox.world import World, new_id

TOLD = ("settlementId", "organizationId", "settlementDate", "invoiceId", "invoiceNumber")


def settle(world: World, case_id: str, given: Record, at: float) -> Record:
    """Store a settlement for one invoice of a case (the first by default) and say it."""
    case = cases.must(world, case_id)
    invoice = _invoice(world, case, given.get("invoiceId"))
    paid = amount(given.get("amount", invoice["paidAmount"] or invoice["originalAmount"]))
    date = given.get("settlementDate") or day(at)
    unix(date)
    settlement: dict[str, Any] = {
        "settlementId": new_id(),
        "organizationId": case["organizationId"],
        "settlementDate": date,
        "invoiceId": invoice["invoiceId"],
        "invoiceNumber": invoice.get("invoiceNumber"),
        "caseNumber": case["caseNumber"],
        "collectionType": "REMINDER",
        "currency": invoice["currency"],
        "customerReference": invoice.get("uniqueSourceInvoiceId"),
        "exchangeRate": Decimal("1.0000"),
        "principalAmount": paid,
        "totalAmount": paid,
    }
    world.settlements.add(settlement["settlementId"], at, settlement)
    told = {member: settlement[member] for member in TOLD}
    world.say(SETTLEMENT_CREATED, {**told, "caseNumber": str(case["caseNumber"])}, at)
    return settlement


def _invoice(world: World, case: Record, invoice_id: str | None) -> Record:
    held = [i for i in cases.held(world, case) if invoice_id in (None, i)]
    found = world.invoices.now(held[0]) if held else None
    if found is None:
        raise SandboxError(f"case {case['caseId']} has no such invoice to settle")
    return found
