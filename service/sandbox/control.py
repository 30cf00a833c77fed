"""The tester's hand: what happens at Amili that no API call of ours causes.

Each function takes the world and the members of a JSON object; `control_routes` offers them over
HTTP and `harness` in Python, so that both do the same. `knobs` has the rest of them.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from service.sandbox import batches, cases, invoices, settlements, steps
from service.sandbox.errors import SandboxError
from service.sandbox.wire import Record, amount
from service.sandbox.world import World

Command = Callable[[World, Record], Any]


def create_case(world: World, given: Record) -> Record:
    """Open a case: any members, and `customerNumber`, `invoices` [{amount, …}], `webhook`."""
    now = world.clock()
    wanted = dict(given)
    drafts = wanted.pop("invoices", [{}])
    number, is_told = wanted.pop("customerNumber", None), wanted.pop("webhook", True)
    person = {"customerNumber": number or f"K{len(world.cases) + 1}"}
    wanted.setdefault("debtors", [cases.debtor(person, len(world.cases) + 1)])
    ready = [_draft(world, draft, n) for n, draft in enumerate(drafts, start=1)]
    case_id = cases.open_case(world, wanted, now)["caseId"]
    owner = wanted["debtors"][0].get("customerNumber") if wanted["debtors"] else None
    for draft in ready:
        cases.add_invoice(world, case_id, {**draft, "_customerNumber": owner}, now)
    if is_told:
        cases.say_created(world, case_id, now)
    return _shown(world, case_id)


def update_case(world: World, given: Record) -> Record:
    """Change any members of a case; `invoices` [{invoiceId, …}] changes amounts; `webhook`."""
    now, wanted = world.clock(), dict(given)
    case_id, patches = wanted.pop("caseId"), wanted.pop("invoices", [])
    is_told = wanted.pop("webhook", True)
    held = cases.held(world, cases.must(world, case_id))
    ready = [invoices.with_amounts(patch) for patch in patches]
    for patch in ready:
        if patch.get("invoiceId") not in held:
            raise SandboxError(f"case {case_id} has no invoice {patch.get('invoiceId')}")
    changed = cases.store(world, case_id, wanted, now)
    for patch in ready:
        world.invoices.change(patch["invoiceId"], now, patch)
    changed += ["invoices"] if ready else []
    if changed and is_told:
        cases.say_updated(world, case_id, changed, now)
    return _shown(world, case_id)


def pause(world: World, given: Record) -> Record:
    """Let somebody at Amili pause a case: no API call, at once."""
    return update_case(world, {"caseId": given["caseId"], "status": cases.PAUSED})


def resume(world: World, given: Record) -> Record:
    """Let somebody at Amili resume a case: no API call, at once."""
    return update_case(world, {"caseId": given["caseId"], "status": cases.OPEN})


def get_case(world: World, given: Record) -> Record:
    """Show a case as it really is, what it will be, and every state that it had."""
    case_id = given["caseId"]
    known = ("status", "subStatus", "type")
    return {
        "case": _shown(world, case_id),
        "expected": {m: steps.expected(world, case_id)[m] for m in known},
        "history": [
            {"at": at, **{m: version[m] for m in known}}
            for at, version in world.cases.history(case_id)
        ],
    }


def pay_invoice(world: World, given: Record) -> Record:
    """Let a debtor pay `amount` (all that remains by default); the last payment closes the case."""
    now, invoice_id = world.clock(), given["invoiceId"]
    invoice = world.invoices.now(invoice_id)
    if invoice is None:
        raise SandboxError(f"no invoice {invoice_id}")
    paid = amount(given.get("amount", invoice["remainingAmount"]))
    if paid <= 0:
        raise SandboxError("a payment is more than nothing")
    invoices.lower(world, invoice_id, paid, "paidAmount", now)
    cases.close_when_paid(world, invoice["caseId"], now)
    return _shown(world, invoice["caseId"])


def settle(world: World, given: Record) -> Record:
    """Pay out for a case: `amount`, `invoiceId`, `settlementDate`, all optional."""
    return settlements.settle(world, given["caseId"], given, world.clock())


def register_batch(world: World, given: Record) -> Record:
    """Store a QUEUED batch that only `complete_batch` finishes."""
    return batches.show(batches.queue(world, given, None, world.clock()))


def complete_batch(world: World, given: Record) -> Record:
    """Finish a queued batch: with the given `status`, `succeeded` and `failed`, or by its items."""
    now, batch_id = world.clock(), given["batchId"]
    if batches.must(world, batch_id)["status"] != batches.QUEUED:
        raise SandboxError(f"batch {batch_id} is finished already")
    result = {k: v for k, v in given.items() if k in ("status", "succeeded", "failed")}
    if result:
        batches.finish(world, batch_id, {"succeeded": [], "failed": [], **result}, now)
    else:
        batches.work_through(world, batch_id, now)
    return batches.show(batches.must(world, batch_id))


def _draft(world: World, given: Record, number: int) -> Record:
    """Fill in an invoice that a tester sketched; `amount` is short for `originalAmount`."""
    draft = dict(given)
    draft.setdefault("originalAmount", draft.pop("amount", "4500.00"))
    serial = len(world.invoices) + number
    draft.setdefault("invoiceNumber", f"F{serial}")
    draft.setdefault("uniqueSourceInvoiceId", f"src-{serial}")
    return invoices.with_amounts(draft)


def _shown(world: World, case_id: str) -> Record:
    shown = cases.show(world, case_id, None)
    if shown is None:
        raise SandboxError(f"no case {case_id}")
    return shown
