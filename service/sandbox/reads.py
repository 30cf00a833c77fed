"""The reading operations of the API. All of them show the state as of the read lag's horizon."""

from __future__ import annotations

from collections.abc import Iterable

from service.sandbox import batches, cases, invoices
from service.sandbox.asking import Ask, Told
from service.sandbox.errors import Refused
from service.sandbox.pages import after, matches, page, within
from service.sandbox.tables import Table
from service.sandbox.wire import Record
from service.sandbox.world import World


def get_batch(world: World, ask: Ask) -> Told:
    """GetBatchById, with the organization in the path or without (legacy)."""
    return Told(data=batches.show(_one(world, world.batches, ask)))


def list_batches(world: World, ask: Ask) -> Told:
    """GetBatchesByOrganization; SubjectId as the invoice of an item is [assumed]."""
    horizon = world.horizon()

    def show(key: str) -> Record | None:
        batch = world.batches.seen(key, horizon)
        if batch is None or not _is_asked(batch, ask):
            return None
        filters = {"State": "status", "Type": "type", "IdempotencyKey": "_key"}
        return batches.show(batch) if matches(batch, ask, filters) else None

    return page(world, ask, _batch_rows(world, ask), show)


def _is_asked(batch: Record, ask: Ask) -> bool:
    subject = ask.query.get("SubjectId")
    return batch["organizationId"] == ask.organization and (
        subject is None or any(item.get("invoiceId") == subject for item in batch["succeeded"])
    )


def get_invoice(world: World, ask: Ask) -> Told:
    """GetInvoiceById."""
    return Told(data=invoices.read_back(_one(world, world.invoices, ask)))


def list_invoices(world: World, ask: Ask) -> Told:
    """GetInvoicesByOrganization; that From and To mean createdAt is [assumed]."""
    horizon = world.horizon()
    filters = {
        "Status": "status",
        "Type": "type",
        "InvoiceNumber": "invoiceNumber",
        "UniqueSourceInvoiceId": "uniqueSourceInvoiceId",
        "CustomerNumber": "_customerNumber",
    }

    def show(key: str) -> Record | None:
        invoice = world.invoices.seen(key, horizon)
        if invoice is None or invoice["organizationId"] != ask.organization:
            return None
        low, high = ask.query.get("From"), ask.query.get("To")
        fits = matches(invoice, ask, filters) and within(invoice["registeredAt"], low, high)
        return invoices.read_back(invoice) if fits else None

    return page(world, ask, _invoice_rows(world, ask), show)


def list_cases(world: World, ask: Ask) -> Told:
    """GetCasesByOrganization; what SearchTerm searches is [assumed]."""
    horizon = world.horizon()

    def show(key: str) -> Record | None:
        case = world.cases.seen(key, horizon)
        if case is None or not _case_fits(case, ask):
            return None
        shown = cases.show(world, key, horizon)
        return shown if shown and _holds_asked(shown, ask) else None

    return page(world, ask, _case_rows(world, ask), show)


def get_settlement(world: World, ask: Ask) -> Told:
    """GetSettlement on Id."""
    return Told(data=_one(world, world.settlements, ask))


def list_settlements(world: World, ask: Ask) -> Told:
    """GetSettlements; its query is in camelCase."""
    horizon = world.horizon()

    def show(key: str) -> Record | None:
        settlement = world.settlements.seen(key, horizon)
        if settlement is None or settlement["organizationId"] != ask.organization:
            return None
        low, high = ask.query.get("fromDate"), ask.query.get("toDate")
        return settlement if within(settlement["settlementDate"], low, high) else None

    return page(world, ask, world.settlements.walk(after(ask)), show)


def _one(world: World, table: Table, ask: Ask) -> Record:
    record = table.seen(ask.target or "", world.horizon())
    if record is None or ask.organization not in (None, record["organizationId"]):
        raise Refused(404, "not found")
    return record


def _case_fits(case: Record, ask: Ask) -> bool:
    query = ask.query
    customers = {person.get("customerNumber") for person in case["debtors"]}
    filters = {"CaseNumber": "caseNumber", "Status": "status", "Type": "type"}
    return (
        case["organizationId"] == ask.organization
        and matches(case, ask, filters)
        and query.get("CustomerNumber") in {None, *customers}
        and within(case["registeredAt"], query.get("FromCreatedAt"), query.get("ToCreatedAt"))
        and _mentions(case, query.get("SearchTerm", ""))
    )


def _holds_asked(shown: Record, ask: Ask) -> bool:
    source = ask.query.get("UniqueSourceInvoiceId")
    held = shown["invoices"]
    return source is None or any(one["uniqueSourceInvoiceId"] == source for one in held)


def _mentions(case: Record, term: str) -> bool:
    texts = [case["description"], case["caseNumber"], *(d["fullName"] for d in case["debtors"])]
    return any(term.lower() in str(text).lower() for text in texts)


def _batch_rows(world: World, ask: Ask) -> Iterable[tuple[int, str]]:
    direction = ask.query.get("SortDirection", "ASC").upper()
    if direction not in ("ASC", "DESC"):
        raise Refused(400, "SortDirection is ASC or DESC")
    is_down = direction == "DESC"
    key = ask.query.get("IdempotencyKey")
    if key is None:
        return world.batches.walk(after(ask), descending=is_down)
    found = world.batches.having(ask.organization or "", "_key", key)
    return world.batches.pick(found, after(ask), descending=is_down)


def _case_rows(world: World, ask: Ask) -> Iterable[tuple[int, str]]:
    """Narrow the cases by an index where a filter allows it; a full walk is the last resort."""
    for name, member in (("CaseNumber", "caseNumber"), ("CustomerNumber", "_customers")):
        if name in ask.query:
            found = world.cases.having(ask.organization or "", member, ask.query[name])
            return world.cases.pick(found, after(ask))
    source = ask.query.get("UniqueSourceInvoiceId")
    if source is None:
        return world.cases.walk(after(ask))
    held = world.invoices.having(ask.organization or "", "uniqueSourceInvoiceId", source)
    found = [invoice["caseId"] for key in held if (invoice := world.invoices.now(key))]
    return world.cases.pick(found, after(ask))


def _invoice_rows(world: World, ask: Ask) -> Iterable[tuple[int, str]]:
    for name, member in (
        ("UniqueSourceInvoiceId", "uniqueSourceInvoiceId"),
        ("InvoiceNumber", "invoiceNumber"),
        ("CustomerNumber", "_customerNumber"),
    ):
        if name in ask.query:
            found = world.invoices.having(ask.organization or "", member, ask.query[name])
            return world.invoices.pick(found, after(ask))
    return world.invoices.walk(after(ask))
