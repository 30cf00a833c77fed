"""The imitated Amili keeps the contract: tokens, submissions, reads."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import Any

import httpx2
import pytest

from service.sandbox.harness import SandboxServer
from tests.integration.sandbox.played import ORG, START, Caller, Clock, invoice


class TestToken:
    def test_it_has_the_members_of_the_contract_and_its_numbers_are_numbers(
        self, sandbox: SandboxServer
    ) -> None:
        """A token's answer has the documented members, with numbers as numbers."""
        form = {"grant_type": "client_credentials", "client_id": "c", "client_secret": "s"}
        answer = httpx2.post(sandbox.token_url, data=form)
        body = answer.json()
        assert body.pop("access_token")
        assert body == {
            "token_type": "Bearer",
            "not_before": START,
            "expires_in": 3600,
            "expires_on": START + 3600,
            "resource": "sandbox",
        }

    def test_wrong_credentials_are_an_oauth_error_and_are_not_recorded_with_the_secret(
        self, sandbox: SandboxServer
    ) -> None:
        """A wrong secret answers 401 in OAuth's shape, and the record keeps no secret."""
        form = {"grant_type": "client_credentials", "client_id": "c", "client_secret": "wrong"}
        answer = httpx2.post(sandbox.token_url, data=form)
        assert (answer.status_code, answer.json()["error"]) == (401, "invalid_client")
        [call] = sandbox.control.calls("Token")
        assert (call["status"], call["body"]) == (401, None)

    def test_the_token_endpoint_can_fail_too(self, sandbox: SandboxServer) -> None:
        """A fault ordered for the token endpoint strikes there."""
        sandbox.control.add_fault("Token", status=503, retry_after=1)
        answer = httpx2.post(sandbox.token_url, data={"grant_type": "client_credentials"})
        assert (answer.status_code, answer.headers["Retry-After"]) == (503, "1")

    @pytest.mark.parametrize("how", ["time", "by hand"])
    def test_an_expired_token_opens_nothing(
        self, sandbox: SandboxServer, caller: Caller, clock: Clock, how: str
    ) -> None:
        """A token that expired, by time or by hand, answers 401 and has no effect."""
        case = sandbox.control.create_case()
        if how == "time":
            clock.now += 3600
        else:
            sandbox.control.expire_tokens()
        assert caller.pause(case) == 401
        assert sandbox.control.calls("PauseCase")[0]["effect"] == "none"


