"""Every operation of Amili's over a real socket against the sandbox, the second witness."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from decimal import Decimal
from typing import Any

import pytest

from service.amili.client import AmiliClient, TokenKeeper
from service.amili.contract import Contract
from service.amili.operations import CASE_OPERATIONS, OPERATIONS, Operation
from service.amili.requests import NewCorrection, NewInvoice, NewPayment
from service.amili.resources import Fetched
from service.errors import Conflict, Invalid, ProviderUnreachable
from service.sandbox import operations as played
from service.sandbox.behaviour import Behaviour
from service.sandbox.harness import SandboxServer
from service.sandbox.world import ORGANIZATION_ID
from service.settings import Settings
from service.telemetry.metrics import Metrics
from tests.amili_calls import CALLS, KEY, Ids, items

#: What a case must be like before it can be asked for this.
NEEDS: dict[str, dict[str, str]] = {
    "ResumeCase": {"status": "PAUSED"},
    "AcceptDebtCollectionList": {"subStatus": "DEBT_COLLECTION_LIST_MANUAL"},
    "RejectDebtCollectionList": {"subStatus": "DEBT_COLLECTION_LIST_MANUAL"},
    "AcceptEvictionRequest": {"subStatus": "EVICTION_REQUEST"},
    "RejectEvictionRequest": {"subStatus": "EVICTION_REQUEST"},
    "AcceptEvictionConfirmation": {"subStatus": "EVICTION_CONFIRMATION"},
    "RejectEvictionConfirmation": {"subStatus": "EVICTION_CONFIRMATION"},
}
#: Reads whose filters would have to fit what the sandbox made up.
FILTERED = {
    "GetBatchesByOrganization": "get_batches_by_organization",
    "GetInvoicesByOrganization": "get_invoices_by_organization",
    "GetCasesByOrganization": "get_cases_by_organization",
    "GetSettlements": "get_settlements",
}
Act = Callable[[AmiliClient, SandboxServer], Awaitable[None]]


def play(act: Act) -> None:
    """Let a client act against a sandbox that works batches at once."""

    async def scene(sandbox: SandboxServer) -> None:
        settings = Settings(
            api_base_url=sandbox.base_url,
            token_url=sandbox.token_url,
            client_id="c",
            client_secret="s",
        )
        tokens = TokenKeeper(settings)
        async with AmiliClient(settings, Contract(), Metrics(), tokens) as client:
            await act(client, sandbox)

    behaviour = Behaviour(batch_delay_seconds=0, effect_delay_seconds=0)
    with SandboxServer(client_id="c", client_secret="s", behaviour=behaviour) as sandbox:
        asyncio.run(scene(sandbox))


def played_name(operation: Operation) -> str:
    """Name an operation as the sandbox does."""
    (name,) = {
        each.name
        for each in played.OPERATIONS
        if (each.method, each.path) == (operation.method, operation.path)
    }
    return name


async def furnish(client: AmiliClient, sandbox: SandboxServer, operation: Operation) -> Ids:
    """Have one of everything at Amili, the case ready for what is asked of it."""
    given = {"customerNumber": "K9", "invoices": [{"amount": "4500.00"}]}
    case: dict[str, Any] = sandbox.control.create_case(**given, **NEEDS.get(operation.name, {}))
    invoice = case["invoices"][0]["invoiceId"]
    settlement = sandbox.control.settle(case["caseId"], amount="10.00")
    rows = [{**item, "uniqueSourceInvoiceId": "s", "invoiceNumber": "n"} for item in invoices()]
    models = [NewInvoice.model_validate(row) for row in rows]
    created = await client.create_invoices(ORGANIZATION_ID, models, idempotency_key="first")
    return Ids(
        ORGANIZATION_ID,
        created.value.batch_id,
        invoice,
        case["caseId"],
        str(settlement["settlementId"]),
    )


def invoices() -> list[Any]:
    """Take the sample's invoices."""
    return items("CreateInvoices")


@pytest.mark.parametrize("operation", OPERATIONS, ids=lambda each: each.name)
def test_the_sandbox_takes_each_operation(operation: Operation) -> None:
    """The two witnesses of the contract agree on method, path, query, headers and body."""

    async def act(client: AmiliClient, sandbox: SandboxServer) -> None:
        ids = await furnish(client, sandbox, operation)
        before = len(sandbox.control.calls(played_name(operation)))
        brought = await CALLS[operation.name](client, ids)
        calls = sandbox.control.calls(played_name(operation))[before:]
        assert [call["status"] for call in calls] == [202 if operation.method == "POST" else 200]
        if operation.method == "POST":
            assert calls[0]["idempotencyKey"] == KEY
        if name := FILTERED.get(operation.name):  # the filters let nothing through
            listed = [each async for each in getattr(client, name)(ORGANIZATION_ID)]
            assert len(listed) >= 1
        elif operation.label not in CASE_OPERATIONS:
            assert len(brought) == 1

    play(act)


