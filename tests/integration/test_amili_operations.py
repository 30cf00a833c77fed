"""Every operation of Amili's over a real socket: against recorded samples, and every status."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

import pytest
from aiohttp import web

from service.amili.client import AmiliClient, Purpose, TokenKeeper
from service.amili.client.wire import Answer, Request
from service.amili.contract import Contract
from service.amili.operations import OPERATIONS, Operation
from service.amili.requests import NewPayment
from service.errors import (
    Conflict,
    Invalid,
    NotFound,
    ProviderBusy,
    ProviderDenied,
    ProviderError,
    ProviderRefused,
    ProviderUnreachable,
)
from service.settings import Settings
from service.telemetry.metrics import Metrics
from tests.amili_calls import CALLS, KEY, Ids, exact, exchanges, written

#: Every status that Amili documents [seed, doc] and that is no success.
REFUSALS: dict[int, type[ProviderError]] = {
    400: Invalid,
    401: ProviderDenied,
    403: ProviderDenied,
    404: NotFound,
    409: Conflict,
    422: Invalid,
    423: ProviderBusy,
    429: ProviderBusy,
    500: ProviderUnreachable,
    501: ProviderRefused,
    502: ProviderUnreachable,
    503: ProviderUnreachable,
}
PERSON = {
    "firstname": "Kari",
    "lastName": "Oppdiktet",
    "identificationNumber": "01019012345",
    "emails": [{"value": "kari@example.no"}],
}
#: An error as nobody wants it: it repeats what it was told about a person.
LEAKING = {
    "errors": [{"code": "E1", "message": "01019012345 or kari@example.no", "debtor": PERSON}],
    "debtors": [PERSON],
}
PERSONAL = ("Kari", "Oppdiktet", "01019012345", "kari@example")


def each_of(operations: Iterable[Operation]) -> pytest.MarkDecorator:
    """Run a test for each of these operations."""
    return pytest.mark.parametrize("operation", list(operations), ids=lambda each: each.name)


every_operation = each_of(OPERATIONS)
every_post = each_of(each for each in OPERATIONS if each.method == "POST")
every_assumed_path = each_of(each for each in OPERATIONS if each.setting is not None)


@dataclass
class Recorder:
    """A loopback Amili that answers as it is told, and keeps what it was asked."""

    answers: list[web.Response] = field(default_factory=list)
    asked: list[web.Request] = field(default_factory=list)
    bodies: list[bytes] = field(default_factory=list)

    async def token(self, _: web.Request) -> web.Response:
        return web.json_response({"access_token": "t-1", "expires_in": 3600})

    async def api(self, request: web.Request) -> web.Response:
        self.asked.append(request)
        self.bodies.append(await request.read())
        return self.answers.pop(0)


def play(
    act: Callable[[AmiliClient, Recorder], Awaitable[None]], contract: Contract | None = None
) -> Recorder:
    """Let a client act against a recorder."""
    recorder = Recorder()

    async def scene() -> None:
        app = web.Application()
        app.router.add_post("/token", recorder.token)
        app.router.add_route("*", "/{path:.*}", recorder.api)
        runner = web.AppRunner(app, shutdown_timeout=0.1)
        await runner.setup()
        try:
            await web.TCPSite(runner, "127.0.0.1", 0).start()
            host, port = runner.addresses[0][:2]
            settings = Settings(
                api_base_url=f"http://{host}:{port}/collection/v1",
                token_url=f"http://{host}:{port}/token",
                client_id="me",
                client_secret="secret",
            )
            tokens = TokenKeeper(settings)
            client = AmiliClient(settings, contract or Contract(), Metrics(), tokens)
            async with client:
                await act(client, recorder)
        finally:
            await runner.cleanup()

    asyncio.run(scene())
    return recorder


def answer(recorded: dict[str, Any], status: int | None = None) -> web.Response:
    """Make the recorded answer."""
    text = written(recorded["body"]) if "body" in recorded else None
    return web.Response(
        status=status or recorded["status"], text=text, content_type="application/json"
    )


def records(recorded: list[dict[str, Any]]) -> list[Any]:
    """Take the records out of recorded answers, numbers as text with their scale."""
    found: list[Any] = []
    for exchange in recorded:
        body = exact(written(exchange["answer"].get("body")))
        is_envelope = isinstance(body, dict) and "data" in body
        data = body["data"] if is_envelope else body
        found += data if is_envelope and isinstance(data, list) else [data]
    return found


class TestSamples:
    """Each operation against what was recorded of it."""

    @every_operation
    def test_request_and_answer_are_as_recorded(self, operation: Operation) -> None:
        """Method, path, query, headers and body; every member of the answer with its scale."""
        recorded = exchanges(operation.name)

        async def act(client: AmiliClient, amili: Recorder) -> None:
            amili.answers = [answer(exchange["answer"]) for exchange in recorded]
            brought = await CALLS[operation.name](client, Ids())
            if brought:  # an operation on a case brings nothing
                assert [exact(each.raw) for each in brought] == records(recorded)

        amili = play(act)
        assert len(amili.asked) == len(recorded)
        for asked, body, exchange in zip(amili.asked, amili.bodies, recorded, strict=True):
            wanted = exchange["request"]
            assert (asked.method, asked.path) == (wanted["method"], wanted["path"])
            assert dict(asked.query) == wanted["query"]
            assert asked.headers["Authorization"] == "Bearer t-1"
            if wanted["method"] == "POST":
                assert exact(body) == exact(written(wanted["body"]))
                for name, text in wanted["headers"].items():
                    assert asked.headers[name] == text
            else:
                assert body == b""
                assert "IdempotencyKey" not in asked.headers

    @every_operation
    @pytest.mark.parametrize("status", [200, 202])
    def test_both_successes_are_success(self, operation: Operation, status: int) -> None:
        """200 and 202 are read alike, whichever of them was documented for the operation."""
        recorded = exchanges(operation.name)

        async def act(client: AmiliClient, amili: Recorder) -> None:
            amili.answers = [answer(exchange["answer"], status) for exchange in recorded]
            brought = await CALLS[operation.name](client, Ids())
            if brought:
                assert len(brought) == len(records(recorded))

        play(act)


@every_operation
def test_each_status_is_its_error(operation: Operation) -> None:
    """The right class, with operation, status and request id in its text, and nobody's data."""

    async def act(client: AmiliClient, amili: Recorder) -> None:
        for status, kind in REFUSALS.items():
            headers = {"X-Amili-Request-Id": f"req-{status}", "Retry-After": "0"}
            amili.answers = [
                web.json_response(LEAKING, status=status, headers=headers) for _ in range(3)
            ]
            with pytest.raises(ProviderError) as caught:
                await CALLS[operation.name](client, Ids())
            error = caught.value
            assert type(error) is kind
            assert error.status == status
            assert f"(HTTP {status}) [request req-{status}]" in str(error)
            assert str(error).startswith(f"{operation.label}: ")
            assert "E1" in error.body
            for text in (str(error), repr(error), error.body):
                assert not [word for word in PERSONAL if word in text]

    play(act)


