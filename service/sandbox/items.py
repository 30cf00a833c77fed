"""One item of a batch: an invoice, a payment or a correction, read, then registered or failed.

[assumed]: the error codes, that an amount must be a JSON number, and that a case takes the type
of its first invoice.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from service.sandbox import cases, invoices, moves
from service.sandbox.errors import ItemFailed, SandboxError
from service.sandbox.moves import Move
from service.sandbox.wire import Record, is_sane
from service.sandbox.world import World

KEPT = ("type", *invoices.KEYS, "currency", "invoiceDate", "dueDate", "description")


@dataclass(frozen=True)
class Registered:
    """What stands in a batch's succeeded[], and the amount that is to move."""

    shown: Record
    move: Move | None = None


def read_invoice(item: Any) -> Record:
    """Return an invoice as it is registered, without its case; ItemFailed when it is none."""
    given = _object(item)
    debtors = _objects(given, "debtors")
    if not debtors:
        raise ItemFailed("DEBTOR_MISSING", "an invoice needs a debtor", "debtors")
    for member in invoices.KEYS:
        if not isinstance(given.get(member), str | None):
            raise ItemFailed("INVALID", f"{member} must be a string", member)
    principal = _number(given, "originalInvoiceAmount")
    draft = {member: given[member] for member in KEPT if given.get(member) is not None}
    return draft | {
        "originalAmount": principal,
        "remainingAmount": _remaining(given, principal),
        "_customerNumber": debtors[0].get("customerNumber"),
    }


def read_payment(item: Any) -> Move:
    """Return what a payment moves; ItemFailed when it is none."""
    given = _object(item)
    paid = _number(given, "amount")
    if paid <= 0:
        raise ItemFailed("INVALID", "a payment is more than nothing", "amount")
    return Move(str(given.get("invoiceId")), paid, "paidAmount")


def read_correction(item: Any) -> Move:
    """Return what a correction moves: it makes a claim smaller, or larger when it is negative."""
    given = _object(item)
    return Move(str(given.get("invoiceId")), _number(given, "amount"), "creditedAmount")


def register_invoice(world: World, batch: Record, item: Any, at: float) -> Registered:
    """Register a submitted invoice in its debtor's case, or in a new one."""
    draft, organization = read_invoice(item), batch["organizationId"]
    for member in invoices.KEYS:
        if draft.get(member) and world.invoices.having(organization, member, draft[member]):
            raise ItemFailed("DUPLICATE", f"{member} is registered already", member)
    case_id = _case_for(world, organization, item, at)
    draft["batchId"] = batch["batchId"]
    return Registered(_succeeded(cases.add_invoice(world, case_id, draft, at)))


def register_payment(world: World, _batch: Record, item: Any, _at: float) -> Registered:
    """Note that the debtor paid the creditor directly."""
    return _promised(world, read_payment(item))


def register_correction(world: World, _batch: Record, item: Any, _at: float) -> Registered:
    """Note a credit."""
    return _promised(world, read_correction(item))


#: Batch type -> how one of its items is read: ItemFailed names what cannot be.
READERS: dict[str, Callable[[Any], object]] = {
    "INVOICE": read_invoice,
    "PAYMENT": read_payment,
    "CORRECTION": read_correction,
}
#: Batch type -> how one of its items is registered.
REGISTRARS: dict[str, Callable[[World, Record, Any, float], Registered]] = {
    "INVOICE": register_invoice,
    "PAYMENT": register_payment,
    "CORRECTION": register_correction,
}


def _case_for(world: World, organization: str, given: Record, at: float) -> str:
    """Find the debtor's open case by customerNumber, or open one."""
    number = given["debtors"][0].get("customerNumber")
    known = world.cases.having(organization, "_customers", str(number)) if number else []
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


def _promised(world: World, move: Move) -> Registered:
    try:
        return Registered(_succeeded(moves.promise(world, move)), move)
    except SandboxError as exc:
        raise ItemFailed("NOT_POSSIBLE", str(exc), "amount") from exc


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
