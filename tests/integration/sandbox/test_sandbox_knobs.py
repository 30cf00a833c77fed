"""The knobs and faults that a busy, slow or strict Amili needs, each over a real socket."""

from __future__ import annotations

import json
from collections import Counter
from typing import Any

import httpx2
import pytest

from service.sandbox.behaviour import Behaviour
from service.sandbox.harness import SandboxServer
from service.sandbox.limits import Limit
from tests.integration.sandbox.played import (
    ORG,
    START,
    Caller,
    Clock,
    Endpoint,
    invoice,
    until,
)

#: The error codes of contract §2.
DOCUMENTED = (400, 401, 403, 404, 409, 422, 423, 429, 500, 501, 502, 503)
FORM = {"grant_type": "client_credentials", "client_id": "c", "client_secret": "s"}


def statuses(caller: Caller, count: int) -> list[int]:
    """Read the cases so many times."""
    return [caller.client.get(f"{ORG}/cases").status_code for _ in range(count)]


class TestLimit:
    def test_too_many_calls_in_a_second_are_answered_429(
        self, sandbox: SandboxServer, caller: Caller, clock: Clock
    ) -> None:
        """Beyond the rate every call is 429 with Retry-After, until time has made room."""
        sandbox.control.set_behaviour(requests_per_second=3)
        assert statuses(caller, 5) == [200, 200, 200, 429, 429]
        refused = caller.client.get(f"{ORG}/cases")
        assert (refused.status_code, refused.headers["Retry-After"]) == (429, "1")
        clock.now += 1
        assert statuses(caller, 4) == [200, 200, 200, 429]
        effects = {call["effect"] for call in sandbox.control.calls()}
        assert effects == {"none"}

    def test_it_need_not_say_when(self, sandbox: SandboxServer, caller: Caller) -> None:
        """With the knob off a 429 has no Retry-After, and a pause that met it had no effect."""
        sandbox.control.set_behaviour(requests_per_second=0.25, tells_retry_after=False)
        case = sandbox.control.create_case()
        assert statuses(caller, 1) == [200]
        refused = caller.post(f"/cases/{case['caseId']}/pause")
        assert refused.status_code == 429
        assert "Retry-After" not in refused.headers
        assert sandbox.control.get_case(case["caseId"])["case"]["status"] == "OPEN"

    def test_the_wait_that_it_names_is_long_enough(self) -> None:
        """After the whole seconds that it named, a call passes; one second earlier it may not."""
        limit, now = Limit(), START
        assert limit.take(0.25, now) is None
        wait = limit.take(0.25, now)
        assert wait == 4
        assert limit.take(0.25, now + wait - 1) is not None
        assert limit.take(0.25, now + wait) is None

    def test_without_a_rate_everything_passes(self, caller: Caller) -> None:
        """By default there is no limit."""
        assert Counter(statuses(caller, 50)) == {200: 50}


class TestTokenLife:
    def test_a_token_lives_as_long_as_the_knob_says(
        self, sandbox: SandboxServer, clock: Clock
    ) -> None:
        """A token of 5 seconds says so, opens the API for 5 seconds, and then answers 401."""
        sandbox.control.set_behaviour(token_life_seconds=5)
        told = httpx2.post(sandbox.token_url, data=FORM).json()
        assert (told["expires_in"], told["expires_on"]) == (5, START + 5)
        caller = Caller(sandbox)
        with caller.client:
            clock.now += 4.9
            assert statuses(caller, 1) == [200]
            clock.now += 0.1
            assert statuses(caller, 1) == [401]


