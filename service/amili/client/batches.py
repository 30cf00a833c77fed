"""Operations on batches: what became of a submission."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Unpack

from service.amili.client.arguments import BatchFilter
from service.amili.client.calling import Calls
from service.amili.client.envelopes import read_one
from service.amili.operations import GET_BATCH, GET_BATCH_BY_LEGACY_PATH, GET_BATCHES
from service.amili.resources import Batch, Fetched


class BatchCalls(Calls):
    """Reads batches."""

    async def get_batch_by_id(self, organization_id: str | None, batch_id: str) -> Fetched[Batch]:
        """GetBatchById [doc]; without an organization by the legacy path, to be removed."""
        ids = {"batchId": batch_id}
        operation = GET_BATCH_BY_LEGACY_PATH
        if organization_id is not None:
            ids["organizationId"] = organization_id
            operation = GET_BATCH
        return read_one(operation.label, await self._get(operation, ids), Batch)

    def get_batches_by_organization(
        self, organization_id: str, **filters: Unpack[BatchFilter]
    ) -> AsyncIterator[Fetched[Batch]]:
        """GetBatchesByOrganization [doc], page after page."""
        return self._pages(GET_BATCHES, organization_id, Batch, filters)
