"""Operations on payments and corrections: what the creditor reports."""

from __future__ import annotations

from collections.abc import Sequence

from service.amili.client.submitting import Once, SubmittingCalls
from service.amili.operations import CREATE_CORRECTIONS, CREATE_PAYMENTS
from service.amili.requests import Created, NewCorrection, NewPayment, to_json
from service.amili.resources import Fetched


class PaymentCalls(SubmittingCalls):
    """Reports payments and corrections."""

    async def create_payments(
        self,
        organization_id: str,
        payments: Sequence[NewPayment],
        *,
        idempotency_key: str,
        not_after: float | None = None,
    ) -> Fetched[Created]:
        """CreatePayments [doc]: the debtor paid the creditor directly.

        `not_after`: a moment of `time.monotonic()` after which it is not sent any more.
        """
        names = self._contract.payment_names()
        items = [to_json(payment, names) for payment in payments]
        return await self._submit(
            CREATE_PAYMENTS, organization_id, items, Once(idempotency_key, not_after)
        )

    async def create_corrections(
        self,
        organization_id: str,
        corrections: Sequence[NewCorrection],
        *,
        idempotency_key: str,
        not_after: float | None = None,
    ) -> Fetched[Created]:
        """CreateCorrections [doc]: a claim became smaller or larger.

        `not_after`: a moment of `time.monotonic()` after which it is not sent any more.
        """
        items = [to_json(correction) for correction in corrections]
        return await self._submit(
            CREATE_CORRECTIONS, organization_id, items, Once(idempotency_key, not_after)
        )