class TestInvoices:
    def test_a_submission_becomes_a_batch_a_case_and_an_invoice(self, caller: Caller) -> None:
        """What was handed over is read back with the odd spellings of each endpoint."""
        answer = caller.post("/invoices", {"invoices": [invoice(1)]})
        assert answer.status_code == 202
        data = answer.json()["data"]
        assert data["batchUrl"].endswith(f"/collection/v1/batches/{data['batchId']}")
        batch = caller.get(f"/batches/{data['batchId']}")["data"]
        assert caller.client.get(data["batchUrl"]).json()["data"] == batch
        assert (batch["status"], batch["type"], batch["failed"]) == ("SUCCESS", "INVOICE", [])
        [item] = batch["succeeded"]
        read = caller.get(f"/invoices/{item['invoiceId']}")["data"]
        assert read["id"] == item["invoiceId"]
        assert "invoiceId" not in read
        [case] = caller.get("/cases", UniqueSourceInvoiceId="src-1")["data"]
        assert (case["caseId"], case["caseNumber"]) == (item["caseId"], item["caseNumber"])
        assert isinstance(case["caseNumber"], int)
        assert case["debtors"][0]["firstName"] == "Test"
        assert case["invoices"][0]["invoiceId"] == item["invoiceId"]

    def test_a_second_invoice_extends_the_debtors_case(
        self, sandbox: SandboxServer, caller: Caller
    ) -> None:
        """An invoice of a known customerNumber joins its case, and CASE_UPDATED says amounts."""
        caller.post("/invoices", {"invoices": [invoice(1)]})
        second = invoice(2, debtors=invoice(1)["debtors"])
        caller.post("/invoices", {"invoices": [second]})
        [case] = caller.get("/cases", CustomerNumber="K1")["data"]
        assert [i["invoiceNumber"] for i in case["invoices"]] == ["F1", "F2"]
        [said] = sandbox.control.deliveries("CASE_UPDATED")
        assert json.loads(said["body"])["data"]["fields"] == ["amounts"]

    def test_duplicates_and_invoices_without_debtor_fail(self, caller: Caller) -> None:
        """A repeated number, a repeated source id and a missing debtor stand in failed[]."""
        items = [
            invoice(1),
            invoice(2, invoiceNumber="F1"),
            invoice(3, uniqueSourceInvoiceId="src-1"),
            invoice(4, debtors=[]),
        ]
        batch_id = caller.post("/invoices", {"invoices": items}).json()["data"]["batchId"]
        batch = caller.get(f"/batches/{batch_id}")["data"]
        assert batch["status"] == "PARTIAL"
        codes = [item["errors"][0]["code"] for item in batch["failed"]]
        assert codes == ["DUPLICATE", "DUPLICATE", "DEBTOR_MISSING"]
        again = caller.post("/invoices", {"invoices": [invoice(1)]}).json()["data"]["batchId"]
        assert caller.get(f"/batches/{again}")["data"]["status"] == "FAILED"

    def test_a_batch_stays_queued_until_its_delay_has_passed(
        self, sandbox: SandboxServer, caller: Caller, clock: Clock
    ) -> None:
        """Creation is asynchronous: nothing exists before the batch delay."""
        sandbox.control.set_behaviour(batch_delay_seconds=5)
        answer = caller.post("/invoices", {"invoices": [invoice(1)]}, key="mine")
        batch_id = answer.json()["data"]["batchId"]
        assert caller.get(f"/batches/{batch_id}")["data"]["status"] == "QUEUED"
        assert caller.get("/cases")["data"] == []
        clock.now += 5
        [batch] = caller.get("/batches", IdempotencyKey="mine")["data"]
        assert (batch["batchId"], batch["status"]) == (batch_id, "SUCCESS")

    def test_payments_and_corrections_move_amounts(
        self, sandbox: SandboxServer, caller: Caller
    ) -> None:
        """A payment and a correction lower what remains, and nothing left closes the case."""
        case = sandbox.control.create_case(invoices=[{"amount": "100.00"}])
        owed = {"invoiceId": case["invoices"][0]["invoiceId"], "currency": "NOK"}
        caller.post("/payments", {"payments": [{**owed, "type": "DIRECT_PAYMENT", "amount": 60}]})
        caller.post("/corrections", {"corrections": [{**owed, "amount": 40}]})
        [shown] = caller.get("/cases")["data"]
        assert shown["invoices"][0]["remainingAmount"] == 0
        assert (shown["status"], bool(shown["closedAt"])) == ("CLOSED", True)
        assert caller.pause(case) == 422

    def test_money_keeps_its_scale(self, sandbox: SandboxServer, caller: Caller) -> None:
        """An amount leaves with the digits with which it came, as a JSON number."""
        raw = json.dumps({"invoices": [invoice(1)]}).replace('Amount": 100', 'Amount": 4500.00')
        headers = {"Content-Type": "application/json"}
        caller.client.post(f"{ORG}/invoices", content=raw, headers=headers)
        sandbox.control.create_case(customerNumber="K2", invoices=[{"amount": Decimal("0.10")}])
        text = caller.client.get(f"{ORG}/cases").text
        assert '"remainingAmount":4500.00,' in text
        assert '"originalAmount":0.10,' in text

    @pytest.mark.parametrize(
        "item",
        [
            *("F1", None, {}, {"debtors": 1}, {"debtors": ["x"]}, {"debtors": [{}]}),
            *(invoice(1, invoiceNumber=[]), invoice(1, claims=3), invoice(1, claims=[{}])),
            *(invoice(1, originalInvoiceAmount="100"), invoice(1, originalInvoiceAmount=10**40)),
            invoice(1, originalInvoiceAmount=True),
        ],
    )
    def test_an_item_of_any_form_ends_in_its_batch(self, caller: Caller, item: Any) -> None:
        """An unreadable item fails alone; the item beside it is registered."""
        body = {"invoices": [item, invoice(9)]}
        batch_id = caller.post("/invoices", body).json()["data"]["batchId"]
        batch = caller.get(f"/batches/{batch_id}")["data"]
        assert (batch["status"], len(batch["succeeded"])) == ("PARTIAL", 1)

    @pytest.mark.parametrize("body", [None, [], {}, {"invoices": []}, {"invoices": "F1"}])
    def test_a_body_of_another_form_is_refused(self, caller: Caller, body: Any) -> None:
        """A submission without a list of invoices answers 400 and makes no batch."""
        assert caller.post("/invoices", body).status_code == 400
        assert caller.get("/batches")["data"] == []


