"""A case: fetched by its number, with its invoices inside."""

from __future__ import annotations

from service.amili import resources
from service.domain.entities import Claim, Claims, EntityKey, Kind, Nudge
from service.domain.records import Case, Invoice
from service.errors import NotYet
from workers.handlers.looks import After, Ask, Asking, Handler, Look


def needs(claim: Claim) -> Ask:
    """Ask for the case by its number; NotYet while nobody has told it."""
    number = claim.key.id.removeprefix("#") if claim.key.is_lookup else claim.lookup
    if number is None:
        raise NotYet("the number of this case is not known yet, and cases are fetched by number")
    return Ask("case", claim.organization_id, number)


def asking(claim: Claim, case: resources.Case) -> Asking:
    """Look at the rows of its invoices."""
    return Asking(invoice_ids=tuple(invoice.invoice_id for invoice in case.invoices))


def apply(look: Look) -> After:
    """Save the case and its invoices; have those fetched whose own status may be old.

    Raises NotYet when the number leads to another case.
    """
    case: resources.Case = look.fetched.value
    if look.claim.key.is_lookup:
        return After(nudges=(found(look, case),))
    if case.case_id != look.claim.key.id:
        raise NotYet("the number of this case leads to another case")
    invoices = tuple(invoice_of(each, case) for each in case.invoices)
    return After(
        case=record(look, case),
        invoices=invoices,
        nudges=tuple(nudge(look, each) for each in invoices if is_stale(look, each)),
        is_doubted=disagrees(look.claim.newest, case),
    )


def found(look: Look, case: resources.Case) -> Nudge:
    """A number has become an id: have the case itself looked at."""
    return Nudge(
        EntityKey(Kind.CASE, case.case_id),
        "lookup",
        organization_id=case.organization_id or look.claim.organization_id,
        lookup=case.case_number,
    )


def record(look: Look, case: resources.Case) -> Case:
    """Translate Amili's case into ours; the id is the claimed one."""
    return Case(
        case_id=look.claim.key.id,
        case_number=case.case_number,
        organization_id=case.organization_id or look.claim.organization_id,
        status=case.status,
        sub_status=case.sub_status,
        type=case.type,
        description=case.description,
        registered_at=case.registered_at,
        closed_at=case.closed_at,
        raw=look.fetched.raw,
    )


def invoice_of(invoice: resources.CaseInvoice, case: resources.Case) -> Invoice:
    """Translate an invoice that stands inside a case: its own status is not told there."""
    return Invoice(
        invoice_id=invoice.invoice_id,
        organization_id=case.organization_id,
        invoice_number=invoice.invoice_number,
        unique_source_invoice_id=invoice.unique_source_invoice_id,
        case_id=case.case_id,
        case_number=case.case_number,
        batch_id=invoice.batch_id,
        currency=invoice.currency,
        original_amount=invoice.original_amount,
        remaining_amount=invoice.remaining_amount,
        remaining_principal=invoice.remaining_principal,
        paid_amount=invoice.paid_amount,
        credited_amount=invoice.credited_amount,
        invoice_date=invoice.invoice_date,
        due_date=invoice.due_date,
    )


def is_stale(look: Look, invoice: Invoice) -> bool:
    """Its row is missing, was never read by itself, or shows another amount."""
    row = look.before.invoices.get(invoice.invoice_id)
    if row is None or row.status is None:
        return True
    amount = invoice.remaining_amount
    return amount is not None and row.remaining_amount != amount


def nudge(look: Look, invoice: Invoice) -> Nudge:
    """Have an invoice fetched by itself."""
    return Nudge(
        EntityKey(Kind.INVOICE, invoice.invoice_id),
        "case_invoice",
        {"case_id": look.claim.key.id},
        organization_id=invoice.organization_id or look.claim.organization_id,
    )


def disagrees(claims: Claims | None, case: resources.Case) -> bool:
    """The newest payload names another status or type, or an invoice that is not there."""
    if claims is None:
        return False
    here = frozenset(invoice.invoice_id for invoice in case.invoices)
    return (
        (claims.status is not None and claims.status != case.status)
        or (claims.type is not None and claims.type != case.type)
        or not (claims.invoices or frozenset()) <= here
    )


CASE = Handler(needs, asking, apply)
