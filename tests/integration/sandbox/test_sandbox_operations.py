"""Every operation of the contract's table is played, the legacy ones too."""

from __future__ import annotations

from typing import Any

import httpx2
import pytest

from service.sandbox.harness import SandboxServer
from service.sandbox.operations import NAMES
from service.sandbox.world import ORGANIZATION_ID
from tests.integration.sandbox.played import ORG, Caller, Clock, invoice

JSON_PATCH = {"Content-Type": "application/json-patch+json"}
LEGACY_BATCH = "/webapi/api/Batch"
CASE = "/orgs/{org}/cases/{case}"
#: Contract §3, row by row: name, method, path, and the query that the table lists.
TABLE = (
    ("GetBatchById", "GET", "/orgs/{org}/batches/{batch}", ""),
    ("GetBatchByIdLegacy", "GET", "/batches/{batch}", ""),
    (
        "GetBatchesByOrganization",
        "GET",
        "/orgs/{org}/batches",
        "State Type SubjectId IdempotencyKey PageToken PageSize SortDirection",
    ),
    ("CreateInvoices", "POST", "/orgs/{org}/invoices", ""),
    (
        "GetInvoicesByOrganization",
        "GET",
        "/orgs/{org}/invoices",
        "Status Type InvoiceNumber UniqueSourceInvoiceId CustomerNumber From To PageToken",
    ),
    ("GetInvoiceById", "GET", "/orgs/{org}/invoices/{invoice}", ""),
    (
        "GetCasesByOrganization",
        "GET",
        "/orgs/{org}/cases",
        "Status Type CaseNumber CustomerNumber UniqueSourceInvoiceId SearchTerm FromCreatedAt"
        " ToCreatedAt PageToken PageSize",
    ),
    ("CreatePayments", "POST", "/orgs/{org}/payments", ""),
    ("CreateCorrections", "POST", "/orgs/{org}/corrections", ""),
    ("GetSettlements", "GET", "/orgs/{org}/settlements", "fromDate toDate pageSize pageToken"),
    ("GetSettlement", "GET", "/orgs/{org}/settlements/{settlement}", ""),
    ("AcceptDebtCollectionList", "POST", f"{CASE}/debt-collection-list/accept", ""),
    ("RejectDebtCollectionList", "POST", f"{CASE}/debt-collection-list/reject", ""),
    ("PauseCase", "POST", f"{CASE}/pause", ""),
    ("ResumeCase", "POST", "/orgs/{org}/cases/{paused}/resume", ""),
    ("WithdrawCase", "POST", f"{CASE}/withdraw", ""),
    ("AcceptEvictionRequest", "POST", f"{CASE}/eviction-request/accept", ""),
    ("RejectEvictionRequest", "POST", f"{CASE}/eviction-request/reject", ""),
    ("AcceptEvictionConfirmation", "POST", f"{CASE}/eviction-confirmation/accept", ""),
    ("RejectEvictionConfirmation", "POST", f"{CASE}/eviction-confirmation/reject", ""),
    ("LegacyBatch", "GET", LEGACY_BATCH, ""),
    ("CreateLegacyBatch", "POST", f"{LEGACY_BATCH}?senderid=7", ""),
    ("LegacyAttachment", "GET", "/webapi/api/Attachment", ""),
    ("LegacyPing", "GET", "/webapi/api/Ping", ""),
)
VALUES = {
    "SortDirection": "DESC",
    "From": "2019-08-24",
    "To": "2099-08-24T14:15:22.123Z",
    "FromCreatedAt": "2019-08-24",
    "ToCreatedAt": "2099-08-24",
    "fromDate": "2019-08-24",
    "toDate": "2099-08-24",
    "PageToken": "",
    "pageToken": "",
    "PageSize": "2",
    "pageSize": "2",
}


