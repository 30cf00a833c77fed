"""What goes in while everything breaks: deliveries, holds placed and released, submissions.

Everybody here insists: what got no answer, or a 5xx, is sent again until it was taken, as Amili
and a careful client do. What was answered is remembered; it is half of the evidence.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import random
import time
import uuid
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import aiohttp

from service.sandbox.harness import Control
from service.sandbox.world import ORGANIZATION_ID
from tests.e2e.house import TOKEN, Json, Webhook, batch_completed, envelope

#: A sender hangs up after so long and comes again after a pause.
SENDER_SECONDS = 8.0
PAUSES = (0.1, 0.3, 1.0, 2.0)
TOGETHER = 48
#: Deliveries change places within a window of so many.
SHUFFLE = 40
NOTHING = "no answer"


@dataclass(frozen=True)
class Size:
    """How much is sent: so many deliveries, a tenth of them twice, at this rate a second."""

    deliveries: int
    rate: float
    cases: int = 40
    operators: int = 6
    submissions: int = 10
    seed: int = 1


@dataclass
class Said:
    """What was answered."""

    door: Counter[Any] = field(default_factory=Counter)
    api: Counter[Any] = field(default_factory=Counter)
    #: SHA-256 of each body that was answered 2xx, and when first (time.time()).
    acknowledged: dict[bytes, float] = field(default_factory=dict)
    #: 503 without Retry-After, and whatever else no sender should see.
    strange: Counter[str] = field(default_factory=Counter)
    #: `uniqueSourceInvoiceId` of what was handed over and answered 202.
    submitted: list[str] = field(default_factory=list)
    holds: int = 0
    releases: int = 0


@dataclass(frozen=True)
class Item:
    """One delivery, and what happened at Amili just before it was first sent."""

    webhook: Webhook
    happen: Callable[[], object] | None = None


class Load:
    """Sends everything in a loop of its own; `run` returns when the deliveries are taken."""

    def __init__(self, control: Control, port: int, cases: list[Json], size: Size) -> None:
        self.said = Said()
        #: Every delivery was taken; operators finish what they began.
        self.is_sent = False
        self._control = control
        self._url = f"http://127.0.0.1:{port}"
        self._cases = cases
        self._size = size
        self._chance = random.Random(size.seed)
        self._stop = asyncio.Event()
        self.items = self.plan()

    def __str__(self) -> str:
        """Tell how far it came."""
        said = self.said
        taken = f"{len(said.acknowledged)} bodies taken of {len(self.items)}"
        return f"{taken}, all: {self.is_sent}, door {dict(said.door)}, API {dict(said.api)}"

    def run(self) -> None:
        """Send everything; operators go on until the last delivery was answered."""
        try:
            asyncio.run(self._run())
        finally:
            self.is_sent = True

    async def _run(self) -> None:
        bound = aiohttp.ClientTimeout(total=SENDER_SECONDS)
        connector = aiohttp.TCPConnector(limit=0)
        async with (
            aiohttp.ClientSession(timeout=bound, connector=connector) as session,
            asyncio.TaskGroup() as group,
        ):
            for n in range(self._size.operators):
                group.create_task(self._operate(session, n))
            group.create_task(self._hand_over(session))
            await self._post_all(session)
            self.is_sent = True
            self._stop.set()

    # --- deliveries -----------------------------------------------------------------

    def plan(self) -> list[Item]:
        """Make all deliveries: nine tenths are different, the others are one of these again."""
        count = self._size.deliveries
        distinct = [self._item(n) for n in range(count - count // 10)]
        items = list(distinct)
        for each in self._chance.choices(distinct, k=count // 10):
            items.insert(self._chance.randrange(len(items)), each)
        order = [(n + self._chance.uniform(0, SHUFFLE), n) for n in range(len(items))]
        return [items[n] for _, n in sorted(order)]

    def _item(self, n: int) -> Item:
        case = self._cases[n % len(self._cases)]
        kind = n % 20
        if kind == 0:
            return self._batch(n, case if n % 100 == 0 else None)
        if kind == 1:
            return Item(Webhook.of(envelope("CASE_IMAGINED", {"caseId": case["caseId"]})))
        told = {"orgId": case["organizationId"], "caseId": case["caseId"]}
        told |= {"caseNumber": str(case["caseNumber"]), "fields": ["description"]}

        def happen() -> None:
            self._control.update_case(case["caseId"], description=f"Step {n}", webhook=False)

        return Item(Webhook.of(envelope("CASE_UPDATED", told, "eventType")), happen)

    def _batch(self, n: int, failed: Json | None) -> Item:
        batch_id, status = f"batch-{self._size.seed}-{n}", "SUCCESS" if failed is None else "FAILED"
        told = {"batchId": batch_id, "organizationId": ORGANIZATION_ID, "status": status}
        result: Json = {"status": status}
        if failed is not None:
            number = failed["invoices"][0]["invoiceNumber"]
            result["failed"] = [{"invoiceNumber": number, "errors": []}]

        def happen() -> None:
            self._control.register_batch(batchId=batch_id, webhook=False, type="PAYMENT")
            self._control.complete_batch(batch_id, **result)

        return Item(Webhook.of(batch_completed(told)), happen)

    async def _post_all(self, session: aiohttp.ClientSession) -> None:
        gate = asyncio.Semaphore(TOGETHER)
        began = time.monotonic()
        happened: set[int] = set()
        async with asyncio.TaskGroup() as group:
            for n, item in enumerate(self.items):
                await asyncio.sleep(max(0.0, began + n / self._size.rate - time.monotonic()))
                await gate.acquire()
                if item.happen is not None and id(item) not in happened:
                    happened.add(id(item))
                    await asyncio.to_thread(item.happen)
                task = group.create_task(self._post(session, item.webhook))
                task.add_done_callback(lambda _: gate.release())

    async def _post(self, session: aiohttp.ClientSession, webhook: Webhook) -> None:
        for tries in range(200):
            status = await self._post_once(session, webhook)
            if status in (200, 202):
                digest = hashlib.sha256(webhook.body).digest()
                self.said.acknowledged.setdefault(digest, time.time())
                return
            await asyncio.sleep(PAUSES[min(tries, len(PAUSES) - 1)])
        self.said.strange["never taken"] += 1

    async def _post_once(self, session: aiohttp.ClientSession, webhook: Webhook) -> int:
        try:
            url = f"{self._url}/webhooks/amili"
            async with session.post(url, data=webhook.body, headers=webhook.headers) as answer:
                await answer.read()
                self.said.door[answer.status] += 1
                if answer.status == 503 and "Retry-After" not in answer.headers:
                    self.said.strange["503 without Retry-After"] += 1
                return answer.status
        except (aiohttp.ClientError, OSError):
            self.said.door[NOTHING] += 1
            return 0

    # --- the API --------------------------------------------------------------------

    async def _operate(self, session: aiohttp.ClientSession, number: int) -> None:
        """Place and release holds on some cases, one after the other."""
        chance = random.Random(f"{self._size.seed}/{number}")
        ours = self._cases[number :: self._size.operators]
        while not self._stop.is_set():
            path = f"/api/v1/cases/{chance.choice(ours)['caseId']}/holds"
            hold = await self._insist(session, "POST", path, {"reason": "dispute"})
            self.said.holds += hold is not None
            await asyncio.sleep(chance.uniform(0.2, 4.0))
            if hold is None or (self._stop.is_set() and chance.random() < 0.5):
                continue  # it stays: this case ends paused
            await self._insist(session, "DELETE", f"{path}/{hold['holdId']}")
            self.said.releases += 1
            await asyncio.sleep(chance.uniform(0.2, 4.0))

    async def _hand_over(self, session: aiohttp.ClientSession) -> None:
        """Hand over invoices, evenly over the run."""
        pause = self._size.deliveries / self._size.rate / max(1, self._size.submissions)
        for n in range(self._size.submissions):
            records = [invoice(f"{n}-{each}") for each in range(6)]
            path = f"/api/v1/invoices?organizationId={ORGANIZATION_ID}"
            taken = await self._insist(session, "POST", path, {"invoices": records})
            if taken is not None:
                self.said.submitted += [each["uniqueSourceInvoiceId"] for each in records]
            if self._stop.is_set():
                return
            await asyncio.sleep(pause)

    async def _insist(
        self, session: aiohttp.ClientSession, method: str, path: str, body: Json | None = None
    ) -> Json | None:
        """Call until there is an answer that is no 5xx; the key makes it one wish."""
        headers = {"Authorization": f"Bearer {TOKEN}", "Content-Type": "application/json"}
        headers["Idempotency-Key"] = str(uuid.uuid4())
        data = None if body is None else json.dumps(body)
        for tries in range(200):
            try:
                asked = session.request(method, self._url + path, data=data, headers=headers)
                async with asked as answer:
                    raw = await answer.read()
                    self.said.api[answer.status] += 1
                    if answer.status < 300:
                        told: Json = json.loads(raw) if raw else {}
                        return told
                    if answer.status < 500:
                        self.said.strange[f"{method} answered {answer.status}"] += 1
                        return None
            except (aiohttp.ClientError, OSError):
                self.said.api[NOTHING] += 1
            await asyncio.sleep(PAUSES[min(tries, len(PAUSES) - 1)])
        self.said.strange[f"{method} never taken"] += 1
        return None


def invoice(name: str) -> Json:
    """Make an invoice of an invented debtor."""
    return {
        "type": "PAYMENT_REMINDER",
        "uniqueSourceInvoiceId": f"source-{name}",
        "invoiceNumber": f"number-{name}",
        "originalInvoiceAmount": 4500,
        "currency": "NOK",
        "invoiceDate": "2026-01-01",
        "dueDate": "2026-01-15",
        "debtors": [
            {"type": "PRIVATE", "customerNumber": f"customer-{name}", "name": "Kari Nordmann"}
        ],
        "claims": [],
    }