@every_post
def test_a_post_is_never_repeated_after_an_answer(operation: Operation) -> None:
    """Whatever a POST is answered, it is sent once; a 401's second try carries the same key."""

    async def act(client: AmiliClient, amili: Recorder) -> None:
        for status in REFUSALS:
            amili.asked.clear()
            amili.answers = [
                web.Response(status=status, headers={"Retry-After": "0"}) for _ in range(3)
            ]
            with pytest.raises(ProviderError):
                await CALLS[operation.name](client, Ids())
            assert len(amili.asked) == (2 if status == 401 else 1)
            assert {request.headers["IdempotencyKey"] for request in amili.asked} == {KEY}

    play(act)


class TestReplaced:
    """What is assumed, replaced by settings."""

    @every_assumed_path
    def test_each_assumed_path(self, operation: Operation) -> None:
        """A path of the contract goes into the call, its ids where it wants them."""
        template = "/else" if operation.is_legacy else "/else/{caseId}/of/{organizationId}"
        contract = Contract.model_validate({str(operation.setting): template})

        async def act(client: AmiliClient, amili: Recorder) -> None:
            amili.answers = [answer(exchanges(operation.name)[0]["answer"])]
            await CALLS[operation.name](client, Ids())

        end = "/else" if operation.is_legacy else "/else/c-1/of/o-1"
        assert [asked.path for asked in play(act, contract).asked] == [f"/collection/v1{end}"]

    def test_assumed_members(self) -> None:
        """The members of a case operation and of a payment are called as the contract says."""
        contract = Contract(
            case_reason_member="code",
            case_comment_member="text",
            payment_date_member="paidAt",
            payment_reference_member="ref",
        )

        async def act(client: AmiliClient, amili: Recorder) -> None:
            amili.answers = [
                answer(exchanges(name)[0]["answer"]) for name in ("PauseCase", "CreatePayments")
            ]
            await CALLS["PauseCase"](client, Ids())
            await CALLS["CreatePayments"](client, Ids())

        paused, paid = (exact(body) for body in play(act, contract).bodies)
        assert paused == {"code": "dispute", "text": "asked by phone"}
        payment = paid["payments"][0]
        assert (payment["paidAt"], payment["ref"]) == ("2026-05-02", "bank 17")
        assert not {"paymentDate", "reference"} & set(payment)

    def test_the_legacy_base(self) -> None:
        """The legacy operations go to their own base where one is set; the others do not."""

        async def act(client: AmiliClient, amili: Recorder) -> None:
            amili.answers = [answer(exchanges("GetInvoiceById")[0]["answer"])]
            await CALLS["GetInvoiceById"](client, Ids())
            with pytest.raises(ProviderUnreachable):
                await CALLS["LegacyPing"](client, Ids())

        # Nobody listens on port 1.
        amili = play(act, Contract(legacy_base_url="http://127.0.0.1:1"))
        assert [asked.path for asked in amili.asked] == ["/collection/v1/orgs/o-1/invoices/i-1"]


