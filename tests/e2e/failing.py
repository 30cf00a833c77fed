"""Cases whose batches fail, so that each is to be paused once, and what our calls did to them."""

from __future__ import annotations

from service.sandbox.harness import SandboxServer
from tests.e2e.house import Webhook, batch_completed

#: Short leases, so that what the dead held is soon free.
QUICK = {"lease_seconds": "3", "lease_renew_seconds": "1", "read_lag_seconds": "1"}


def failing(amili: SandboxServer, count: int, events: int) -> tuple[list[Webhook], list[str]]:
    """Open cases, let a batch fail for each and change it a few times; return what is told."""
    control = amili.control
    made = [control.create_case() for _ in range(count)]
    webhooks = [Webhook.of(str(told["body"]).encode()) for told in control.deliveries("CASE")]
    for case in made:
        batch = control.register_batch(type="PAYMENT")
        item = {"invoiceNumber": case["invoices"][0]["invoiceNumber"], "errors": []}
        done = control.complete_batch(batch["batchId"], status="FAILED", failed=[item])
        webhooks.append(Webhook.of(batch_completed(done)))
    for n in range(events - len(webhooks)):
        control.update_case(made[n % count]["caseId"], description=f"Step {n}")
    told = control.deliveries("CASE_UPDATED")
    webhooks += [Webhook.of(str(each["body"]).encode()) for each in told]
    return webhooks, [case["caseId"] for case in made]


def effects(amili: SandboxServer) -> dict[str | None, list[str]]:
    """List, for each case, what our calls did to it, refused ones too."""
    found: dict[str | None, list[str]] = {}
    for call in amili.control.calls():
        if call["operation"] in ("PauseCase", "ResumeCase"):
            done = call["effect"] if call["effect"] != "none" else f"answered {call['status']}"
            found.setdefault(call["target"], []).append(done)
    return found