@pytest.fixture
def known(sandbox: SandboxServer) -> dict[str, str]:
    """Make one record of each kind; the case waits for its list to be answered."""
    case = sandbox.control.create_case(subStatus="DEBT_COLLECTION_LIST_MANUAL")
    paused = sandbox.control.create_case(status="PAUSED")
    return {
        "org": ORGANIZATION_ID,
        "case": case["caseId"],
        "paused": paused["caseId"],
        "invoice": case["invoices"][0]["invoiceId"],
        "batch": sandbox.control.register_batch()["batchId"],
        "settlement": sandbox.control.settle(case["caseId"])["settlementId"],
    }


def submission(name: str, known: dict[str, str]) -> Any:
    """Write the body of an operation that needs one."""
    owed = {"invoiceId": known["invoice"], "amount": 1, "currency": "NOK"}
    return {
        "CreateInvoices": {"invoices": [invoice(1)]},
        "CreatePayments": {"payments": [{**owed, "type": "DIRECT_PAYMENT"}]},
        "CreateCorrections": {"corrections": [{**owed, "date": "2026-05-01", "description": "x"}]},
        "CreateLegacyBatch": [{"anything": True}],
    }.get(name)


class TestTable:
    @pytest.mark.parametrize(("name", "method", "path", "query"), TABLE, ids=[r[0] for r in TABLE])
    def test_it_answers_and_is_recorded_under_its_name(
        self,
        sandbox: SandboxServer,
        caller: Caller,
        known: dict[str, str],
        name: str,
        method: str,
        path: str,
        query: str,
    ) -> None:
        """A row's method and path, with its whole query, succeed and are recorded as that row."""
        given = {member: VALUES.get(member, "x") for member in query.split()}
        headers = JSON_PATCH if name == "CreateLegacyBatch" else {}
        answer = caller.client.request(
            method,
            path.format(**known),
            params=given or None,
            json=submission(name, known),
            headers=headers,
        )
        assert answer.status_code == (200 if method == "GET" else 202), answer.text
        [call] = sandbox.control.calls(name)
        assert (call["method"], call["status"]) == (method, answer.status_code)
        assert call["requestId"] == answer.headers["X-Amili-Request-Id"]
        if answer.content:
            assert answer.json()["summary"]["status"] == "SUCCESS"

    def test_there_is_no_operation_beside_the_table(self) -> None:
        """What the sandbox plays and what the contract lists are the same names."""
        assert {row[0] for row in TABLE} | {"Token", "Unknown"} == NAMES


class TestLegacy:
    def test_a_batch_comes_and_is_listed(self, caller: Caller) -> None:
        """A legacy batch ends as SUCCESS without items and is in the legacy list alone."""
        caller.post("/invoices", {"invoices": [invoice(1)]})
        sent = caller.client.post(
            LEGACY_BATCH, params={"senderid": "7"}, json={"any": 1}, headers=JSON_PATCH
        )
        [batch] = caller.client.get(LEGACY_BATCH).json()["data"]
        assert batch["batchId"] == sent.json()["data"]["batchId"]
        assert (batch["type"], batch["status"], batch["succeeded"]) == ("NONE", "SUCCESS", [])

    @pytest.mark.parametrize(
        ("query", "headers", "body"),
        [
            ({}, JSON_PATCH, b"{}"),
            ({"senderid": "7"}, {"Content-Type": "application/json"}, b"{}"),
            ({"senderid": "7"}, JSON_PATCH, b""),
            ({"senderid": "7"}, JSON_PATCH, b"{"),
            ({"senderid": "7", "other": "1"}, JSON_PATCH, b"{}"),
        ],
    )
    def test_another_form_is_refused(
        self, caller: Caller, query: dict[str, str], headers: dict[str, str], body: bytes
    ) -> None:
        """Without sender, content type or body a legacy batch answers 400 and is not kept."""
        answer = caller.client.post(LEGACY_BATCH, params=query, content=body, headers=headers)
        assert answer.status_code == 400
        assert caller.client.get(LEGACY_BATCH).json()["data"] == []


