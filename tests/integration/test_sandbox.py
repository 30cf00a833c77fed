"""The imitated Amili keeps the contract, and its knobs do what they say.

Other tests rely on it as their oracle, so it has tests of its own, over real sockets.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from decimal import Decimal
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import httpx2
import pytest

from service.sandbox.behaviour import Behaviour
from service.sandbox.courier import AT_ONCE
from service.sandbox.errors import SandboxError
from service.sandbox.harness import SandboxServer
from service.sandbox.server import bind, run
from service.sandbox.world import ORGANIZATION_ID

ORG = f"/orgs/{ORGANIZATION_ID}"
START = 1_780_000_000.0
SECRET = "invented"


class Clock:
    """A clock that stands still until it is moved."""

    def __init__(self) -> None:
        self.now = START

    def __call__(self) -> float:
        return self.now


class Caller:
    """A client of the imitated API that shares none of the product's code."""

    def __init__(self, sandbox: SandboxServer) -> None:
        form = {"grant_type": "client_credentials", "client_id": "c", "client_secret": "s"}
        token = httpx2.post(sandbox.token_url, data=form).json()["access_token"]
        bearer = {"Authorization": f"Bearer {token}"}
        self.client = httpx2.Client(base_url=sandbox.base_url, headers=bearer)

    def get(self, path: str, **query: Any) -> Any:
        answer = self.client.get(ORG + path, params=query)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def post(self, path: str, body: Any = None, key: str = "k") -> httpx2.Response:
        return self.client.post(ORG + path, json=body, headers={"IdempotencyKey": key})

    def pause(self, case: dict[str, Any]) -> int:
        return self.post(f"/cases/{case['caseId']}/pause").status_code

    def resume(self, case: dict[str, Any]) -> int:
        return self.post(f"/cases/{case['caseId']}/resume").status_code

    def status(self, case: dict[str, Any]) -> str:
        found = self.get("/cases", CaseNumber=case["caseNumber"])["data"]
        return str(found[0]["status"]) if found else "absent"


class Received:
    """One webhook as it came over the socket."""

    def __init__(self, headers: Any, raw: bytes) -> None:
        self.headers = {name.lower(): value for name, value in headers.items()}
        self.raw = raw
        self.body: dict[str, Any] = json.loads(raw)

    @property
    def signed(self) -> str:
        return hmac.new(SECRET.encode(), self.raw, hashlib.sha256).hexdigest()


class Endpoint:
    """A user's webhook endpoint: keeps what comes, answers as told (202 when told nothing)."""

    def __init__(self) -> None:
        self.received: list[Received] = []
        self.answers: list[int] = []
        seen = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                raw = self.rfile.read(int(self.headers["Content-Length"]))
                status = seen.answers.pop(0) if seen.answers else 202
                seen.received.append(Received(self.headers, raw))
                self.send_response(status)
                self.send_header("Content-Length", "0")
                self.send_header("Location", "/elsewhere")  # a redirect is not to be followed
                self.end_headers()

            def log_message(self, format: str, *args: Any) -> None:
                pass

        class Server(ThreadingHTTPServer):
            request_queue_size = 128  # else a burst of connections waits for a second SYN

        self.server = Server(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}/webhooks/amili"

    def named(self, word: str) -> list[Received]:
        return [one for one in self.received if one.headers["x-amili-event"] == word]


def until(check: Callable[[], Any], patience: float = 10.0) -> Any:
    """Wait until something is true, and return it; fail when it never is."""
    end = time.monotonic() + patience
    while not (result := check()):
        assert time.monotonic() < end, "it never became true"
        time.sleep(0.005)
    return result


@pytest.fixture
def clock() -> Clock:
    """Give a clock that only the test moves."""
    return Clock()


@pytest.fixture
def sandbox(clock: Clock) -> Iterator[SandboxServer]:
    """Serve an Amili whose batches are worked through at once."""
    quick = Behaviour(batch_delay_seconds=0, webhook_first_pause_seconds=0.01)
    given: Any = {"client_id": "c", "client_secret": "s", "behaviour": quick, "clock": clock}
    with SandboxServer(**given) as server:
        yield server