class TestReading:
    @pytest.mark.parametrize(("cases", "pages"), [(4, 2), (5, 3)])
    def test_pages_hold_every_case_once(
        self, sandbox: SandboxServer, caller: Caller, cases: int, pages: int
    ) -> None:
        """Following nextPageToken shows every case once; the last page, full or not, has none."""
        made = [sandbox.control.create_case()["caseId"] for _ in range(cases)]
        seen: list[str] = []
        query: dict[str, Any] = {"PageSize": 2}
        for number in range(1, pages + 1):
            answer = caller.get("/cases", **query)
            seen += [case["caseId"] for case in answer["data"]]
            assert ("nextPageToken" in answer["summary"]) == (number < pages)
            query["PageToken"] = answer["summary"].get("nextPageToken")
        assert seen == made

    @pytest.mark.parametrize(
        ("path", "query"),
        [
            ("/cases", {"pageToken": "after-1"}),
            ("/settlements", {"PageSize": 2}),
            ("/invoices", {"PageSize": 2}),
            ("/cases", {"PageToken": "nonsense"}),
            ("/cases", {"PageSize": 0}),
        ],
    )
    def test_a_query_that_the_contract_does_not_know_is_refused(
        self, caller: Caller, path: str, query: dict[str, Any]
    ) -> None:
        """A misspelt page parameter answers 400 instead of the first page again."""
        assert caller.client.get(ORG + path, params=query).status_code == 400

    def test_filters_narrow(self, sandbox: SandboxServer, caller: Caller) -> None:
        """Status, Type, CaseNumber and CustomerNumber each select, and together they intersect."""
        one = sandbox.control.create_case(customerNumber="A", type="COLLECTION_NOTICE")
        two = sandbox.control.create_case(customerNumber="B", status="PAUSED")

        def found(**query: Any) -> list[str]:
            return [case["caseId"] for case in caller.get("/cases", **query)["data"]]

        assert found(Type="COLLECTION_NOTICE") == [one["caseId"]]
        assert found(Status="PAUSED") == [two["caseId"]]
        assert found(CaseNumber=one["caseNumber"]) == [one["caseId"]]
        assert found(CustomerNumber="B", Status="PAUSED") == [two["caseId"]]
        assert found(CustomerNumber="B", Status="OPEN") == []
        source = two["invoices"][0]["uniqueSourceInvoiceId"]
        assert found(UniqueSourceInvoiceId=source) == [two["caseId"]]
        assert found(UniqueSourceInvoiceId="none") == []

    def test_settlements_are_read_by_id_and_by_date(
        self, sandbox: SandboxServer, caller: Caller
    ) -> None:
        """A settlement is found by id and inside its dates, with its case's number as number."""
        case = sandbox.control.create_case()
        made = sandbox.control.settle(case["caseId"], amount="12.50", settlementDate="2026-05-01")
        read = caller.get(f"/settlements/{made['settlementId']}")["data"]
        assert read["caseNumber"] == case["caseNumber"]
        assert caller.get("/settlements", toDate="2026-05-01", pageSize=1)["data"] == [read]
        assert caller.get("/settlements", fromDate="2026-05-02")["data"] == []

    def test_reads_lag_behind(self, sandbox: SandboxServer, caller: Caller, clock: Clock) -> None:
        """With a read lag a case is first absent, then as it was, then as it is."""
        case = sandbox.control.create_case()
        clock.now += 60
        sandbox.control.set_behaviour(read_lag_seconds=10)
        late = sandbox.control.create_case()
        assert caller.pause(case) == 202
        assert (caller.status(case), caller.status(late)) == ("OPEN", "absent")
        clock.now += 9.9
        assert (caller.status(case), caller.status(late)) == ("OPEN", "absent")
        clock.now += 0.1
        assert (caller.status(case), caller.status(late)) == ("PAUSED", "OPEN")

    def test_another_organization_sees_nothing(
        self, sandbox: SandboxServer, caller: Caller
    ) -> None:
        """A record answers 404, and is in no list, below an organization that is not its own."""
        case = sandbox.control.create_case()
        foreign = caller.client.get("/orgs/other/cases", params={"CaseNumber": case["caseNumber"]})
        assert foreign.json()["data"] == []
        owed = case["invoices"][0]["invoiceId"]
        assert caller.client.get(f"/orgs/other/invoices/{owed}").status_code == 404
        assert caller.client.post(f"/orgs/other/cases/{case['caseId']}/pause").status_code == 404
