"""Operations on settlements: what Amili pays out."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Unpack

from service.amili.client.arguments import SettlementFilter
from service.amili.client.calling import Calls
from service.amili.client.envelopes import read_one
from service.amili.operations import GET_SETTLEMENT, GET_SETTLEMENTS
from service.amili.resources import Fetched, Settlement


class SettlementCalls(Calls):
    """Reads settlements."""

    async def get_settlement(self, organization_id: str, settlement_id: str) -> Fetched[Settlement]:
        """GetSettlement on Id [doc]."""
        ids = {"organizationId": organization_id, "settlementId": settlement_id}
        return read_one(GET_SETTLEMENT.label, await self._get(GET_SETTLEMENT, ids), Settlement)

    def get_settlements(
        self, organization_id: str, **filters: Unpack[SettlementFilter]
    ) -> AsyncIterator[Fetched[Settlement]]:
        """GetSettlements [doc], page after page."""
        return self._pages(GET_SETTLEMENTS, organization_id, Settlement, filters)