class TestStrictness:
    def test_a_submission_can_be_refused_as_a_whole(
        self, sandbox: SandboxServer, caller: Caller
    ) -> None:
        """With the knob, one 422 names every item that cannot be read, and no batch is made."""
        sandbox.control.set_behaviour(refuses_invalid_submissions=True)
        items = [invoice(1), invoice(2, debtors=[]), invoice(3, originalInvoiceAmount="1"), "x"]
        answer = caller.post("/invoices", {"invoices": items})
        assert answer.status_code == 422
        assert [error["field"] for error in answer.json()["errors"]] == [
            *("invoices[1].debtors", "invoices[2].originalInvoiceAmount", "invoices[3]"),
        ]
        assert caller.get("/batches")["data"] == []
        assert caller.post("/payments", {"payments": [{"amount": -1}]}).status_code == 422
        assert caller.post("/corrections", {"corrections": [{}]}).status_code == 422
        assert caller.post("/invoices", {"invoices": [invoice(1)]}).status_code == 202

    def test_items_can_fail_by_chance(self, sandbox: SandboxServer, caller: Caller) -> None:
        """At a rate some good items fail with a reason, and succeed when they are sent again."""
        sandbox.control.set_behaviour(item_failure_rate=0.5)
        items = [invoice(number) for number in range(20)]
        batch_id = caller.post("/invoices", {"invoices": items}).json()["data"]["batchId"]
        batch = caller.get(f"/batches/{batch_id}")["data"]
        assert batch["status"] == "PARTIAL"
        assert {one["errors"][0]["code"] for one in batch["failed"]} == {"REFUSED"}
        assert len(batch["failed"]) + len(batch["succeeded"]) == 20
        sandbox.control.set_behaviour(item_failure_rate=0.0)
        failed = {one["uniqueSourceInvoiceId"] for one in batch["failed"]}
        again = [item for item in items if item["uniqueSourceInvoiceId"] in failed]
        retried = caller.post("/invoices", {"invoices": again}).json()["data"]["batchId"]
        assert caller.get(f"/batches/{retried}")["data"]["status"] == "SUCCESS"


class TestBodiesOfErrors:
    @pytest.mark.parametrize("body", ["json", "html", "empty", "broken", "echo"])
    def test_every_documented_status_can_be_had_with_every_body(
        self, sandbox: SandboxServer, caller: Caller, body: str
    ) -> None:
        """A fault answers its status with the ordered body; only a JSON one can be read."""
        for status in DOCUMENTED:
            sandbox.control.add_fault("CreateInvoices", status=status, body=body)
            answer = caller.post("/invoices", {"invoices": [invoice(1)]})
            assert answer.status_code == status
            assert "Retry-After" not in answer.headers
            kind = answer.headers["content-type"].partition(";")[0]
            assert kind == ("text/html" if body == "html" else "application/json")
            if body in ("json", "echo"):
                said = answer.json()["errors"][0]["message"]
                assert ("Testesen" in said) == (body == "echo")
            else:
                with pytest.raises(json.JSONDecodeError):
                    answer.json()
        assert caller.get("/batches")["data"] == []

    @pytest.mark.parametrize(
        "members",
        [
            {"cut": True, "body": "html"},
            {"cut": True, "cut_midway": True},
            {"status": 500, "body": "poem"},
            {"status": 500, "cut_midway": True},
        ],
    )
    def test_what_does_not_go_together_is_refused(
        self, sandbox: SandboxServer, members: dict[str, Any]
    ) -> None:
        """A cut connection has no body, a body is of a known kind, and a fault is one thing."""
        answer = httpx2.post(f"{sandbox.control_url}/faults", json=members)
        assert answer.status_code == 400

    def test_a_connection_can_be_cut_in_the_middle_of_an_answer(
        self, sandbox: SandboxServer, caller: Caller
    ) -> None:
        """The caller sees a 202 and half of its body; the submission took place."""
        sandbox.control.add_fault("CreateInvoices", cut_midway=True)
        body = {"invoices": [invoice(1)]}
        with caller.client.stream("POST", f"{ORG}/invoices", json=body) as answer:
            assert answer.status_code == 202
            came = answer.iter_raw()
            assert next(came).startswith(b'{"summary"')
            with pytest.raises(httpx2.TransportError):
                next(came)
        [call] = sandbox.control.calls("CreateInvoices")
        assert (call["status"], call["effect"], call["fault"]) == (None, "queued", "cut midway")
        assert len(caller.get("/invoices")["data"]) == 1

    def test_an_answer_without_body_is_cut_whole(
        self, sandbox: SandboxServer, caller: Caller
    ) -> None:
        """A pause answers without a body, so a cut in its middle leaves nothing."""
        case = sandbox.control.create_case()
        sandbox.control.add_fault("PauseCase", cut_midway=True)
        with pytest.raises(httpx2.TransportError):
            caller.pause(case)
        assert caller.status(case) == "PAUSED"

    def test_an_answer_can_be_slow(self, sandbox: SandboxServer, caller: Caller) -> None:
        """A slow answer outlasts an impatient caller, and the pause took place all the same."""
        case = sandbox.control.create_case()
        sandbox.control.add_fault("PauseCase", delay_seconds=60)
        with pytest.raises(httpx2.ReadTimeout):
            caller.client.post(f"{ORG}/cases/{case['caseId']}/pause", timeout=0.2)
        assert caller.status(case) == "PAUSED"


