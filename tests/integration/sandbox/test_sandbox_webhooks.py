"""The webhooks of the imitated Amili have the published form and travel as its knobs say."""

from __future__ import annotations

import json
import socket
import time

import pytest

from service.sandbox.courier import AT_ONCE
from service.sandbox.harness import SandboxServer
from service.sandbox.world import ORGANIZATION_ID
from tests.integration.sandbox.played import START, Caller, Endpoint, invoice, until


class TestWebhooks:
    def test_they_are_signed_and_carry_their_headers(
        self, sandbox: SandboxServer, endpoint: Endpoint
    ) -> None:
        """A case's webhook has the published form and headers, and its raw body is signed."""
        case = sandbox.control.create_case()
        [got] = until(lambda: endpoint.received)
        assert got.headers["x-webhook-signature"] == got.signed
        assert got.headers["x-amili-event"] == "CASE"
        assert got.headers["content-type"] == "application/json"
        assert got.headers["idempotencykey"]
        assert got.headers["x-amili-request-id"]
        assert set(got.body) == {"id", "eventType", "source", "timeStamp", "data"}
        assert (got.body["source"], got.body["eventType"]) == ("COLLECTION", "CASE")
        assert got.body["timeStamp"] == time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(START))
        assert got.body["data"] == {
            "orgId": ORGANIZATION_ID,
            "caseId": case["caseId"],
            "caseNumber": str(case["caseNumber"]),
            "type": "PAYMENT_REMINDER",
            "status": "OPEN",
            "invoices": [case["invoices"][0]["invoiceId"]],
        }

    def test_the_signature_can_have_a_prefix(
        self, sandbox: SandboxServer, endpoint: Endpoint
    ) -> None:
        """With a prefix the same digest follows it."""
        sandbox.control.set_webhook(prefix="sha256=")
        sandbox.control.create_case()
        [got] = until(lambda: endpoint.received)
        assert got.headers["x-webhook-signature"] == f"sha256={got.signed}"

    def test_each_event_has_its_published_members(
        self, sandbox: SandboxServer, caller: Caller, endpoint: Endpoint
    ) -> None:
        """BATCH_COMPLETED, SETTLEMENT_CREATED and CASE_UPDATED have the data of the contract."""
        caller.post("/invoices", {"invoices": [invoice(1)]})
        [case] = caller.get("/cases")["data"]
        sandbox.control.settle(case["caseId"])
        caller.pause(case)
        until(lambda: len(endpoint.received) == 4)
        [batch] = endpoint.named("BATCH_COMPLETED")
        assert batch.body["type"] == "BATCH_COMPLETED"
        assert set(batch.body["data"]) == {"batchId", "organizationId", "status"}
        [settled] = endpoint.named("SETTLEMENT_CREATED")
        assert settled.body["data"]["caseNumber"] == str(case["caseNumber"])
        assert set(settled.body["data"]) == {
            *("settlementId", "organizationId", "settlementDate"),
            *("invoiceId", "invoiceNumber", "caseNumber"),
        }
        [updated] = endpoint.named("CASE_UPDATED")
        assert updated.body["data"]["fields"] == ["status"]
        assert updated.body["data"]["status"] == "PAUSED"

    @pytest.mark.parametrize(
        ("spelling", "member", "organization", "word"),
        [
            ("type", "type", "organizationId", "CASE_CREATED"),
            ("eventType", "eventType", "orgId", "CASE"),
        ],
    )
    def test_both_spellings_can_be_had(
        self, sandbox: SandboxServer, spelling: str, member: str, organization: str, word: str
    ) -> None:
        """Every event can be written in either published spelling."""
        sandbox.control.set_behaviour(spelling=spelling)
        sandbox.control.create_case()
        [said] = sandbox.control.deliveries()
        body = json.loads(said["body"])
        assert (said["state"], body[member]) == ("recorded", word)
        assert organization in body["data"]

    def test_the_spellings_can_alternate(self, sandbox: SandboxServer) -> None:
        """Alternating, two events following each other differ in spelling."""
        sandbox.control.set_behaviour(spelling="alternate")
        for _ in range(2):
            sandbox.control.create_case()
        members = ["type" in json.loads(d["body"]) for d in sandbox.control.deliveries()]
        assert sorted(members) == [False, True]

    def test_duplicates_are_the_same_body(self, sandbox: SandboxServer, endpoint: Endpoint) -> None:
        """Each copy has the same raw body and key, and a request id of its own."""
        sandbox.control.set_behaviour(duplicates=3)
        sandbox.control.create_case()
        until(lambda: len(endpoint.received) == 3)
        assert len({got.raw for got in endpoint.received}) == 1
        assert len({got.headers["idempotencykey"] for got in endpoint.received}) == 1
        assert len({got.headers["x-amili-request-id"] for got in endpoint.received}) == 3

    def test_anything_but_2xx_is_tried_again(
        self, sandbox: SandboxServer, endpoint: Endpoint
    ) -> None:
        """A redirect, a refusal and a server error are repeated with the same body."""
        endpoint.answers = [302, 400, 503]
        sandbox.control.create_case()
        [seen] = until(lambda: [d for d in sandbox.control.deliveries() if d["attempts"][3:]])
        assert [attempt["status"] for attempt in seen["attempts"]] == [302, 400, 503, 202]
        assert seen["state"] == "delivered"
        assert len({got.raw for got in endpoint.received}) == 1

    def test_an_endpoint_that_is_away_is_given_up(self, sandbox: SandboxServer) -> None:
        """Attempts are bounded; a delivery without any answer ends as given up."""
        with socket.create_server(("127.0.0.1", 0)) as unused:
            port = unused.getsockname()[1]
        sandbox.control.set_behaviour(webhook_attempts=2)
        sandbox.control.set_webhook(url=f"http://127.0.0.1:{port}/")
        sandbox.control.create_case()
        until(lambda: sandbox.control.deliveries()[0]["state"] == "given_up")
        attempts = sandbox.control.deliveries()[0]["attempts"]
        assert [attempt["status"] for attempt in attempts] == [None, None]

    def test_missed_webhooks_can_be_sent_later(
        self, sandbox: SandboxServer, endpoint: Endpoint
    ) -> None:
        """Switched off, a webhook is lost but known, and can be sent again as it was."""
        sandbox.control.set_behaviour(webhooks_on=False)
        sandbox.control.create_case()
        [lost] = sandbox.control.deliveries()
        assert (lost["state"], endpoint.received) == ("suppressed", [])
        sandbox.control.resend(lost["deliveryId"])
        [got] = until(lambda: endpoint.received)
        assert got.raw.decode() == lost["body"]

    def test_they_can_come_out_of_order(self, sandbox: SandboxServer, endpoint: Endpoint) -> None:
        """With reorder all arrive, some of them far from where they were said."""
        sandbox.control.set_behaviour(reorder=True, reorder_window_seconds=0.5)
        said = [sandbox.control.say("CASE_UPDATED", {"n": n}) for n in range(60)]
        until(lambda: len(endpoint.received) == 60)
        came = [got.body["id"] for got in endpoint.received]
        assert sorted(came) == sorted(said)
        assert max(abs(came.index(one) - said.index(one)) for one in said) > AT_ONCE
