"""The state of the imitated Amili: plain tables and tools.

What happens to them is in `cases`, `invoices`, `batches` and `settlements`.
"""

from __future__ import annotations

import random
import time
import uuid
from collections import defaultdict
from collections.abc import Callable
from decimal import Decimal
from typing import Any, TypedDict, Unpack

from service.sandbox.agenda import Agenda
from service.sandbox.asking import Told
from service.sandbox.behaviour import Behaviour
from service.sandbox.faults import Faults
from service.sandbox.journal import Journal
from service.sandbox.limits import Limit
from service.sandbox.outbox import Outbox, Target
from service.sandbox.tables import Table
from service.sandbox.tokens import Tokens
from service.sandbox.wire import Record

#: The organization of records that are made without naming one. Invented.
ORGANIZATION_ID = "00000000-0000-4000-8000-00000000a111"


class Setup(TypedDict, total=False):
    """What a sandbox can be given; every member has a default."""

    client_id: str
    client_secret: str
    webhook_url: str | None
    webhook_secret: str | None
    signature_prefix: str
    behaviour: Behaviour
    clock: Callable[[], float]


class World:
    """One Amili in memory. Used by one thread: the loop that serves it."""

    def __init__(self, **setup: Unpack[Setup]) -> None:
        self.clock = setup.get("clock", time.time)
        self.tokens = Tokens(
            setup.get("client_id", "sandbox"), setup.get("client_secret", "sandbox")
        )
        self.outbox = Outbox(
            Target(
                setup.get("webhook_url"),
                setup.get("webhook_secret"),
                setup.get("signature_prefix", ""),
            ),
            self.happens,
        )
        #: Set while the app runs: drops the deliveries under way.
        self.on_reset: Callable[[], None] | None = None
        self._first_behaviour = setup.get("behaviour", Behaviour())
        self.reset()

    def reset(self) -> None:
        """Forget every record, call, delivery and fault; restore the first behaviour.

        Tokens and the webhook target stay.
        """
        if self.on_reset:
            self.on_reset()
        self.behaviour = self._first_behaviour
        self.chance = random.Random(self.behaviour.seed)  # noqa: S311 - shuffles, guards nothing
        self.agenda = Agenda()
        self.journal = Journal()
        self.faults = Faults()
        self.outbox.clear()
        self.limit = Limit()
        self.cases = Table("caseNumber", "_customers")
        self.invoices = Table("invoiceNumber", "uniqueSourceInvoiceId", "_customerNumber")
        self.batches, self.settlements = Table("_key"), Table()
        #: The invoices of a case in the order in which they came; a case says how many it holds.
        self.invoices_of_case: dict[str, list[str]] = defaultdict(list)
        #: What a batch that is still queued has to work through.
        self.items_of_batch: dict[str, list[Any]] = {}
        #: (operation, path, idempotency key) -> what was answered first.
        self.answered: dict[tuple[str, str, str], Told] = {}
        #: Changes that a 202 has promised and that are still to come, by case, in order.
        self.promised: dict[str, list[tuple[float, Record]]] = defaultdict(list)
        #: What is promised to leave an invoice's remaining amount, by invoice.
        self.reserved: dict[str, Decimal] = defaultdict(Decimal)
        # Begins anew with each start, so that a product which remembers is not confused.
        self._case_number = int(self.clock()) * 1000

    def tick(self) -> float:
        """Let everything happen that is due, and return the time."""
        now = self.clock()
        self.agenda.advance(now)
        return now

    def horizon(self) -> float | None:
        """Say as of when reads show the state; None is the present."""
        lag = self.behaviour.read_lag_seconds
        return self.clock() - lag if lag else None

    def happens(self, rate: float) -> bool:
        """Say whether something that strikes at a rate strikes now."""
        return rate > 0 and self.chance.random() < rate

    def turn(self, behaviour: Behaviour) -> None:
        """Take a new behaviour; a new seed begins a new row of chances."""
        if behaviour.seed != self.behaviour.seed:
            self.chance = random.Random(behaviour.seed)  # noqa: S311 - as above
        self.behaviour = behaviour

    def say(self, event: str, data: Record, at: float) -> str:
        """Publish a webhook and return the event's id."""
        return self.outbox.publish(event, data, at, self.behaviour)

    def next_case_number(self) -> int:
        """Return a case number that was never used."""
        self._case_number += 1
        return self._case_number


def new_id() -> str:
    """Return a new uuid. Not seeded: an id must never come back after a restart."""
    return str(uuid.uuid4())
