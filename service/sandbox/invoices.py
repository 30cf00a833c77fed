"""Invoices: registered once, then only their amounts move."""

from __future__ import annotations

from decimal import Decimal

from service.sandbox.errors import SandboxError
from service.sandbox.wire import Record, amount, moment
from service.sandbox.world import World, new_id

#: Members of an invoice inside a case (contract §3).
IN_CASE = (
    "invoiceId",
    "invoiceNumber",
    "caseId",
    "invoiceDate",
    "dueDate",
    "batchId",
    "registeredAt",
    "originalAmount",
    "remainingAmount",
    "remainingPrincipal",
    "uniqueSourceInvoiceId",
    "paidAmount",
    "creditedAmount",
    "currency",
)
AMOUNTS = (
    "originalAmount",
    "remainingAmount",
    "remainingPrincipal",
    "paidAmount",
    "creditedAmount",
)
KEYS = ("invoiceNumber", "uniqueSourceInvoiceId")
ZERO = Decimal(0)


def register(world: World, case: Record, given: Record, at: float) -> Record:
    """Store a new invoice of a case and return it; `given` has its amounts as Decimals."""
    principal = given["originalAmount"]
    nothing = principal * 0
    invoice = {
        "type": case["type"],
        "status": "OPEN",
        "invoiceDate": moment(at),
        "dueDate": moment(at),
        "batchId": None,
        "remainingAmount": principal,
        "remainingPrincipal": principal,
        "paidAmount": nothing,
        "creditedAmount": nothing,
        "currency": "NOK",
        **given,
        "invoiceId": given.get("invoiceId") or new_id(),
        "organizationId": case["organizationId"],
        "caseId": case["caseId"],
        "caseNumber": case["caseNumber"],
        "registeredAt": moment(at),
    }
    world.invoices.add(invoice["invoiceId"], at, invoice)
    return invoice


def with_amounts(given: Record) -> Record:
    """Return the members with every amount as Decimal; ValueError when one is none."""
    return {k: amount(v) if k in AMOUNTS else v for k, v in given.items()}


def lower(world: World, invoice_id: str, by: Decimal, member: str, at: float) -> Record:
    """Move an amount from what remains to `paidAmount` or `creditedAmount`."""
    invoice = world.invoices.now(invoice_id)
    if invoice is None:
        raise SandboxError(f"no invoice {invoice_id}")
    remaining = invoice["remainingAmount"] - by
    if remaining < 0:
        raise SandboxError(f"only {invoice['remainingAmount']} remains of invoice {invoice_id}")
    principal = invoice["remainingPrincipal"]
    changes = {
        member: invoice[member] + by,
        "remainingAmount": remaining,
        "remainingPrincipal": principal - by if by < 0 else min(principal, remaining),
        "status": "OPEN" if remaining else "CLOSED",  # CLOSED is [assumed]
    }
    return world.invoices.change(invoice_id, at, changes)


def in_case(invoice: Record) -> Record:
    """Show an invoice as a case shows it."""
    return {member: invoice.get(member) for member in IN_CASE}


def read_back(invoice: Record) -> Record:
    """Show an invoice as its own endpoint does: `id`, not `invoiceId`.

    The documentation was read only up to `createdAt`, so nothing follows it here;
    that `collectionCaseNumber` is a number is [assumed].
    """
    return {
        "id": invoice["invoiceId"],
        "organization": {
            "id": invoice["organizationId"],
            "organizationNumber": "000000000",
            "name": "Testkreditor AS",
        },
        "invoiceNumber": invoice.get("invoiceNumber"),
        "collectionCaseNumber": invoice["caseNumber"],
        "type": invoice["type"],
        "status": invoice["status"],
        "createdAt": invoice["registeredAt"],
    }
