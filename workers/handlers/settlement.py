"""A settlement: fetched by its id; money moved, so its case is looked at again."""

from __future__ import annotations

from dataclasses import replace

from service.amili import resources
from service.domain.entities import Claim
from service.domain.records import Settlement
from workers.handlers.looks import After, Ask, Asking, Handler, Look
from workers.handlers.numbers import nudge_case


def needs(claim: Claim) -> Ask:
    """Ask for the settlement."""
    return Ask("settlement", claim.organization_id, claim.key.id)


def asking(claim: Claim, settlement: resources.Settlement) -> Asking:
    """Look whether its case is known."""
    number = settlement.case_number or claim.lookup
    return Asking(case_numbers=(number,) if number else ())


def apply(look: Look) -> After:
    """Save the settlement and have its case looked at."""
    settlement: resources.Settlement = look.fetched.value
    number = settlement.case_number or look.claim.lookup
    record = Settlement(
        settlement_id=look.claim.key.id,
        organization_id=settlement.organization_id or look.claim.organization_id,
        case_number=number,
        collection_type=settlement.collection_type,
        currency=settlement.currency,
        customer_reference=settlement.customer_reference,
        raw=look.fetched.raw,
    )
    told = (number,) if number else ()
    # Money moved: the case has changed, and no payload says to what.
    nudges = tuple(
        replace(nudge_case(look, each, "settlement"), is_hidden_change=True) for each in told
    )
    return After(settlement=record, nudges=nudges)


SETTLEMENT = Handler(needs, asking, apply)