class TestAnswersOfTheCreditor:
    @pytest.mark.parametrize(
        ("was", "path"),
        [
            ("DEBT_COLLECTION_LIST_MANUAL", "debt-collection-list"),
            ("EVICTION_REQUEST", "eviction-request"),
            ("EVICTION_CONFIRMATION", "eviction-confirmation"),
        ],
    )
    @pytest.mark.parametrize("answer", ["accept", "reject"])
    def test_what_waited_for_an_answer_waits_no_more(
        self, sandbox: SandboxServer, caller: Caller, was: str, path: str, answer: str
    ) -> None:
        """Accepting or rejecting takes the case out of its subStatus and says CASE_UPDATED."""
        case = sandbox.control.create_case(subStatus=was)
        assert caller.post(f"/cases/{case['caseId']}/{path}/{answer}").status_code == 202
        [shown] = caller.get("/cases", CaseNumber=case["caseNumber"])["data"]
        assert shown["subStatus"] != was
        assert len(sandbox.control.deliveries("CASE_UPDATED")) == 1

    def test_an_eviction_that_does_not_wait_is_answered_without_change(
        self, sandbox: SandboxServer, caller: Caller
    ) -> None:
        """How an eviction shows is not known, so answering one is no conflict in any case."""
        case = sandbox.control.create_case(subStatus="X")
        path = f"/cases/{case['caseId']}/eviction-request/accept"
        assert caller.post(path).status_code == 202
        assert sandbox.control.get_case(case["caseId"])["case"]["subStatus"] == "X"

    def test_repeating_a_pause_can_be_no_conflict(
        self, sandbox: SandboxServer, caller: Caller
    ) -> None:
        """With the knob off, a second pause and a second resume answer 202 without effect."""
        sandbox.control.set_behaviour(repeats_conflict=False)
        case = sandbox.control.create_case()
        assert [caller.pause(case), caller.pause(case)] == [202, 202]
        assert [caller.resume(case), caller.resume(case)] == [202, 202]
        effects = [call["effect"] for call in sandbox.control.calls(target=case["caseId"])]
        assert effects == ["paused", "none", "resumed", "none"]
        sandbox.control.update_case(case["caseId"], status="CLOSED")
        assert caller.pause(case) == 422


class TestIdempotency:
    def test_unless_it_is_honoured_a_key_changes_nothing(
        self, sandbox: SandboxServer, caller: Caller
    ) -> None:
        """By default a submission sent twice under one key makes two batches."""
        bodies = [caller.post("/invoices", {"invoices": [invoice(1)]}, "k").json() for _ in "ab"]
        assert bodies[0] != bodies[1]
        assert [b["status"] for b in caller.get("/batches")["data"]] == ["SUCCESS", "FAILED"]
        assert [c["isRepeat"] for c in sandbox.control.calls("CreateInvoices")] == [False, False]

    def test_honoured_it_gives_the_first_answer_without_a_second_effect(
        self, sandbox: SandboxServer, caller: Caller
    ) -> None:
        """One key on one operation makes one batch; the record shows both calls."""
        sandbox.control.set_behaviour(honours_idempotency=True)
        bodies = [caller.post("/invoices", {"invoices": [invoice(1)]}, "k").json() for _ in "ab"]
        assert bodies[0] == bodies[1]
        [batch] = caller.get("/batches", IdempotencyKey="k")["data"]
        assert batch["status"] == "SUCCESS"
        calls = sandbox.control.calls("CreateInvoices", batch["batchId"])
        assert [(c["status"], c["effect"], c["isRepeat"]) for c in calls] == [
            (202, "queued", False),
            (202, "none", True),
        ]
        other = caller.post("/invoices", {"invoices": [invoice(2)]}, "another").json()
        assert other["data"]["batchId"] != batch["batchId"]

    def test_it_bridges_an_answer_that_was_lost(
        self, sandbox: SandboxServer, caller: Caller
    ) -> None:
        """A pause whose answer was cut off is answered 202 when it is repeated, not 409."""
        sandbox.control.set_behaviour(honours_idempotency=True)
        case, other = sandbox.control.create_case(), sandbox.control.create_case()
        sandbox.control.add_fault("PauseCase", cut=True, after_effect=True)
        with pytest.raises(httpx2.TransportError):
            caller.pause(case)
        assert caller.pause(case) == 202
        effects = [call["effect"] for call in sandbox.control.calls("PauseCase")]
        assert effects == ["paused", "none"]
        assert caller.pause(other) == 202
        assert caller.status(other) == "PAUSED"

    def test_a_refused_call_is_not_remembered(self, sandbox: SandboxServer, caller: Caller) -> None:
        """A call that had no effect may be tried again under its key."""
        sandbox.control.set_behaviour(honours_idempotency=True)
        assert caller.post("/invoices", {"invoices": []}).status_code == 400
        assert caller.post("/invoices", {"invoices": [invoice(1)]}).status_code == 202


