"""What the three operations share that hand over a list and are answered with a batch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from service.amili.client.calling import Calls, Sent
from service.amili.client.envelopes import read_one
from service.amili.client.purposes import Purpose
from service.amili.operations import Operation
from service.amili.requests import Created
from service.amili.resources import Fetched
from service.errors import Invalid


@dataclass(frozen=True, slots=True)
class Once:
    """Under which key a submission is sent, and until when (a moment of `time.monotonic()`)."""

    idempotency_key: str
    not_after: float | None = None


class SubmittingCalls(Calls):
    """Hands over."""

    async def _submit(
        self, operation: Operation, organization_id: str, items: Sequence[str], once: Once
    ) -> Fetched[Created]:
        """Send `{member: [item, …]}`, where the member is the last word of the path [seed, doc]."""
        if not items:
            raise Invalid("there is nothing to hand over", operation=operation.label)
        member = operation.path.rpartition("/")[2]
        sent = Sent(
            body=f'{{"{member}":[{",".join(items)}]}}'.encode(),
            idempotency_key=once.idempotency_key,
            purpose=Purpose.SUBMISSION,
            not_after=once.not_after,
        )
        answer = await self._post(operation, {"organizationId": organization_id}, sent)
        return read_one(operation.label, answer, Created)