def test_what_is_handed_over_is_read_back() -> None:
    """Invoices, then a payment and a correction: amounts arrive to the last digit."""

    async def act(client: AmiliClient, sandbox: SandboxServer) -> None:
        model = NewInvoice.model_validate(invoices()[0])
        created = await client.create_invoices(ORGANIZATION_ID, [model], idempotency_key="k-1")
        batch = (await client.get_batch_by_id(ORGANIZATION_ID, created.value.batch_id)).value
        assert batch.status == "SUCCESS"
        invoice_id = str(batch.succeeded[0].invoice_id)
        assert (created.value.batch_url or "").endswith(f"/batches/{batch.batch_id}")
        more = {"invoiceId": invoice_id, "currency": "NOK"}
        paid = NewPayment.model_validate(
            {**more, "type": "DIRECT_PAYMENT", "amount": Decimal("1000.010")}
        )
        await client.create_payments(ORGANIZATION_ID, [paid], idempotency_key="k-2")
        credited = NewCorrection.model_validate(
            {**more, "amount": Decimal("0.99"), "date": "2026-05-02"}
        )
        await client.create_corrections(ORGANIZATION_ID, [credited], idempotency_key="k-3")
        case_number = str(batch.succeeded[0].case_number)
        case = (await client.find_case(ORGANIZATION_ID, case_number)).value
        amounts = case.invoices[0]
        assert amounts.paid_amount == Decimal("1000.01")
        assert amounts.credited_amount == Decimal("0.99")
        assert amounts.remaining_amount == Decimal("3499.00")

    play(act)


def test_lists_are_walked_to_their_end() -> None:
    """Each list comes whole, whatever the size of its pages."""

    async def act(client: AmiliClient, sandbox: SandboxServer) -> None:
        for n in range(5):
            case = sandbox.control.create_case(customerNumber=f"K{n}")
            sandbox.control.settle(case["caseId"], amount="1.00")
            sandbox.control.register_batch(organizationId=ORGANIZATION_ID, type="INVOICE")
        sandbox.control.set_behaviour(page_size=2)
        listed: list[AsyncIterator[Fetched[Any]]] = [
            client.get_batches_by_organization(ORGANIZATION_ID, page_size=2),
            client.get_invoices_by_organization(ORGANIZATION_ID),
            client.get_cases_by_organization(ORGANIZATION_ID, page_size=2),
            client.get_settlements(ORGANIZATION_ID, page_size=2),
        ]
        for records in listed:
            raws = [record.raw async for record in records]
            assert len(set(raws)) == len(raws) == 5
        for name in FILTERED:
            assert len(sandbox.control.calls(name)) == 3

    play(act)


def test_an_error_that_repeats_the_request_tells_nobody() -> None:
    """Amili may echo what we sent: neither the error's text nor its kept body names a person."""

    async def act(client: AmiliClient, sandbox: SandboxServer) -> None:
        sandbox.control.add_fault("CreateInvoices", status=422, body="echo")
        model = NewInvoice.model_validate(invoices()[0])
        with pytest.raises(Invalid) as caught:
            await client.create_invoices(ORGANIZATION_ID, [model], idempotency_key="k-1")
        for text in (str(caught.value), repr(caught.value), caught.value.body):
            for word in ("Kari", "Oppdiktet", "00000000000", "kari@example.no", "Storgata"):
                assert word not in text

    play(act)


@pytest.mark.parametrize("fault", [{"cut": True}, {"cut_midway": True}, {"status": 502}])
def test_a_submission_whose_answer_is_lost_is_sent_once(fault: dict[str, Any]) -> None:
    """The effect is there, the answer is not: the error says that it may have happened."""

    async def act(client: AmiliClient, sandbox: SandboxServer) -> None:
        sandbox.control.add_fault("CreateInvoices", after_effect=True, **fault)
        model = NewInvoice.model_validate(invoices()[0])
        with pytest.raises(ProviderUnreachable) as caught:
            await client.create_invoices(ORGANIZATION_ID, [model], idempotency_key="k-1")
        assert caught.value.may_have_happened
        assert len(sandbox.control.calls("CreateInvoices")) == 1
        found = client.get_batches_by_organization(ORGANIZATION_ID, idempotency_key="k-1")
        assert [batch.value.status async for batch in found] == ["SUCCESS"]

    play(act)


def test_a_second_pause_conflicts() -> None:
    """409 is the caller's to judge: a case that is paused is not paused again."""

    async def act(client: AmiliClient, sandbox: SandboxServer) -> None:
        case_id = sandbox.control.create_case(status="PAUSED")["caseId"]
        with pytest.raises(Conflict):
            await client.pause_case(ORGANIZATION_ID, case_id, idempotency_key="k-1")

    play(act)
