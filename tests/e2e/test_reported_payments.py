"""A creditor reports a payment and a credit note: nobody is chased until Amili shows them."""

from __future__ import annotations

import hashlib
import json
from decimal import Decimal
from typing import Any

from service.desk.handing_over import Handover, NewSubmission
from service.domain.submissions import NewItem, SubmissionKind
from service.embedded import EmbeddedRedis
from service.queue import Bells
from service.redis import connect
from service.sandbox.harness import SandboxServer
from service.store.database import Database
from tests.e2e.conftest import RaiseHouse, on
from tests.e2e.house import House

#: How many held cases were read after every item had ended.
READ_SINCE = """
    SELECT count(*) FROM cases WHERE desired = 'paused'
    AND (SELECT count(*) FROM submission_items WHERE state = 'succeeded') = 3
    AND read_began_at > (SELECT max(ended_at) FROM submission_items)
"""


def hand_over(house: House, redis_url: str, kind: SubmissionKind, *items: dict[str, Any]) -> None:
    """Report these beside the running house; amounts are texts of exact numbers."""
    written = []
    for line, item in enumerate(items, start=1):
        body = json.dumps(item).replace(f'"{item["amount"]}"', item["amount"])
        amount = Decimal(item["amount"])
        written.append(NewItem(line, body, invoice_id=item["invoiceId"], amount=amount))
    organization = house.rows("SELECT organization_id FROM cases")[0][0]
    digest = hashlib.sha256("".join(each.body for each in written).encode()).digest()
    wish = NewSubmission(kind, organization, digest.hex(), digest, len(written))
    database = Database(house.database_url.replace("postgresql:", "postgresql+psycopg:"), pool=1)
    client = connect(redis_url)
    try:
        Handover(database, Bells(client), chunk_items=100).place(wish, written)
    finally:
        database.close()
        client.close()


def calls(amili: SandboxServer, *operations: str) -> list[tuple[str | None, int | None]]:
    """List target and answer of every call of these operations."""
    made = [call for call in amili.control.calls() if call["operation"] in operations]
    return [(call["target"], call["status"]) for call in made]


def is_at_rest(house: House, case_id: str) -> bool:
    """Whether the case's one hold has ended because Amili shows what was reported."""
    holds = house.get(f"/cases/{case_id}")["holds"]
    return [(each["reason"], each["releasedBy"]) for each in holds] == [
        ("payment_reported", "reflected")
    ]


@on("postgresql")
def test_paused_from_the_report_until_amili_shows_it(
    database_url: str, amili: SandboxServer, raise_house: RaiseHouse, own_redis: EmbeddedRedis
) -> None:
    """One pause and one resume for each, though the amounts move long after the batch."""
    house = raise_house(database_url, amili, redis_url=own_redis.url, read_lag_seconds="2")
    amili.control.set_behaviour(amount_delay_seconds=3600.0, read_lag_seconds=1.0, duplicates=2)
    amili.control.set_webhook(url=f"http://127.0.0.1:{house.port}/webhooks/amili")
    house.start()
    made = [amili.control.create_case(invoices=[{"amount": "1000.00"}]) for _ in range(3)]
    paid, credited, larger = (case["caseId"] for case in made)
    invoices = [case["invoices"][0]["invoiceId"] for case in made]
    house.until(lambda: all(house.knows(case["caseId"]) for case in made))

    payment = {"invoiceId": invoices[0], "type": "DIRECT_PAYMENT", "amount": "400.50"}
    hand_over(house, own_redis.url, SubmissionKind.PAYMENTS, payment | {"currency": "NOK"})
    hand_over(
        house,
        own_redis.url,
        SubmissionKind.CORRECTIONS,
        *(
            {"invoiceId": name, "amount": amount, "currency": "NOK", "date": "2026-05-01"}
            for name, amount in zip(invoices[1:], ("99.99", "-1.00"), strict=True)
        ),
    )
    for case_id in (paid, credited):
        house.until_confirmed(case_id, "pauseCase")
    # Their batches end, both are read after that, and the amounts do not move: both stay paused.
    house.until(lambda: house.rows(READ_SINCE)[0][0] == 2)
    shown = [house.get(f"/cases/{case_id}") for case_id in (paid, credited)]
    assert [case["desired"] for case in shown] == ["paused", "paused"]
    assert calls(amili, "ResumeCase") == []

    moved = (
        {"paidAmount": "400.50", "remainingAmount": "599.50"},
        {"creditedAmount": "99.99", "remainingAmount": "900.01"},
    )
    for case_id, name, amounts in zip((paid, credited), invoices, moved, strict=False):
        amili.control.update_case(case_id, invoices=[{"invoiceId": name, **amounts}])
    for case_id in (paid, credited):
        house.until_confirmed(case_id, "resumeCase")
        assert is_at_rest(house, case_id)
        assert house.get(f"/cases/{case_id}")["desired"] == "running"
    assert house.get(f"/invoices/{invoices[0]}")["remainingAmount"] == "599.50"
    house.until_no_action_is_open()
    both = sorted([(paid, 202)] * 2 + [(credited, 202)] * 2)
    assert sorted(calls(amili, "PauseCase", "ResumeCase")) == both
    assert len(calls(amili, "CreatePayments", "CreateCorrections")) == 2
    assert house.get(f"/cases/{larger}")["holds"] == []
