"""A batch item that failed and names an invoice of a known case holds that case.

What failed may be the very payment or correction that makes the claim smaller; until a
person has looked, nobody should be chased for it. In two steps, since only who leases a
case may write its holds: the batch nudges the case, the case places the hold.
"""

from __future__ import annotations

from service.domain.decisions import Decision
from service.domain.entities import EntityKey, Kind, Nudge
from service.domain.records import BatchItem, Invoice
from service.policies.situations import BatchSituation, CaseSituation, Place, Policy, Wishes

NAME = "hold_on_failed_batch"


def on_batch(situation: BatchSituation) -> Wishes:
    """Nudge the case of each failed item; say so where there is none."""
    nudges, decisions = [], []
    for item in situation.batch.items:
        if item.succeeded:
            continue
        invoice = situation.known.get(item)
        if invoice is None or invoice.case_id is None:
            decisions.append(no_case(situation, item))
        else:
            nudges.append(nudge(situation, invoice, invoice.case_id))
    return Wishes(nudges=tuple(nudges), decisions=tuple(decisions))


def on_case(situation: CaseSituation) -> Wishes:
    """Place one hold for each failed item that the batch told about."""
    told = [cause for cause in situation.causes if cause.name == "batch_failed"]
    if not told or situation.is_over:
        return Wishes()
    place, decisions = [], []
    for cause in told:
        batch_id, invoice_id = cause.detail["batch_id"], cause.detail["invoice_id"]
        place.append(Place("batch_failed", f"batch:{batch_id}:{invoice_id}"))
        decisions.append(
            Decision(
                situation.key,
                NAME,
                "hold",
                f"Batch {batch_id} failed for invoice {invoice_id}, which belongs to this case.",
                {"batch_id": batch_id, "invoice_id": invoice_id},
            )
        )
    return Wishes(place=tuple(place), decisions=tuple(decisions))


def nudge(situation: BatchSituation, invoice: Invoice, case_id: str) -> Nudge:
    """Ask the case to look at the failure."""
    return Nudge(
        EntityKey(Kind.CASE, case_id),
        "batch_failed",
        {"batch_id": situation.batch.batch_id, "invoice_id": invoice.invoice_id},
        organization_id=invoice.organization_id or situation.batch.organization_id,
        lookup=invoice.case_number,
    )


def no_case(situation: BatchSituation, item: BatchItem) -> Decision:
    """Say that a failed item belongs to no case that is known here."""
    facts = {
        "invoice_id": item.invoice_id,
        "invoice_number": item.invoice_number,
        "unique_source_invoice_id": item.unique_source_invoice_id,
    }
    words = "A failed item names no invoice with a case that is known here."
    return Decision(situation.key, NAME, "no_case", words, facts)


HOLD_ON_FAILED_BATCH = Policy(NAME, on_case=on_case, on_batch=on_batch)
