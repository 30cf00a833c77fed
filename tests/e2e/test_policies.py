"""What follows from what Amili tells, from webhook to call."""

from __future__ import annotations

from service.sandbox.harness import SandboxServer
from tests.e2e.conftest import RaiseHouse, on
from tests.e2e.house import House


def pauses(amili: SandboxServer) -> list[tuple[str | None, int | None]]:
    """List target and answer of every call that pauses or resumes."""
    return [
        (call["target"], call["status"])
        for call in amili.control.calls()
        if call["operation"] in ("PauseCase", "ResumeCase")
    ]


def fail_batch(amili: SandboxServer, **item: str) -> str:
    """Let a batch fail for one item; its webhook goes out."""
    batch = amili.control.register_batch(type="PAYMENT")
    failed = [{**item, "errors": [{"code": "UNKNOWN_AMOUNT"}]}]
    amili.control.complete_batch(batch["batchId"], status="FAILED", failed=failed)
    return str(batch["batchId"])


def decisions_of(house: House, entity: str) -> list[tuple[str, str]]:
    """List (policy, outcome) of an entity that has no page of its own."""
    found = house.rows("SELECT entity, policy, outcome FROM decisions ORDER BY seq")
    return [(policy, outcome) for name, policy, outcome in found if name == entity]


@on("postgresql")
def test_policies_from_webhook_to_call(
    database_url: str, amili: SandboxServer, raise_house: RaiseHouse
) -> None:
    """A failed item holds its known case with one pause, an unknown one none; an end frees all."""
    house = raise_house(database_url, amili, read_lag_seconds="2")
    amili.control.set_behaviour(read_lag_seconds=1.0, effect_delay_seconds=0.5, duplicates=2)
    amili.control.set_webhook(url=f"http://127.0.0.1:{house.port}/webhooks/amili")
    house.start()
    made = [amili.control.create_case() for _ in range(4)]
    held, paid, closed, other = (case["caseId"] for case in made)
    house.until(lambda: all(house.knows(case["caseId"]) for case in made))

    # Two failures for one case are two holds and one pause; an unknown invoice is a decision.
    first = made[0]["invoices"][0]
    fail_batch(amili, invoiceNumber=first["invoiceNumber"])
    fail_batch(amili, uniqueSourceInvoiceId=first["uniqueSourceInvoiceId"])
    unknown = fail_batch(amili, invoiceNumber="nobody's")
    house.until(lambda: len(house.get(f"/cases/{held}")["holds"]) == 2)
    house.until(lambda: decisions_of(house, f"batch:{unknown}"))
    assert decisions_of(house, f"batch:{unknown}") == [("hold_on_failed_batch", "no_case")]
    house.until_confirmed(held, "pauseCase")
    assert pauses(amili) == [(held, 202)]
    assert ("hold_on_failed_batch", "hold") in house.decisions(held)

    # Its holds end one by one: it is resumed with the last, once.
    holds = house.get(f"/cases/{held}")["holds"]
    assert {hold["reason"] for hold in holds} == {"batch_failed"}
    for hold in holds:
        house.release(held, hold["holdId"])
    house.until_confirmed(held, "resumeCase")
    assert pauses(amili) == [(held, 202)] * 2

    # What is paid in full or closed is held by nothing any more, and no call follows.
    amili.control.set_behaviour(read_lag_seconds=0.0)
    house.hold(paid)
    house.hold(closed)
    house.until_confirmed(paid, "pauseCase")
    house.until_confirmed(closed, "pauseCase")
    before = len(pauses(amili))
    invoice = made[1]["invoices"][0]["invoiceId"]
    amili.control.update_case(paid, invoices=[{"invoiceId": invoice, "remainingAmount": "0.00"}])
    amili.control.update_case(closed, status="CLOSED", subStatus="WITHDRAWN")
    freed = ("release_on_closed", "release")
    house.until(lambda: freed in house.decisions(paid) and freed in house.decisions(closed))
    for case_id in (paid, closed):
        shown = house.get(f"/cases/{case_id}")
        assert [hold["releasedBy"] for hold in shown["holds"]] == ["case_closed"]
        assert shown["desired"] == "running"
    # The fourth case goes all the way after them: whatever they had caused came before.
    house.hold(other)
    house.until_confirmed(other, "pauseCase")
    assert [target for target, _ in pauses(amili)[before:]] == [other]


def test_amounts_that_a_lagging_read_does_not_show_are_read_again(
    sqlite_url: str, amili: SandboxServer, raise_house: RaiseHouse
) -> None:
    """A change of amounts whose webhook comes before the read shows it is seen all the same."""
    house = raise_house(sqlite_url, amili, read_lag_seconds="2")
    amili.control.set_behaviour(read_lag_seconds=2.0)
    amili.control.set_webhook(url=f"http://127.0.0.1:{house.port}/webhooks/amili")
    house.start()
    case = amili.control.create_case(invoices=[{"amount": "100.00"}])
    invoice = case["invoices"][0]["invoiceId"]
    house.until(lambda: house.knows(case["caseId"]))
    amili.control.pay_invoice(invoice, amount="40.00")
    house.until(lambda: house.get(f"/invoices/{invoice}")["remainingAmount"] == "60.00", seconds=8)
