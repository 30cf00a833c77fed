"""One call of the client for each ask."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from service.amili.client import AmiliClient
from service.amili.resources import Fetched
from service.domain.entities import Claim
from service.errors import NotYet
from workers.handlers import HANDLERS
from workers.handlers.looks import Ask


async def fetch(client: AmiliClient, claim: Claim, ours: Sequence[str]) -> Fetched[Any]:
    """Fetch what a claimed entity needs. Raises ProviderError or NotYet."""
    ask = HANDLERS[claim.key.kind].needs(claim)
    organization = ask.organization_id or (ours[0] if len(ours) == 1 else None)
    if ask.operation == "batch":
        return await client.get_batch_by_id(organization, ask.id)
    if organization is None:
        raise NotYet(
            "the organization is not known; set AMILI_ORGANIZATION_IDS to the one that is ours"
        )
    return await call(client, ask, organization)


async def call(client: AmiliClient, ask: Ask, organization: str) -> Fetched[Any]:
    """Call the operation that an ask names."""
    if ask.operation == "case":
        return await client.find_case(organization, ask.id)
    if ask.operation == "invoice":
        return await client.get_invoice_by_id(organization, ask.id)
    return await client.get_settlement(organization, ask.id)
