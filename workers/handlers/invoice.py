"""An invoice: fetched by its id; it leads to its case where that is not known yet."""

from __future__ import annotations

from service.amili import resources
from service.domain.entities import Claim
from service.domain.records import Invoice
from workers.handlers.looks import After, Ask, Asking, Handler, Look
from workers.handlers.numbers import nudge_case


def needs(claim: Claim) -> Ask:
    """Ask for the invoice."""
    return Ask("invoice", claim.organization_id, claim.key.id)


def asking(claim: Claim, invoice: resources.Invoice) -> Asking:
    """Look at its own row, and whether its case is known."""
    number = invoice.collection_case_number
    return Asking((claim.key.id,), (number,) if number else ())


def apply(look: Look) -> After:
    """Save the invoice; have its case found if nobody knows it."""
    invoice: resources.Invoice = look.fetched.value
    number = invoice.collection_case_number
    known = look.before.case_ids.get(number) if number else None
    unknown = (number,) if number and known is None else ()
    nudges = tuple(nudge_case(look, each, "invoice") for each in unknown)
    return After(invoices=(record(look, invoice, known),), nudges=nudges)


def record(look: Look, invoice: resources.Invoice, case_id: str | None) -> Invoice:
    """Translate Amili's invoice into ours."""
    organization = invoice.organization
    return Invoice(
        invoice_id=look.claim.key.id,
        organization_id=(organization and organization.id) or look.claim.organization_id,
        invoice_number=invoice.invoice_number,
        unique_source_invoice_id=invoice.unique_source_invoice_id,
        case_id=invoice.case_id or case_id,
        case_number=invoice.collection_case_number,
        type=invoice.type,
        status=invoice.status,
        currency=invoice.currency,
        original_amount=invoice.original_amount,
        remaining_amount=invoice.remaining_amount,
        remaining_principal=invoice.remaining_principal,
        paid_amount=invoice.paid_amount,
        credited_amount=invoice.credited_amount,
        invoice_date=invoice.invoice_date,
        due_date=invoice.due_date,
        raw=look.fetched.raw,
    )


INVOICE = Handler(needs, asking, apply)
