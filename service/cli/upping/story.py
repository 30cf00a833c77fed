"""A short, visible story, played by the sandbox: each step is checked in the product's own API.

What Amili does is asked of the sandbox; what an operator does goes through `/api/v1` with a
token. It runs in a thread of its own, and says what it is at by `steps`.
"""

from __future__ import annotations

import threading
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any, Literal

from service.cli.upping.asking import Asker
from service.cli.upping.eyes import Eyes, Unfinished
from service.cli.upping.plan import CLIENT_ID, Plan
from service.errors import AmiliEventsError

PAUSE_SECONDS = 1.5
INVOICES = 3
PRINCIPAL, PAID = 4500.0, "1500.00"


#: Seconds from webhook to settled, and what was seen.
Seen = tuple[float, str]
Act = Callable[[datetime], Seen]


@dataclass
class Step:
    """One line of the story."""

    caption: str
    state: Literal["waiting", "playing", "done", "failed"] = "waiting"
    #: Seconds from its webhook's arrival to the state being committed.
    took: float | None = None
    #: What was seen, or what went wrong.
    note: str = ""

    @property
    def seconds(self) -> str:
        """How long it took, for people."""
        return "" if self.took is None else f"{self.took:.2f} s"


class Story:
    """The story of one `up`."""

    def __init__(self, plan: Plan, *, pause: float = PAUSE_SECONDS) -> None:
        self._plan = plan
        self._pause = pause
        self._begun = time.time()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._play, name="story", daemon=True)
        bearer = {"Authorization": f"Bearer {plan.token}"}
        self._ours = Asker(f"{plan.door_url}/api/v1", bearer, plan.context)
        self._eyes = Eyes(self._ours, self._stop)
        self._sandbox = Asker(plan.sandbox_url or "")
        self._batch_id = ""
        self._case_ids: list[str] = []
        self._hold_id = ""
        self._acts: list[tuple[Step, Act]] = [
            (Step("Invoices are handed over, Amili's batch completes"), self._batch),
            (Step("Amili opens a case for each debtor"), self._cases),
            (Step("A debtor pays a part, the first case is updated"), self._payment),
            (Step("Amili pays out, a settlement arrives"), self._settlement),
            (Step("We hold the first case (dispute), Amili pauses it"), self._hold),
            (Step("The hold is released, Amili resumes the case"), self._release),
        ]
        #: Seconds from the start of `up` to the first answer to a webhook.
        self.first_answer: float | None = None

    @property
    def steps(self) -> list[Step]:
        """Every line, told or not."""
        return [step for step, _ in self._acts]

    @property
    def is_over(self) -> bool:
        """No step will change any more."""
        return self.is_complete or any(step.state == "failed" for step in self.steps)

    @property
    def is_complete(self) -> bool:
        """Every step was seen."""
        return all(step.state == "done" for step in self.steps)

    @property
    def first_case(self) -> str:
        """The case that the story is about, once there is one; for examples."""
        return self._case_ids[0] if self._case_ids else "CASE_ID"

    def begin(self, begun: float) -> None:
        """Start; `begun` is when `up` was, as Unix time."""
        self._begun = begun
        self._eyes.begin()
        self._thread.start()

    def end(self) -> None:
        """Stop telling, wherever it is."""
        self._stop.set()

    def _play(self) -> None:
        for number, (step, act) in enumerate(self._acts):
            if number and self._pause and self._stop.wait(self._pause):
                return
            step.state = "playing"
            try:
                step.took, step.note = act(datetime.now(UTC))
                step.state = "done"
            except (AmiliEventsError, LookupError, TypeError, ValueError, ArithmeticError) as exc:
                step.note, step.state = told(exc), "failed"
                return

    # --- the acts: each returns how long it took, and what was seen ---------

    def _batch(self, since: datetime) -> Seen:
        asked = {"grant_type": "client_credentials", "client_id": CLIENT_ID}
        secret = {"client_secret": self._plan.sandbox_secret}
        token = self._sandbox.post_form("/token", asked | secret)["access_token"]
        amili = Asker(
            str(self._plan.settings.api_base_url),
            {"Authorization": f"Bearer {token}", "IdempotencyKey": uuid.uuid4().hex},
        )
        path = f"/orgs/{self._plan.organization_id}/invoices"
        answer = amili.post(path, {"invoices": invoices()})
        self._batch_id = str(answer["data"]["batchId"])
        batch = self._eyes.until(
            f"/batches/{self._batch_id}", lambda seen: seen["status"] not in (None, "QUEUED")
        )
        self._case_ids = [str(item["caseId"]) for item in batch["succeeded"]]
        if not self._case_ids:
            raise Unfinished("the batch opened no case")
        took = self._eyes.took(f"batch:{self._batch_id}", since)
        self.first_answer = self._eyes.first_answer(self._sandbox, self._begun)
        return took, str(batch["status"])

    def _cases(self, since: datetime) -> Seen:
        for case_id in self._case_ids:
            self._eyes.until(f"/cases/{case_id}", lambda seen: seen["status"] == "OPEN")
        # The webhooks of the cases came with that of the batch, before this act began.
        first = datetime.fromtimestamp(self._begun, UTC)
        took = [self._eyes.took(f"case:{case_id}", first) for case_id in self._case_ids]
        return max(took), f"{len(took)} OPEN"

    def _payment(self, since: datetime) -> Seen:
        before = self._ours.get(f"/cases/{self.first_case}")["invoices"][0]
        path = f"/_sandbox/invoices/{before['invoiceId']}/pay"
        self._sandbox.post(path, {"amount": PAID})
        after = self._eyes.until(
            f"/cases/{self.first_case}",
            lambda seen: seen["invoices"][0]["remainingAmount"] != before["remainingAmount"],
        )["invoices"][0]
        took = self._eyes.took(f"case:{self.first_case}", since)
        left = [f"{Decimal(each['remainingAmount']):.2f}" for each in (before, after)]
        amounts = f"{' → '.join(left)} {after['currency']}"
        return took, amounts

    def _settlement(self, since: datetime) -> Seen:
        said = self._sandbox.post(f"/_sandbox/cases/{self.first_case}/settle", {"amount": PAID})
        settlement_id = str(said["settlementId"])
        seen = self._eyes.until(
            f"/settlements/{settlement_id}", lambda seen: seen["record"] is not None
        )
        took = self._eyes.took(f"settlement:{settlement_id}", since)
        return took, f"{PAID} {seen['currency']}"

    def _hold(self, since: datetime) -> Seen:
        made = self._ours.post(f"/cases/{self.first_case}/holds", {"reason": "dispute"})
        self._hold_id = str(made["holdId"])
        return self._brought_about("PAUSED", "pauseCase", since)

    def _release(self, since: datetime) -> Seen:
        self._ours.ask("DELETE", f"/cases/{self.first_case}/holds/{self._hold_id}")
        return self._brought_about("OPEN", "resumeCase", since)

    def _brought_about(self, status: str, kind: str, since: datetime) -> Seen:
        """Wait until the case has the status, and the ledger has the action confirmed."""
        self._eyes.until(f"/cases/{self.first_case}", lambda seen: seen["status"] == status)
        asked = (datetime.now(UTC) - since).total_seconds()
        self._eyes.until(
            f"/actions?caseId={self.first_case}",
            lambda page: any(
                each["kind"] == kind and each["state"] == "confirmed" for each in page["data"]
            ),
        )
        took = self._eyes.took(f"case:{self.first_case}", since)
        return took, f"{status} in {asked:.1f} s"


def invoices() -> list[dict[str, Any]]:
    """Make up invoices of debtors that nobody is."""
    run = uuid.uuid4().hex[:8]
    return [
        {
            "type": "PAYMENT_REMINDER",
            "invoiceNumber": f"{run}-{number}",
            "uniqueSourceInvoiceId": f"{run}-{number}",
            "originalInvoiceAmount": PRINCIPAL,
            "currency": "NOK",
            "debtors": [{"type": "PRIVATE", "customerNumber": f"{run}-{number}"}],
        }
        for number in range(1, INVOICES + 1)
    ]


def told(exc: Exception) -> str:
    """Put what went wrong into words."""
    return str(exc) if isinstance(exc, AmiliEventsError) else f"unexpected: {type(exc).__name__}"
