"""One item of a batch: an invoice, a payment or a correction, registered or failed.

[assumed]: the error codes, that an amount must be a JSON number, and that a case takes the type
of its first invoice.
"""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from service.sandbox import cases, invoices
from service.sandbox.errors import ItemFailed, SandboxError
from service.sandbox.wire import Record, is_sane
from service.sandbox.world import World


def register_invoice(world: World, batch: Record, item: Any, at: float) -> Record:
    """Register a submitted invoice in its debtor's case, or in a new one."""
    given = _object(item)
    debtors = _objects(given, "debtors")
    if not debtors:
        raise ItemFailed("DEBTOR_MISSING", "an invoice needs a debtor", "debtors")
    organization = batch["organizationId"]
    for member in invoices.KEYS:
        if not isinstance(given.get(member), str | None):
            raise ItemFailed("INVALID", f"{member} must be a string", member)
        if given.get(member) and (organization, member, given[member]) in world.invoice_of_key:
            raise ItemFailed("DUPLICATE", f"{member} is registered already", member)
    principal = _number(given, "originalInvoiceAmount")
    case_id = _case_for(world, organization, given, at)
    kept = ("type", *invoices.KEYS, "currency", "invoiceDate", "dueDate", "description")
    draft = {member: given[member] for member in kept if given.get(member) is not None}
    draft |= {
        "originalAmount": principal,
        "remainingAmount": _remaining(given, principal),
        "batchId": batch["batchId"],
        "_customerNumber": debtors[0].get("customerNumber"),
    }
    return _succeeded(cases.add_invoice(world, case_id, draft, at))


def register_payment(world: World, _batch: Record, item: Any, at: float) -> Record:
    """Note that the debtor paid the creditor directly."""
    given = _object(item)
    paid = _number(given, "amount")
    if paid <= 0:
        raise ItemFailed("INVALID", "a payment is more than nothing", "amount")
    return _move(world, given, paid, "paidAmount", at)


def register_correction(world: World, _batch: Record, item: Any, at: float) -> Record:
    """Make a claim smaller, or larger when the amount is negative."""
    given = _object(item)
    return _move(world, given, _number(given, "amount"), "creditedAmount", at)


def _case_for(world: World, organization: str, given: Record, at: float) -> str:
    """Find the debtor's open case by customerNumber, or open one."""
    number = given["debtors"][0].get("customerNumber")
    known = world.cases_of_customer.get((organization, str(number)), []) if number else []
    for case_id in reversed(known):
        if cases.must(world, case_id)["status"] != cases.CLOSED:
            return case_id
    draft = {
        "organizationId": organization,
        "creditorId": organization,
        "type": given.get("type") or "PAYMENT_REMINDER",
        "description": given.get("description"),
        "debtors": [
            cases.debtor(person, len(world.cases) + n)
            for n, person in enumerate(given["debtors"], start=1)
        ],
    }
    return str(cases.open_case(world, draft, at)["caseId"])


def _remaining(given: Record, principal: Decimal) -> Decimal:
    amounts = [_number(claim, "remainingAmount") for claim in _objects(given, "claims")]
    return sum(amounts[1:], amounts[0]) if amounts else principal


def _move(world: World, given: Record, by: Decimal, member: str, at: float) -> Record:
    try:
        moved = invoices.lower(world, str(given.get("invoiceId")), by, member, at)
    except SandboxError as exc:
        raise ItemFailed("NOT_POSSIBLE", str(exc), "amount") from exc
    return _succeeded(moved)


def _succeeded(invoice: Record) -> Record:
    members = ("invoiceId", "invoiceNumber", "caseId", "caseNumber")
    return {member: invoice.get(member) for member in members}


def _object(item: Any) -> Record:
    if not isinstance(item, dict):
        raise ItemFailed("INVALID", "an item is an object", "")
    return item


def _objects(given: Record, member: str) -> list[Record]:
    rows = given.get(member) or []
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        raise ItemFailed("INVALID", f"{member} must be a list of objects", member)
    return rows


def _number(given: Record, member: str) -> Decimal:
    value = given.get(member)
    if isinstance(value, bool) or not isinstance(value, int | Decimal):
        raise ItemFailed("INVALID", f"{member} must be a number", member)
    if not is_sane(Decimal(value)):
        raise ItemFailed("INVALID", f"{member} is out of range", member)
    return Decimal(value)
