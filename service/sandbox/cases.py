"""Cases: opened, extended, changed, paused and closed; each change says its webhook."""

from __future__ import annotations

from typing import Any

from service.sandbox import invoices
from service.sandbox.errors import SandboxError
from service.sandbox.outbox import CASE_CREATED, CASE_UPDATED
from service.sandbox.wire import Record, moment
from service.sandbox.world import ORGANIZATION_ID, World, new_id

#: [assumed] OPEN and PAUSED were seen, CLOSED was not.
OPEN, PAUSED, CLOSED = "OPEN", "PAUSED", "CLOSED"
#: Members that nobody chooses, and members that never change.
OURS = {"caseId", "caseNumber", "registeredAt", "caseToken"}
FIXED = OURS | {"organizationId", "debtors"}
#: The words of CASE_UPDATED's fields[]; other members are named as they are [assumed].
FIELDS = {"subStatus": "status", "closedAt": "status", "invoices": "amounts"}


def open_case(world: World, given: Record, at: float) -> Record:
    """Store a new case without invoices; say nothing yet."""
    if OURS & set(given):
        raise SandboxError(f"{', '.join(sorted(OURS & set(given)))} cannot be chosen")
    number = world.next_case_number()
    case = {
        "creditorId": given.get("organizationId", ORGANIZATION_ID),
        "creditorNumber": 1,
        "status": OPEN,
        "subStatus": None,
        "type": "PAYMENT_REMINDER",
        "description": None,
        "closedAt": None,
        "organizationId": ORGANIZATION_ID,
        "debtors": [debtor({}, number)],
        **given,
        "caseId": new_id(),
        "caseNumber": number,
        "registeredAt": moment(at),
        "caseToken": new_id(),
        "_held": 0,
    }
    case["_customers"] = tuple(person.get("customerNumber") for person in case["debtors"])
    world.cases.add(case["caseId"], at, case)
    return case


def debtor(given: Record, number: int) -> Record:
    """Make a case's debtor of a submitted one (`firstname` there, `firstName` here)."""
    invented = {"firstname": "Test", "lastname": f"Testesen {number % 1000}"}
    named = given if {"firstname", "lastname", "name"} & set(given) else invented
    first, last = named.get("firstname"), named.get("lastname")
    return {
        "debtorId": new_id(),
        "type": given.get("type", "PRIVATE"),
        "debtorNumber": number,
        "customerNumber": given.get("customerNumber"),
        "firstName": first,
        "lastName": last,
        "fullName": named.get("name") or " ".join(str(part) for part in (first, last) if part),
    }


def add_invoice(world: World, case_id: str, given: Record, at: float) -> Record:
    """Register an invoice in a case and return it; say nothing yet."""
    case = must(world, case_id)
    invoice = invoices.register(world, case, given, at)
    world.invoices_of_case[case_id].append(invoice["invoiceId"])
    world.cases.change(case_id, at, {"_held": case["_held"] + 1})
    return invoice


def held(world: World, case: Record) -> list[str]:
    """Return the ids of the invoices that a version of a case holds."""
    return world.invoices_of_case[case["caseId"]][: case["_held"]]


def must(world: World, case_id: str) -> Record:
    """Return the present case; SandboxError when there is none."""
    case = world.cases.now(case_id)
    if case is None:
        raise SandboxError(f"no case {case_id}")
    return case


def change(world: World, case_id: str, changes: Record, at: float) -> None:
    """Store what differs, and say CASE_UPDATED when something does."""
    differing = store(world, case_id, changes, at)
    if differing:
        say_updated(world, case_id, differing, at)


def store(world: World, case_id: str, changes: Record, at: float) -> list[str]:
    """Store what differs and return its members; say nothing."""
    case = must(world, case_id)
    fixed = FIXED & set(changes)
    if fixed:
        raise SandboxError(f"a case's {', '.join(sorted(fixed))} cannot change")
    differing = {k: v for k, v in changes.items() if k not in case or case[k] != v}
    if differing:
        world.cases.change(case_id, at, differing)
    return list(differing)


def close_when_paid(world: World, case_id: str, at: float) -> None:
    """Say that amounts changed; close the case when nothing remains."""
    case = must(world, case_id)
    left = [(world.invoices.now(i) or {}).get("remainingAmount") for i in held(world, case)]
    changed = ["invoices"]
    if not any(left) and case["status"] != CLOSED:
        world.cases.change(case_id, at, {"status": CLOSED, "closedAt": moment(at)})
        changed.append("status")
    say_updated(world, case_id, changed, at)


def say_created(world: World, case_id: str, at: float) -> None:
    """Publish that a case was opened."""
    world.say(CASE_CREATED, _told(world, must(world, case_id)), at)


def say_updated(world: World, case_id: str, members: list[str], at: float) -> None:
    """Publish that parts of a case changed."""
    fields = list(dict.fromkeys(FIELDS.get(member, member) for member in members))
    world.say(CASE_UPDATED, {**_told(world, must(world, case_id)), "fields": fields}, at)


def show(world: World, case_id: str, horizon: float | None) -> Record | None:
    """Show a case as its endpoint does, as of the horizon; None when it did not exist yet."""
    case = world.cases.seen(case_id, horizon)
    if case is None:
        return None
    seen = (world.invoices.seen(i, horizon) for i in held(world, case))
    shown: dict[str, Any] = {k: v for k, v in case.items() if not k.startswith("_")}
    shown["invoices"] = [invoices.in_case(invoice) for invoice in seen if invoice]
    return shown


def _told(world: World, case: Record) -> Record:
    """Return a case event's data: its number is a string here, and there is no amount."""
    return {
        "organizationId": case["organizationId"],
        "caseId": case["caseId"],
        "caseNumber": str(case["caseNumber"]),
        "type": case["type"],
        "status": case["status"],
        "invoices": held(world, case),
    }
