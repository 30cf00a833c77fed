"""A batch: fetched by its id; it leads to the invoices that it brought."""

from __future__ import annotations

import json

from service.amili import resources
from service.amili.texts import storable
from service.domain.entities import Claim, EntityKey, Kind, Nudge
from service.domain.records import Batch, BatchItem
from workers.handlers.looks import After, Ask, Asking, Handler, Look


def needs(claim: Claim) -> Ask:
    """Ask for the batch."""
    return Ask("batch", claim.organization_id, claim.key.id)


def asking(claim: Claim, batch: resources.Batch) -> Asking:
    """Look which of its invoices are known, by id where it succeeded, by any name where not."""
    ids = (each.invoice_id for each in batch.succeeded)
    return Asking(
        invoice_ids=tuple(each for each in ids if each),
        failed=tuple(failure(each) for each in batch.failed),
        organization_id=batch.organization_id or claim.organization_id,
    )


def apply(look: Look) -> After:
    """Save the batch and its items; have its new invoices fetched."""
    batch: resources.Batch = look.fetched.value
    new = {
        each.invoice_id
        for each in batch.succeeded
        if each.invoice_id and each.invoice_id not in look.before.invoices
    }
    claims = look.claim.newest
    said = claims.status if claims is not None else None
    return After(
        batch=record(look, batch),
        nudges=tuple(nudge(look, invoice_id) for invoice_id in sorted(new)),
        is_doubted=said is not None and said != batch.status,
    )


def record(look: Look, batch: resources.Batch) -> Batch:
    """Translate Amili's batch into ours."""
    return Batch(
        batch_id=look.claim.key.id,
        organization_id=batch.organization_id or look.claim.organization_id,
        type=batch.type,
        status=batch.status,
        created_at=batch.created_at,
        finished_at=batch.finished_at,
        items=(
            *(success(each) for each in batch.succeeded),
            *(failure(each) for each in batch.failed),
        ),
        raw=look.fetched.raw,
    )


def success(item: resources.BatchSuccess) -> BatchItem:
    """Translate an item that Amili took."""
    return BatchItem(
        succeeded=True,
        invoice_id=item.invoice_id,
        invoice_number=item.invoice_number,
        case_id=item.case_id,
        case_number=item.case_number,
    )


def failure(item: resources.BatchFailure) -> BatchItem:
    """Translate an item that failed; which members name the invoice is assumed (contract §3)."""
    extra = item.model_extra or {}
    said = extra.get("invoiceId")
    invoice_id = storable(said) if isinstance(said, str) else None
    errors = [
        {name: value for name, value in error.model_dump(by_alias=True).items() if value}
        for error in item.errors
    ]
    return BatchItem(
        succeeded=False,
        invoice_id=invoice_id,
        invoice_number=item.invoice_number,
        unique_source_invoice_id=item.unique_source_invoice_id,
        errors=json.dumps(errors, default=str) if errors else None,
    )


def nudge(look: Look, invoice_id: str) -> Nudge:
    """Have an invoice of the batch fetched."""
    return Nudge(
        EntityKey(Kind.INVOICE, invoice_id),
        "batch_item",
        {"batch_id": look.claim.key.id},
        organization_id=look.claim.organization_id,
    )


BATCH = Handler(needs, asking, apply)
