"""Operations on invoices: hand over, list, read."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from typing import Unpack

from service.amili.client.arguments import InvoiceFilter
from service.amili.client.envelopes import read_one
from service.amili.client.submitting import Once, SubmittingCalls
from service.amili.operations import CREATE_INVOICES, GET_INVOICE, GET_INVOICES
from service.amili.requests import Created, NewInvoice, to_json
from service.amili.resources import Fetched, Invoice


class InvoiceCalls(SubmittingCalls):
    """Hands invoices over, and reads them."""

    async def create_invoices(
        self,
        organization_id: str,
        invoices: Sequence[NewInvoice],
        *,
        idempotency_key: str,
        not_after: float | None = None,
    ) -> Fetched[Created]:
        """CreateInvoices [seed]; a batch works on them when this returns.

        `not_after`: a moment of `time.monotonic()` after which it is not sent any more.
        """
        items = [to_json(invoice) for invoice in invoices]
        return await self._submit(
            CREATE_INVOICES, organization_id, items, Once(idempotency_key, not_after)
        )

    async def get_invoice_by_id(self, organization_id: str, invoice_id: str) -> Fetched[Invoice]:
        """GetInvoiceById [doc]."""
        ids = {"organizationId": organization_id, "invoiceId": invoice_id}
        return read_one(GET_INVOICE.label, await self._get(GET_INVOICE, ids), Invoice)

    def get_invoices_by_organization(
        self, organization_id: str, **filters: Unpack[InvoiceFilter]
    ) -> AsyncIterator[Fetched[Invoice]]:
        """GetInvoicesByOrganization [doc], page after page."""
        return self._pages(GET_INVOICES, organization_id, Invoice, filters)
