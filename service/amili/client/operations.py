"""All of Amili's operations in one class.

To add one: a row in `service.amili.operations`, and a method beside its resource: `batches`,
`cases`, `invoices`, `payments`, `settlements`, `legacy`.
"""

from __future__ import annotations

from service.amili.client.batches import BatchCalls
from service.amili.client.cases import CaseCalls
from service.amili.client.invoices import InvoiceCalls
from service.amili.client.legacy import LegacyCalls
from service.amili.client.payments import PaymentCalls
from service.amili.client.settlements import SettlementCalls


class AmiliClient(BatchCalls, InvoiceCalls, CaseCalls, PaymentCalls, SettlementCalls, LegacyCalls):
    """Amili's API; an async context manager. Every failure is a ProviderError.

    Reads go out as Purpose.FETCH (see `at`), operations on a case as FOLLOW_UP, what is handed
    over as SUBMISSION. What changes something is sent again only when it provably was not sent.
    """