class TestLostWebhooks:
    def test_some_never_come_and_can_be_sent_later(
        self, sandbox: SandboxServer, endpoint: Endpoint
    ) -> None:
        """At a rate webhooks are lost for good; the record knows which, and can send them."""
        sandbox.control.set_behaviour(webhook_loss_rate=0.5)
        for _ in range(40):
            sandbox.control.create_case()
        lost = [one for one in sandbox.control.deliveries() if one["state"] == "lost"]
        assert 0 < len(lost) < 40
        until(lambda: len(endpoint.received) == 40 - len(lost))
        for one in lost:
            sandbox.control.resend(one["deliveryId"])
        until(lambda: len(endpoint.received) == 40)
        assert len({got.body["id"] for got in endpoint.received}) == 40

    def test_each_submission_says_that_its_batch_is_done(
        self, sandbox: SandboxServer, caller: Caller
    ) -> None:
        """Invoices, payments and corrections each end in BATCH_COMPLETED with their status."""
        owed = sandbox.control.create_case()["invoices"][0]["invoiceId"]
        caller.post("/invoices", {"invoices": [invoice(9), "x"]})
        caller.post("/payments", {"payments": [{"invoiceId": owed, "amount": 1}]})
        caller.post("/corrections", {"corrections": [{"invoiceId": "none", "amount": 1}]})
        until(lambda: len(sandbox.control.deliveries("BATCH_COMPLETED")) == 3)
        said = [json.loads(d["body"]) for d in sandbox.control.deliveries("BATCH_COMPLETED")]
        assert [one["data"]["status"] for one in said] == ["PARTIAL", "SUCCESS", "FAILED"]


class TestWords:
    def test_every_knob_can_be_turned_by_a_word(self) -> None:
        """`name=value` reads switches, numbers and texts; the others stay."""
        words = ["webhooks_on=off", "page_size=7", "read_lag_seconds=1.5", "spelling=type"]
        turned = Behaviour(duplicates=2).set_by_words(words)
        assert turned == Behaviour(
            duplicates=2, webhooks_on=False, page_size=7, read_lag_seconds=1.5, spelling="type"
        )

    @pytest.mark.parametrize(
        ("word", "why"),
        [
            ("speed=1", "no such behaviour: speed"),
            ("page_size", "page_size must be a number"),
            ("webhooks_on=maybe", "webhooks_on must be on or off"),
            ("webhook_loss_rate=1.1", "webhook_loss_rate is a share"),
            ("requests_per_second=nan", "requests_per_second must not be negative"),
        ],
    )
    def test_a_wrong_word_names_its_knob(self, word: str, why: str) -> None:
        """A knob that does not exist, or a value that it cannot have, is told by name."""
        with pytest.raises(ValueError, match=why):
            Behaviour().set_by_words([word])
