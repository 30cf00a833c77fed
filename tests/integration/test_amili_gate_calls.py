"""Calls through the gate, over real sockets to the sandbox: what Amili sees of all this."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import AsyncIterator, Coroutine, Iterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from service.amili.client import AmiliClient, CaseTarget, Purpose, Remark, TokenKeeper, open_gate
from service.amili.contract import Contract
from service.amili.requests import NewPayment
from service.embedded import EmbeddedRedis
from service.errors import CircuitOpen, ProviderBusy, ProviderError, ProviderUnreachable
from service.redis import connect_async
from service.sandbox.harness import SandboxServer
from service.sandbox.journal import Call
from service.sandbox.world import ORGANIZATION_ID
from service.settings import Settings
from service.telemetry.metrics import Metrics
from tests.amili_calls import items

READ = "GetCasesByOrganization"
PAUSE = "PauseCase"
SUBMIT = "CreatePayments"


@pytest.fixture
def amili() -> Iterator[SandboxServer]:
    """Serve an Amili on the real clock."""
    with SandboxServer(client_id="c", client_secret="s") as server:
        yield server


@asynccontextmanager
async def client_of(
    amili: SandboxServer, redis_url: str, metrics: Metrics | None = None, **given: Any
) -> AsyncIterator[AmiliClient]:
    """Open a client as a worker process does."""
    settings = Settings(
        api_base_url=amili.base_url,
        token_url=amili.token_url,
        client_id="c",
        client_secret="s",
        **{"api_timeout_seconds": 5, **given},
    )
    shared, counts = connect_async(redis_url), metrics or Metrics()
    try:
        async with (
            open_gate(settings, shared, counts) as gate,
            AmiliClient(settings, Contract(), counts, TokenKeeper(settings, shared), gate) as made,
        ):
            yield made
    finally:
        await shared.aclose()


def run(scene: Coroutine[Any, Any, None], seconds: float = 60) -> None:
    """Run a scene, bounded against hanging."""
    asyncio.run(asyncio.wait_for(scene, seconds))


async def pause(client: AmiliClient, case: Any, **given: Any) -> None:
    """Pause a case, once."""
    target = CaseTarget(ORGANIZATION_ID, case["caseId"])
    await client.operate_on_case("pause_case", target, Remark("dispute"), "key", **given)


async def read(client: AmiliClient, case: Any) -> None:
    """Read a case."""
    await client.find_case(ORGANIZATION_ID, str(case["caseNumber"]))


def calls(amili: SandboxServer, operation: str) -> list[Call]:
    """List the calls of an operation that came."""
    return amili.control.calls(operation)


async def pause_in_a_backfill(amili: SandboxServer, redis_url: str, many: int) -> tuple[int, float]:
    """Pause a case in the midst of a backfill; return the reads that came between, and seconds."""
    case = amili.control.create_case()
    async with (
        client_of(amili, redis_url, api_rate=20) as one,
        client_of(amili, redis_url, api_rate=20) as two,
    ):
        tasks = [asyncio.create_task(read(one.at(Purpose.BACKFILL), case)) for _ in range(many)]
        while len(calls(amili, READ)) < 30:
            await asyncio.sleep(0.01)
        before, began = len(calls(amili, READ)), time.monotonic()
        await pause(two, case)
        took = time.monotonic() - began
        names = [call["operation"] for call in amili.control.calls()]
        for task in tasks:
            task.cancel()
        ended = await asyncio.gather(*tasks, return_exceptions=True)
        assert not [each for each in ended if isinstance(each, ProviderError)]
    return names[: names.index(PAUSE)].count(READ) - before, took


def test_a_pause_does_not_wait_behind_a_backfill(amili: SandboxServer, redis_url: str) -> None:
    """Under 20 calls a second and hundreds of waiting reads, a pause of another process goes next.

    40 reads are what leaves within 2 seconds.
    """

    async def scene() -> None:
        between, _ = await pause_in_a_backfill(amili, redis_url, 400)
        assert between < 40

    run(scene())


@pytest.mark.skipif(not os.environ.get("AMILI_TEST_LONG"), reason="set AMILI_TEST_LONG=1")
def test_a_pause_leaves_in_time_under_5000_reads(amili: SandboxServer, redis_url: str) -> None:
    """The same with 5,000 reads: `-s` shows the seconds."""

    async def scene() -> None:
        between, took = await pause_in_a_backfill(amili, redis_url, 5000)
        print(f"\nthe pause left within {took:.3f} s, after {between} reads")  # noqa: T201
        assert between < 40

    run(scene(), 300)


def test_nothing_leaves_before_retry_after(amili: SandboxServer, redis_url: str) -> None:
    """After a 429 with Retry-After no process calls before its time, whatever the purpose."""

    async def scene() -> None:
        metrics = Metrics()
        case = amili.control.create_case()
        amili.control.add_fault(READ, status=429, retry_after=1)
        async with client_of(amili, redis_url, metrics) as one:
            first = asyncio.create_task(read(one, case))
            while not calls(amili, READ):
                await asyncio.sleep(0.01)
            await asyncio.sleep(0.1)  # the answer is on its way, and then waited on
            first.cancel()
            await asyncio.gather(first, return_exceptions=True)
        async with client_of(amili, redis_url, metrics) as two:
            await pause(two, case)
        assert calls(amili, PAUSE)[0]["at"] - calls(amili, READ)[0]["at"] >= 1

    run(scene())


def test_a_case_that_is_always_refused_stops_no_other(amili: SandboxServer, redis_url: str) -> None:
    """A second 429 for the same case is that case's own: the others do not wait for it again."""

    async def scene() -> None:
        refused, other = amili.control.create_case(), amili.control.create_case()
        amili.control.add_fault(
            PAUSE, target=refused["caseId"], status=429, retry_after=1, rate=1.0
        )
        async with client_of(amili, redis_url) as client:
            for _ in range(2):
                with pytest.raises(ProviderBusy) as caught:
                    await pause(client, refused)
                assert caught.value.status == 429
            await pause(client, other, not_after=time.monotonic() + 0.8)

    run(scene())


