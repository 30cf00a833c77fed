"""The imitated Amili stays usable with ten thousand invoices: indexed, and bounded in memory."""

from __future__ import annotations

import json
from typing import Any

import pytest

from service.sandbox import pages, tables
from service.sandbox.harness import SandboxServer
from tests.integration.sandbox.played import Caller, invoice

#: Far more than a filtered read may look at.
MANY = 1000


@pytest.fixture
def full(sandbox: SandboxServer, caller: Caller) -> SandboxServer:
    """Hand over many invoices, every tenth to the same debtor."""
    items = [invoice(n, debtors=invoice(0 if n % 10 == 0 else n)["debtors"]) for n in range(MANY)]
    assert caller.post("/invoices", {"invoices": items}, "first").status_code == 202
    assert caller.get("/batches", IdempotencyKey="first")["data"][0]["status"] == "SUCCESS"
    return sandbox


class TestFilters:
    @pytest.mark.parametrize(
        ("path", "query", "found"),
        [
            ("/invoices", {"UniqueSourceInvoiceId": "src-7"}, 1),
            ("/invoices", {"InvoiceNumber": "F999"}, 1),
            ("/invoices", {"CustomerNumber": "K0"}, 100),
            ("/cases", {"UniqueSourceInvoiceId": "src-990"}, 1),
            ("/cases", {"CustomerNumber": "K999"}, 1),
            ("/cases", {"CustomerNumber": "nobody"}, 0),
            ("/batches", {"IdempotencyKey": "first"}, 1),
            ("/batches", {"IdempotencyKey": "none", "SortDirection": "DESC"}, 0),
        ],
    )
    def test_a_filtered_read_looks_at_nothing_else(
        self,
        full: SandboxServer,
        caller: Caller,
        monkeypatch: pytest.MonkeyPatch,
        path: str,
        query: dict[str, str],
        found: int,
    ) -> None:
        """A read with an indexed filter never walks its table, and finds what a walk would."""

        def walk(*_: Any, **__: Any) -> Any:
            raise AssertionError("the whole table was walked")

        monkeypatch.setattr(tables.Table, "walk", walk)
        assert len(caller.get(path, **query)["data"]) == found

    def test_the_longest_page_is_bounded(self, full: SandboxServer, caller: Caller) -> None:
        """A page is never longer than its bound, however many match."""
        size = {"PageSize": pages.LONGEST_PAGE + 1}
        assert caller.client.get("/orgs/x/cases", params=size).status_code == 400


class TestMemory:
    def test_one_case_may_hold_many_invoices(self, full: SandboxServer, caller: Caller) -> None:
        """All invoices of a debtor stand in one case, in order, and each version knows its own."""
        [case] = caller.get("/cases", CustomerNumber="K0")["data"]
        numbers = [one["invoiceNumber"] for one in case["invoices"]]
        assert numbers == [f"F{number}" for number in range(0, MANY, 10)]

    def test_a_large_body_is_recorded_as_it_came(self, full: SandboxServer, caller: Caller) -> None:
        """A submission of a thousand invoices stands in the record with all of them."""
        [call] = full.control.calls("CreateInvoices")
        assert call["bodyBytes"] > MANY * 100
        assert [one["invoiceNumber"] for one in call["body"]["invoices"]][-1] == f"F{MANY - 1}"

    def test_the_record_forgets_large_bodies_before_calls(
        self, sandbox: SandboxServer, caller: Caller
    ) -> None:
        """Beyond its bytes the oldest large body goes; its call, with its length, stays."""
        body = {"invoices": [invoice(n) for n in range(20)]}
        size = len(json.dumps(body, separators=(",", ":")))
        sandbox.control.set_behaviour(journal_body_bytes=size * 2)
        for _ in range(3):
            caller.post("/invoices", body)
        calls = sandbox.control.calls("CreateInvoices")
        assert [call["body"] is None for call in calls] == [True, False, False]
        assert {call["bodyBytes"] for call in calls} == {size}

    def test_the_oldest_calls_and_webhooks_are_forgotten_and_counted(
        self, sandbox: SandboxServer, caller: Caller
    ) -> None:
        """Beyond their bounds calls and settled webhooks are dropped, and health says how many."""
        sandbox.control.set_behaviour(journal_calls=2, deliveries_kept=3)
        made = [sandbox.control.create_case() for _ in range(5)]
        for case in made[:3]:
            caller.pause(case)
        assert [c["target"] for c in sandbox.control.calls()] == [c["caseId"] for c in made[1:3]]
        assert len(sandbox.control.deliveries()) == 3
        told = caller.client.get(f"{sandbox.control_url}/health").json()["forgotten"]
        # The token's call is the fourth; five cases and three pauses made eight webhooks.
        assert told == {"calls": 2, "bodies": 0, "deliveries": 5}
