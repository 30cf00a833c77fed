"""One pure handler for each kind of entity: what to fetch, and what follows from it.

To add an event type: its class in `service/amili/webhooks.py`; a new kind of entity needs
a handler here and its name in `HANDLERS`.
"""

from __future__ import annotations

from service.domain.entities import Kind
from workers.handlers.batch import BATCH
from workers.handlers.case import CASE
from workers.handlers.invoice import INVOICE
from workers.handlers.looks import Handler
from workers.handlers.settlement import SETTLEMENT

HANDLERS: dict[Kind, Handler] = {
    Kind.CASE: CASE,
    Kind.INVOICE: INVOICE,
    Kind.BATCH: BATCH,
    Kind.SETTLEMENT: SETTLEMENT,
}