class TestAmounts:
    def pay(self, caller: Caller, owed: dict[str, Any], amount: int) -> dict[str, Any]:
        """Report a payment and return its finished batch."""
        body = {"payments": [{"invoiceId": owed["invoiceId"], "amount": amount}]}
        batch_id = caller.post("/payments", body).json()["data"]["batchId"]
        batch: dict[str, Any] = caller.get(f"/batches/{batch_id}")["data"]
        return batch

    def test_they_can_move_after_the_batch_completed(
        self, sandbox: SandboxServer, caller: Caller, clock: Clock
    ) -> None:
        """A payment's batch is SUCCESS before the case shows it, and CASE_UPDATED comes then."""
        sandbox.control.set_behaviour(amount_delay_seconds=30)
        owed = sandbox.control.create_case(invoices=[{"amount": "100.00"}])["invoices"][0]
        assert self.pay(caller, owed, 60)["status"] == "SUCCESS"
        assert self.amounts(caller) == (0, 100)
        assert sandbox.control.deliveries("CASE_UPDATED") == []
        clock.now += 30
        assert self.amounts(caller) == (60, 40)
        assert len(sandbox.control.deliveries("CASE_UPDATED")) == 1

    def amounts(self, caller: Caller) -> tuple[Any, Any]:
        """Read what is paid and what remains of the only invoice."""
        [case] = caller.get("/cases")["data"]
        [shown] = case["invoices"]
        return shown["paidAmount"], shown["remainingAmount"]

    def test_what_is_promised_cannot_be_promised_again(
        self, sandbox: SandboxServer, caller: Caller, clock: Clock
    ) -> None:
        """A second payment of the same money fails at once; a debtor who pays it comes first."""
        sandbox.control.set_behaviour(amount_delay_seconds=30)
        owed = sandbox.control.create_case(invoices=[{"amount": "100.00"}])["invoices"][0]
        assert self.pay(caller, owed, 60)["status"] == "SUCCESS"
        [failed] = self.pay(caller, owed, 60)["failed"]
        assert failed["errors"][0]["code"] == "NOT_POSSIBLE"
        sandbox.control.pay_invoice(owed["invoiceId"], amount="70.00")
        clock.now += 30
        assert self.amounts(caller) == (70, 30)
        assert self.pay(caller, owed, 30)["status"] == "SUCCESS"

    def test_an_invoice_shows_only_what_is_documented(self, caller: Caller) -> None:
        """Of an invoice by its id nothing is shown behind the last member that anybody read."""
        caller.post("/invoices", {"invoices": [invoice(1)]})
        [shown] = caller.client.get(f"{ORG}/invoices").json()["data"]
        assert list(shown) == [
            *("id", "organization", "invoiceNumber", "collectionCaseNumber"),
            *("type", "status", "createdAt"),
        ]
