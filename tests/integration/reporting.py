"""A worker, a desk and one case at Amili, for the tests of reported payments."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

from service.amili import resources
from service.amili.contract import Contract
from service.amili.resources import Fetched
from service.desk.handing_over import Handover, NewSubmission
from service.domain.actions import SUBMISSIONS, ActionState
from service.domain.entities import Claim, Kind, Read
from service.domain.holds import Hold
from service.domain.pausing import Rules
from service.domain.submissions import NewItem, SubmissionKind
from service.inbox.stream import Stream
from service.policies import POLICIES
from service.queue import Bells
from service.redis import connect
from service.settings import Settings
from service.store import cases, decisions, entities, events, holds, ledger
from service.store.database import Tx
from service.telemetry.metrics import Metrics
from tests.integration.store_records import LEASE, Clock, case_key, emptied, event
from workers import submitting
from workers.applying import apply
from workers.parts import Parts, new_holder
from workers.submitting import Ended
from workers.work import Result

ORG = "org-1"


@dataclass
class House:
    """A worker, the desk beside it, and what Amili shows of one case with one invoice."""

    parts: Parts
    clock: Clock
    amounts: dict[str, str | None] = field(
        default_factory=lambda: {"paid": "0.00", "credited": "0.00", "remaining": "1000.00"}
    )
    status: str = "OPEN"
    batches: dict[str, dict[str, Any]] = field(default_factory=dict)
    #: How often the case was read.
    reads: int = 0

    def know(self) -> None:
        """Have the case known, and nothing due."""
        told = event("first", lookup="number-1")
        self.parts.database.run(lambda tx: events.store(tx, [told]))
        self.work()

    def report(
        self,
        *amounts: str,
        kind: SubmissionKind = SubmissionKind.PAYMENTS,
        invoice: str = "i-1",
        key: str = "k",
    ) -> str:
        """Report payments; return the submission's id."""
        items = [
            NewItem(n, f'{{"amount":{amount}}}', invoice_id=invoice, amount=Decimal(amount))
            for n, amount in enumerate(amounts)
        ]
        digest = hashlib.sha256("".join(each.body for each in items).encode()).digest()
        handover = Handover(self.parts.database, self.parts.bells, chunk_items=100)
        wish = NewSubmission(kind, ORG, key, digest, len(items))
        return handover.place(wish, items).submission_id

    def send(self, *, batch: str = "b-1", refused: bool = False) -> None:
        """Send the one planned chunk; Amili makes this batch of it, or refuses all."""
        with self.parts.database.read() as tx:
            (due,) = ledger.due(tx, SUBMISSIONS, 9)
        call, _ = submitting.begin(self.parts, due)
        assert call is not None
        state = ActionState.REFUSED if refused else ActionState.ANSWERED
        ended = Ended(replace(call.action, state=state), None if refused else batch)
        submitting.finish(self.parts, ended)
        self.batches[batch] = {"status": "QUEUED"}

    def end(self, batch: str = "b-1", *, taken: int = 0, failed: int = 0) -> None:
        """Let a batch end with so many items of each kind."""
        item = {"invoiceId": "i-1", "invoiceNumber": "nr i-1"}
        self.batches[batch] = {
            "status": "PARTIAL" if failed else "SUCCESS",
            "succeeded": [item] * taken,
            "failed": [item] * failed,
        }
        self.wait(2)

    def wait(self, seconds: float) -> None:
        """Let time pass, and do what is due then."""
        self.clock.forward(seconds)
        self.work()

    def work(self) -> None:
        """Look at everything that is due, again and again, until nothing is."""
        for _ in range(20):
            self.clock.forward(0.01)
            claims = self.parts.database.run(self.claim)
            if not claims:
                return
            apply(self.parts, [self.result(claim) for claim in self.number(claims)])
        raise AssertionError("it never comes to rest")

    def claim(self, tx: Tx) -> tuple[Claim, ...]:
        """Claim what is due."""
        return entities.claim(tx, self.parts.holder, limit=100, lease=LEASE)

    def number(self, claims: tuple[Claim, ...]) -> tuple[Claim, ...]:
        """Number the readings."""
        return self.parts.database.run(lambda tx: entities.number(tx, claims))

    def result(self, claim: Claim) -> Result:
        """Read an entity as Amili shows it now."""
        shown = {Kind.CASE: self.case, Kind.INVOICE: self.invoice, Kind.BATCH: self.batch}
        self.reads += claim.key.kind is Kind.CASE
        read = Read(claim.fetch_number, self.clock.now)
        return Result(claim, read, Fetched(shown[claim.key.kind](claim), "{}"))

    def case(self, claim: Claim) -> resources.Case:
        """Show the case."""
        assert "number-1" in (claim.lookup, claim.key.id.removeprefix("#"))
        amounts = {f"{name}Amount": value for name, value in self.amounts.items()}
        invoice = {"invoiceId": "i-1", "invoiceNumber": "nr i-1", **amounts}
        members = {"caseId": "case-1", "caseNumber": "number-1", "organizationId": ORG}
        return resources.Case.model_validate(
            {**members, "status": self.status, "invoices": [invoice]}
        )

    def invoice(self, claim: Claim) -> resources.Invoice:
        """Show the invoice by itself: its amounts are not told there."""
        members = {"id": claim.key.id, "collectionCaseNumber": "number-1", "status": "OPEN"}
        return resources.Invoice.model_validate(members)

    def batch(self, claim: Claim) -> resources.Batch:
        """Show a batch."""
        members = {"batchId": claim.key.id, "organizationId": ORG}
        return resources.Batch.model_validate(members | self.batches[claim.key.id])

    def holds(self) -> list[Hold]:
        """Return every hold that the case ever had, by key."""
        with self.parts.database.read() as tx:
            found = holds.of_cases(tx, ["case-1"])["case-1"]
        return sorted(found, key=lambda hold: hold.key or "")

    def ends(self) -> list[tuple[str, str | None]]:
        """List (reason, how it ended) of each hold; None: it is in force."""
        return [(hold.reason, hold.released_by) for hold in self.holds()]

    def release(self) -> None:
        """Let an operator release every hold."""

        def run(tx: Tx) -> None:
            cases.lock(tx, ["case-1"])
            found = holds.of_cases(tx, ["case-1"])["case-1"]
            holds.release(tx, [hold.hold_id for hold in found], "released")

        self.parts.database.run(run)

    def decided(self) -> list[tuple[str, str]]:
        """List (policy, outcome) of each decision on the case."""
        with self.parts.database.read() as tx:
            return [(row.policy, row.outcome) for row in decisions.of_entity(tx, case_key())]


@contextmanager
def raised(url: str, redis_url: str, folder: Path) -> Iterator[House]:
    """Give a worker on an empty database, with a clock moved by hand."""
    clock, client = Clock(), connect(redis_url)
    with emptied(url, clock) as database:
        parts = Parts(
            settings=Settings(data_dir=folder),
            contract=Contract(),
            metrics=Metrics(),
            database=database,
            redis=client,
            stream=Stream(client, "tests"),
            bells=Bells(client),
            policies=POLICIES,
            rules=Rules(timedelta(seconds=10)),
            holder=new_holder(),
            chance=random.Random(1),
        )
        yield House(parts, clock)
    client.connection_pool.disconnect()