def test_an_open_breaker_stops_calls_and_a_pause_goes_on_after_it(
    amili: SandboxServer, redis_url: str
) -> None:
    """While Amili fails nothing more is sent; when it is well again, so is the next pause."""

    async def scene() -> None:
        metrics = Metrics()
        case = amili.control.create_case()
        amili.control.add_fault(READ, status=503, rate=1.0)
        async with client_of(amili, redis_url, metrics) as client:
            for number in range(5):
                other = {"caseNumber": case["caseNumber"] + number}
                with pytest.raises(ProviderUnreachable):
                    await read(client, other)
            before = len(calls(amili, READ))
            with pytest.raises(CircuitOpen):
                await read(client, case)
            assert len(calls(amili, READ)) == before
            with pytest.raises(CircuitOpen) as caught:
                await pause(client, case)
            assert caught.value.operation == "pause_case"
            assert not calls(amili, PAUSE)
            amili.control.clear_faults()
            tries = 0
            while not calls(amili, PAUSE):
                tries += 1
                assert tries < 200
                try:
                    await pause(client, case)
                except CircuitOpen as error:
                    await asyncio.sleep(min(0.1, error.retry_after or 0))
            await read(client, case)
            assert len(calls(amili, PAUSE)) == 1

    run(scene())


async def hand_over(client: AmiliClient, number: int) -> None:
    """Hand over the chunk of this number: one payment."""
    payment = {**items("CreatePayments")[0], "invoiceId": f"invoice-{number}"}
    await client.create_payments(
        ORGANIZATION_ID,
        [NewPayment.model_validate(payment)],
        idempotency_key=f"key-{number}",
        not_after=time.monotonic() + 1,
    )


@pytest.mark.parametrize("fault", [{"status": 503}, {"cut": True}])
def test_chunks_that_fail_open_the_breaker(
    amili: SandboxServer, redis_url: str, fault: dict[str, Any]
) -> None:
    """An endpoint at which every chunk fails is left alone after five, though its URL is one."""

    async def scene() -> None:
        amili.control.add_fault(SUBMIT, rate=1.0, **fault)
        ended = []
        async with client_of(amili, redis_url) as client:
            for number in range(20):
                with pytest.raises(ProviderUnreachable) as caught:
                    await hand_over(client, number)
                ended.append(isinstance(caught.value, CircuitOpen))
                if ended[-1]:
                    break
        assert ended == [False] * 5 + [True]
        assert len(calls(amili, SUBMIT)) == 5

    run(scene())