@pytest.fixture
def caller(sandbox: SandboxServer) -> Iterator[Caller]:
    """Give an authorized client."""
    made = Caller(sandbox)
    with made.client:
        yield made


@pytest.fixture
def endpoint(sandbox: SandboxServer) -> Iterator[Endpoint]:
    """Serve a webhook endpoint and let the sandbox deliver to it."""
    made = Endpoint()
    thread = threading.Thread(target=made.server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    sandbox.control.set_webhook(url=made.url, secret=SECRET)
    yield made
    sandbox.control.set_webhook(url=None)
    made.server.shutdown()
    thread.join()
    made.server.server_close()


def invoice(number: int, **members: Any) -> dict[str, Any]:
    """Write an invoice as it is handed over; everything in it is invented."""
    person = {
        "type": "PRIVATE",
        "firstname": "Test",
        "lastname": "Testesen",
        "customerNumber": f"K{number}",
        "identificationNumber": "00000000000",
    }
    return {
        "type": "PAYMENT_REMINDER",
        "invoiceNumber": f"F{number}",
        "uniqueSourceInvoiceId": f"src-{number}",
        "originalInvoiceAmount": 100,
        "currency": "NOK",
        "debtors": [person],
        "claims": [{"type": "PRINCIPAL", "remainingAmount": 100}],
        **members,
    }


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


class TestSteps:
    def test_pausing_twice_is_a_conflict_and_both_are_recorded(
        self, sandbox: SandboxServer, caller: Caller
    ) -> None:
        """A second pause answers 409; the record shows both calls, one with an effect."""
        case = sandbox.control.create_case()
        reason = {"reason": "dispute"}
        first = caller.post(f"/cases/{case['caseId']}/pause", reason, key="one")
        assert (first.status_code, first.content) == (202, b"")
        assert caller.pause(case) == 409
        assert caller.resume(case) == 202
        assert caller.resume(case) == 409
        calls = sandbox.control.calls("PauseCase", case["caseId"])
        assert [(c["status"], c["effect"]) for c in calls] == [(202, "paused"), (409, "none")]
        assert (calls[0]["idempotencyKey"], calls[0]["body"]) == ("one", reason)

    def test_an_effect_may_come_later_and_conflicts_are_judged_by_it(
        self, sandbox: SandboxServer, caller: Caller, clock: Clock
    ) -> None:
        """A promised pause is not yet seen, but a second one conflicts and a resume follows it."""
        case = sandbox.control.create_case()
        sandbox.control.set_behaviour(effect_delay_seconds=5)
        assert (caller.pause(case), caller.pause(case)) == (202, 409)
        assert caller.status(case) == "OPEN"
        sandbox.control.set_behaviour(effect_delay_seconds=0)
        assert caller.resume(case) == 202
        assert caller.status(case) == "OPEN"
        clock.now += 5
        assert caller.status(case) == "OPEN"
        history = sandbox.control.get_case(case["caseId"])["history"]
        assert [version["status"] for version in history][-2:] == ["PAUSED", "OPEN"]

    def test_somebody_else_can_pause(self, sandbox: SandboxServer, caller: Caller) -> None:
        """A pause by hand is no call of ours, yet our pause then conflicts."""
        case = sandbox.control.create_case()
        sandbox.control.pause_by_hand(case["caseId"])
        assert caller.pause(case) == 409
        sandbox.control.resume_by_hand(case["caseId"])
        assert caller.pause(case) == 202

    def test_the_list_is_accepted_once_and_withdrawing_closes(
        self, sandbox: SandboxServer, caller: Caller
    ) -> None:
        """Accepting needs the manual list; a withdrawn case takes no further step."""
        case = sandbox.control.create_case(subStatus="DEBT_COLLECTION_LIST_MANUAL")
        path = f"/cases/{case['caseId']}"
        assert caller.post(f"{path}/debt-collection-list/accept").status_code == 202
        assert caller.post(f"{path}/debt-collection-list/reject").status_code == 409
        assert caller.post(f"{path}/withdraw").status_code == 202
        assert caller.pause(case) == 422

    def test_an_unknown_path_is_recorded(self, sandbox: SandboxServer, caller: Caller) -> None:
        """A call that no operation takes answers 404 and stands in the record."""
        assert caller.client.post(f"{ORG}/cases/x/pauze").status_code == 404
        assert sandbox.control.calls("Unknown")[0]["path"].endswith("/cases/x/pauze")


class TestFaults:
    def test_a_status_strikes_as_often_as_ordered(
        self, sandbox: SandboxServer, caller: Caller
    ) -> None:
        """A fault of two times answers its status twice, without effect, then no more."""
        case = sandbox.control.create_case()
        sandbox.control.add_fault("PauseCase", status=429, retry_after=7, times=2)
        answer = caller.post(f"/cases/{case['caseId']}/pause")
        assert (answer.status_code, answer.headers["Retry-After"]) == (429, "7")
        assert (caller.pause(case), caller.pause(case)) == (429, 202)
        effects = [call["effect"] for call in sandbox.control.calls("PauseCase")]
        assert effects == ["none", "none", "paused"]

    @pytest.mark.parametrize(
        ("after_effect", "status", "effect"), [(False, "OPEN", "none"), (True, "PAUSED", "paused")]
    )
    def test_a_cut_connection_has_an_effect_or_none(
        self, sandbox: SandboxServer, caller: Caller, after_effect: bool, status: str, effect: str
    ) -> None:
        """The caller sees no answer in both cases; only the record tells them apart."""
        case = sandbox.control.create_case()
        sandbox.control.add_fault("PauseCase", cut=True, after_effect=after_effect)
        with pytest.raises(httpx2.TransportError):
            caller.pause(case)
        [call] = sandbox.control.calls("PauseCase")
        assert (call["status"], call["effect"]) == (None, effect)
        assert caller.status(case) == status

    def test_an_error_after_the_effect(self, sandbox: SandboxServer, caller: Caller) -> None:
        """A 502 can hide a pause that took place, and its body is not JSON."""
        case = sandbox.control.create_case()
        sandbox.control.add_fault(status=502, after_effect=True, target=case["caseId"])
        answer = caller.post(f"/cases/{case['caseId']}/pause")
        assert (answer.status_code, answer.text[:6]) == (502, "<html>")
        assert caller.status(case) == "PAUSED"

    def test_a_rate_strikes_some_calls_and_the_same_ones_for_a_seed(
        self, sandbox: SandboxServer, caller: Caller
    ) -> None:
        """Rate faults follow the seed, so that a run can be repeated."""
        rows = []
        for _ in range(2):
            sandbox.control.reset()
            sandbox.control.add_fault("GetCasesByOrganization", status=500, rate=0.5)
            rows.append([caller.client.get(f"{ORG}/cases").status_code for _ in range(20)])
        assert rows[0] == rows[1]
        assert set(rows[0]) == {200, 500}

    @pytest.mark.parametrize(
        "members", [{"operation": "Pause"}, {"operation": "PauseCase"}, {"status": 200}]
    )
    def test_a_fault_that_cannot_strike_is_refused(
        self, sandbox: SandboxServer, members: dict[str, Any]
    ) -> None:
        """An unknown operation, a fault without harm and a success are no faults."""
        answer = httpx2.post(f"{sandbox.control_url}/faults", json=members)
        assert answer.status_code == 400


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


class TestControl:
    def test_every_hand_works_over_http(self, sandbox: SandboxServer, clock: Clock) -> None:
        """The control API does over HTTP what the Python hand does, with money as numbers."""
        with httpx2.Client(base_url=sandbox.control_url) as hand:
            case = hand.post("/cases", json={"invoices": [{"amount": "80.00"}]}).json()
            path, owed = f"/cases/{case['caseId']}", case["invoices"][0]["invoiceId"]
            assert hand.post(f"{path}/pause").json()["status"] == "PAUSED"
            assert hand.post(f"{path}/resume").json()["status"] == "OPEN"
            assert hand.patch(path, json={"description": "new"}).json()["description"] == "new"
            patch = {"invoices": [{"invoiceId": owed, "remainingAmount": 70}]}
            assert hand.patch(path, json=patch).json()["invoices"][0]["remainingAmount"] == 70
            assert hand.patch(path, json={"type": "X", "webhook": False}).json()["type"] == "X"
            assert '"totalAmount":5.50' in hand.post(f"{path}/settle", json={"amount": "5.50"}).text
            assert hand.post(f"/invoices/{owed}/pay", json={}).json()["status"] == "CLOSED"
            turned = hand.patch("/behaviour", json={"read_lag_seconds": 1.5, "duplicates": 2})
            assert turned.json()["read_lag_seconds"] == 1.5
            assert hand.patch("/webhook", json={"secret": "x"}).json()["hasSecret"] is True
            assert hand.get("/health").json()["cases"] == 1
            said = hand.get("/deliveries", params={"event": "CASE_UPDATED"}).json()
            fields = [json.loads(one["body"])["data"]["fields"] for one in said]
            assert fields == [
                *(["status"], ["status"], ["description"]),
                *(["amounts"], ["amounts", "status"]),
            ]
            hand.post("/reset")
            assert hand.get("/health").json()["cases"] == 0
            assert hand.get("/behaviour").json()["duplicates"] == 1

    def test_a_batch_can_be_finished_by_hand(self, sandbox: SandboxServer, caller: Caller) -> None:
        """A registered batch waits for its hand, and can fail an invoice that exists."""
        owed = sandbox.control.create_case()["invoices"][0]
        batch = sandbox.control.register_batch(type="INVOICE")
        failed = [{"invoiceId": owed["invoiceId"], "invoiceNumber": owed["invoiceNumber"]}]
        done = sandbox.control.complete_batch(batch["batchId"], failed=failed)
        assert (done["status"], done["failed"]) == ("FAILED", failed)
        assert caller.get(f"/batches/{batch['batchId']}")["data"] == done
        with pytest.raises(SandboxError):
            sandbox.control.complete_batch(batch["batchId"])

    @pytest.mark.parametrize(
        ("method", "path", "body"),
        [
            ("PATCH", "/behaviour", {"speed": 1}),
            ("PATCH", "/behaviour", {"duplicates": 0}),
            ("PATCH", "/behaviour", {"reorder": 1}),
            ("POST", "/cases/unknown/pause", {}),
            ("POST", "/cases", {"invoices": [{"amount": "much"}]}),
            ("POST", "/cases", {"caseId": "chosen"}),
            ("PATCH", "/webhook", {"url": "nowhere"}),
            ("PATCH", "/webhook", {"address": "http://127.0.0.1/"}),
            ("POST", "/events", {}),
            ("POST", "/cases", []),
        ],
    )
    def test_a_mistake_is_told(
        self, sandbox: SandboxServer, method: str, path: str, body: Any
    ) -> None:
        """A control call that cannot be done answers 400 with one line, and changes nothing."""
        answer = httpx2.request(method, sandbox.control_url + path, json=body)
        assert answer.status_code == 400
        assert answer.json()["error"]
        assert sandbox.control.deliveries() == []

    def test_floats_are_no_money(self, sandbox: SandboxServer) -> None:
        """A float in Python has lost digits already, so it is refused."""
        with pytest.raises(ValueError, match="no amount"):
            sandbox.control.create_case(invoices=[{"amount": 0.1}])


class TestServing:
    def test_a_taken_port_is_one_clear_line(self) -> None:
        """Starting on a taken port raises the sandbox's own error and names the port."""
        with bind("127.0.0.1", 0) as taken:
            port = taken.getsockname()[1]
            with pytest.raises(SandboxError, match=f"port {port}"):
                run("127.0.0.1", port, client_id="c", client_secret="s")

    def test_only_loopback_is_served(self) -> None:
        """An address that others can reach is refused before any socket is opened."""
        with pytest.raises(SandboxError, match="loopback"):
            bind("0.0.0.0", 0)  # noqa: S104 - that is the mistake
