"""The reading operations of the API. All of them show the state as of the read lag's horizon."""

from __future__ import annotations

from collections.abc import Iterable

from service.sandbox import batches, cases, invoices
from service.sandbox.asking import Ask, Told, after, matches, page, within
from service.sandbox.errors import Refused
from service.sandbox.tables import Table
from service.sandbox.wire import Record
from service.sandbox.world import World


def get_batch(world: World, ask: Ask) -> Told:
    """GetBatchById, with the organization in the path or without (legacy)."""
    return Told(data=batches.show(_one(world, world.batches, ask)))


def list_batches(world: World, ask: Ask) -> Told:
    """GetBatchesByOrganization; SubjectId as the invoice of an item is [assumed]."""
    direction = ask.query.get("SortDirection", "ASC").upper()
    if direction not in ("ASC", "DESC"):
        raise Refused(400, "SortDirection is ASC or DESC")
    horizon = world.horizon()

    def show(key: str) -> Record | None:
        batch = world.batches.seen(key, horizon)
        if batch is None or not _is_asked(batch, ask):
            return None
        filters = {"State": "status", "Type": "type", "IdempotencyKey": "_key"}
        return batches.show(batch) if matches(batch, ask, filters) else None

    rows = world.batches.walk(after(ask), descending=direction == "DESC")
    return page(world, ask, rows, show)


def _is_asked(batch: Record, ask: Ask) -> bool:
    subject = ask.query.get("SubjectId")
    subjects = {item.get("invoiceId") for item in batch["succeeded"]}
    return batch["organizationId"] == ask.organization and subject in {None, *subjects}


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
        case = cases.show(world, key, horizon)
        return case if case and _case_fits(case, ask) else None

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
    sources = {invoice["uniqueSourceInvoiceId"] for invoice in case["invoices"]}
    filters = {"CaseNumber": "caseNumber", "Status": "status", "Type": "type"}
    return (
        case["organizationId"] == ask.organization
        and matches(case, ask, filters)
        and query.get("CustomerNumber") in {None, *customers}
        and query.get("UniqueSourceInvoiceId") in {None, *sources}
        and within(case["registeredAt"], query.get("FromCreatedAt"), query.get("ToCreatedAt"))
        and _mentions(case, query.get("SearchTerm", ""))
    )


def _mentions(case: Record, term: str) -> bool:
    texts = [case["description"], case["caseNumber"], *(d["fullName"] for d in case["debtors"])]
    return any(term.lower() in str(text).lower() for text in texts)


def _case_rows(world: World, ask: Ask) -> Iterable[tuple[int, str]]:
    """Narrow the cases by an index where a filter allows it; a full walk is the last resort."""
    organization = ask.organization or ""
    if "CaseNumber" in ask.query:
        return world.cases.pick([world.case_of_number.get(ask.query["CaseNumber"], "")], after(ask))
    if "CustomerNumber" in ask.query:
        owner = (organization, ask.query["CustomerNumber"])
        return world.cases.pick(world.cases_of_customer.get(owner, []), after(ask))
    if "UniqueSourceInvoiceId" in ask.query:
        source = (organization, "uniqueSourceInvoiceId", ask.query["UniqueSourceInvoiceId"])
        invoice = world.invoices.now(world.invoice_of_key.get(source, ""))
        return world.cases.pick([invoice["caseId"]] if invoice else [], after(ask))
    return world.cases.walk(after(ask))


def _invoice_rows(world: World, ask: Ask) -> Iterable[tuple[int, str]]:
    organization = ask.organization or ""
    for name, member in (
        ("UniqueSourceInvoiceId", "uniqueSourceInvoiceId"),
        ("InvoiceNumber", "invoiceNumber"),
    ):
        if name in ask.query:
            key = (organization, member, ask.query[name])
            return world.invoices.pick([world.invoice_of_key.get(key, "")], after(ask))
    return world.invoices.walk(after(ask))