def test_nothing_is_handed_over_as_nothing() -> None:
    """An empty submission is refused before it is sent."""

    async def act(client: AmiliClient, _: Recorder) -> None:
        none: list[NewPayment] = []
        with pytest.raises(Invalid, match="create_payments: there is nothing to hand over"):
            await client.create_payments("o-1", none, idempotency_key=KEY)

    assert play(act).asked == []


def purposes(client: AmiliClient, monkeypatch: pytest.MonkeyPatch) -> list[Purpose]:
    """List what calls are for, from now on."""
    seen: list[Purpose] = []
    call = client._transport.call

    async def note(request: Request) -> Answer:
        seen.append(request.purpose)
        return await call(request)

    monkeypatch.setattr(client._transport, "call", note)
    return seen


@every_operation
def test_each_call_says_what_it_is_for(
    operation: Operation, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Reads are fetches, or what the view is for; steps of a case go first of all."""
    of_posts = Purpose.FOLLOW_UP if "{caseId}" in operation.path else Purpose.SUBMISSION
    is_read = operation.method == "GET"

    async def act(client: AmiliClient, amili: Recorder) -> None:
        seen = purposes(client, monkeypatch)
        view = client.at(Purpose.BACKFILL)
        for each, of_reads in ((view, Purpose.BACKFILL), (client, Purpose.FETCH)):
            recorded = exchanges(operation.name)
            amili.answers = [answer(exchange["answer"]) for exchange in recorded]
            await CALLS[operation.name](each, Ids())
            assert set(seen) == {of_reads if is_read else of_posts}
            seen.clear()

    play(act)