def test_a_second_chunks_retry_after_is_heard(amili: SandboxServer, redis_url: str) -> None:
    """Each chunk that is refused with a time to wait speaks for the host."""

    async def scene() -> None:
        amili.control.add_fault(SUBMIT, status=429, retry_after=0, times=1)
        async with client_of(amili, redis_url) as client:
            with pytest.raises(ProviderBusy):
                await hand_over(client, 1)
            amili.control.add_fault(SUBMIT, status=429, retry_after=120, times=1)
            with pytest.raises(ProviderBusy):
                await hand_over(client, 2)
            with pytest.raises(ProviderBusy, match="asked all of us to wait"):
                await hand_over(client, 3)
        assert len(calls(amili, SUBMIT)) == 2

    run(scene())


@pytest.mark.parametrize("status", [404, 422, 423, 501])
def test_refusals_open_nothing(amili: SandboxServer, redis_url: str, status: int) -> None:
    """Amili that says no is an Amili that is there: what it refuses does not count."""

    async def scene() -> None:
        case = amili.control.create_case()
        amili.control.add_fault(PAUSE, status=status, times=12)
        async with client_of(amili, redis_url) as client:
            for _ in range(12):
                with pytest.raises(ProviderError) as caught:
                    await pause(client, case)
                assert caught.value.status == status
            await pause(client, case)

    run(scene())


def test_a_resume_does_not_leave_late(amili: SandboxServer, redis_url: str) -> None:
    """What may not be sent after a moment is not sent when its turn comes after it."""

    async def scene() -> None:
        case = amili.control.create_case()
        amili.control.set_behaviour(repeats_conflict=False)
        async with client_of(amili, redis_url, api_rate=1) as client:
            for _ in range(5):
                await pause(client, case)
            with pytest.raises(ProviderBusy, match="in time") as caught:
                await pause(client, case, not_after=time.monotonic() + 0.1)
            assert not caught.value.may_have_happened
            assert len(calls(amili, PAUSE)) == 5

    run(scene())


def test_a_call_waits_for_its_turn_without_a_slot(amili: SandboxServer, redis_url: str) -> None:
    """With one slot and reads that wait for their turn, a follow-up finds the slot free."""

    async def scene() -> None:
        case = amili.control.create_case()
        async with client_of(amili, redis_url, api_rate=1, api_concurrency=1) as client:
            tasks = [
                asyncio.create_task(read(client.at(Purpose.BACKFILL), case)) for _ in range(20)
            ]
            while not calls(amili, READ):
                await asyncio.sleep(0.01)
            await pause(client, case)
            assert len(calls(amili, READ)) < 20
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    run(scene())


def test_the_rate_follows_what_amili_bears(amili: SandboxServer, redis_url: str) -> None:
    """Without a limit of ours, 429s without Retry-After slow all reads down until they pass."""

    async def scene() -> None:
        case = amili.control.create_case()
        amili.control.set_behaviour(requests_per_second=20.0, tells_retry_after=False)
        async with client_of(amili, redis_url) as client:
            done = 0
            while done < 60:
                try:
                    await asyncio.gather(*(read(client, case) for _ in range(10)))
                    done += 10
                except ProviderBusy:
                    await asyncio.sleep(0.1)
        statuses = [call["status"] for call in calls(amili, READ)]
        assert 0 < statuses.count(429) < statuses.count(200)

    run(scene())


def test_redis_stops_while_calls_go_on(amili: SandboxServer, own_redis: EmbeddedRedis) -> None:
    """No call to Amili fails because Redis is away."""

    async def scene() -> None:
        case = amili.control.create_case()
        async with client_of(amili, own_redis.url, api_rate=200) as client:
            await read(client, case)
            own_redis.stop()
            await asyncio.gather(*(read(client, case) for _ in range(20)))
            own_redis.start()
            await pause(client, case)

    run(scene())
