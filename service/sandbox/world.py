"""The state of the imitated Amili: plain tables and tools.

What happens to them is in `cases`, `invoices`, `batches` and `settlements`.
"""

from __future__ import annotations

import random
import time
import uuid
from collections import defaultdict
from collections.abc import Callable
from typing import TypedDict, Unpack

from service.sandbox.agenda import Agenda
from service.sandbox.behaviour import Behaviour
from service.sandbox.faults import Faults
from service.sandbox.journal import Journal
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
    token_seconds: int
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
            setup.get("client_id", "sandbox"),
            setup.get("client_secret", "sandbox"),
            setup.get("token_seconds", 3600),
        )
        self.outbox = Outbox(
            Target(
                setup.get("webhook_url"),
                setup.get("webhook_secret"),
                setup.get("signature_prefix", ""),
            )
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
        self.cases, self.invoices = Table(), Table()
        self.batches, self.settlements = Table(), Table()
        #: Changes that a 202 has promised and that are still to come, by case, in order.
        self.promised: dict[str, list[tuple[float, Record]]] = defaultdict(list)
        self.case_of_number: dict[str, str] = {}
        self.cases_of_customer: dict[tuple[str, str], list[str]] = defaultdict(list)
        #: (organization, member, value) of invoiceNumber and uniqueSourceInvoiceId.
        self.invoice_of_key: dict[tuple[str, str, str], str] = {}
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
