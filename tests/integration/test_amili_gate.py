"""The gate in one event loop: who waits, who is served first, and what is told to whom."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from typing import Any

import pytest

from service.amili.client.gate import Gate, open_gate
from service.amili.client.gate_buckets import EitherBucket
from service.amili.client.gate_slots import Slots
from service.amili.client.gate_words import ORDER, Grant, Permit, Rules, Turn, Verdict
from service.amili.client.purposes import Purpose
from service.embedded import EmbeddedRedis
from service.errors import CircuitOpen, ProviderBusy
from service.redis import connect_async
from service.settings import Settings
from service.telemetry.metrics import Metrics

LONG = 30.0


class Noted:
    """A bucket of this process that notes the turns, and that a test can hold up."""

    def __init__(self, **rules: Any) -> None:
        self.bucket = EitherBucket(None, Rules(**rules))
        self.turns: list[Turn] = []
        self.is_open = asyncio.Event()
        self.is_open.set()

    async def take(self, turn: Turn) -> Grant:
        """Take a turn when the test lets it."""
        self.turns.append(turn)
        await self.is_open.wait()
        return await self.bucket.take(turn)


def run(scene: Coroutine[Any, Any, None]) -> None:
    """Run a scene, bounded against hanging."""
    asyncio.run(asyncio.wait_for(scene, 60))


def counted(metrics: Metrics, name: str) -> dict[str, float]:
    """Read one counter by its first label."""
    samples = [s for one in getattr(metrics, name).collect() for s in one.samples]
    return {
        next(iter(s.labels.values())): s.value
        for s in samples
        if s.name.endswith(("_total", "_count"))
    }


@asynccontextmanager
async def shared_gate(url: str, metrics: Metrics, **given: Any) -> AsyncIterator[Gate]:
    """Open a gate as a worker process does."""
    settings = Settings(api_base_url="http://127.0.0.1:1", **given)
    client = connect_async(url)
    try:
        async with open_gate(settings, client, metrics) as gate:
            yield gate
    finally:
        await client.aclose()


def test_callers_travel_together() -> None:
    """While one question is on its way, a thousand callers need only one more."""

    async def scene() -> None:
        bucket = Noted()
        async with Gate(bucket, Metrics()) as gate:
            bucket.is_open.clear()
            first = asyncio.create_task(gate.give("op", Purpose.FETCH, LONG))
            while not bucket.turns:
                await asyncio.sleep(0)
            rest = [asyncio.create_task(gate.give("op", Purpose.FETCH, LONG)) for _ in range(1000)]
            await asyncio.sleep(0.01)
            bucket.is_open.set()
            await asyncio.gather(first, *rest)
        assert [turn.wants for turn in bucket.turns] == [(0, 0, 1, 0, 0), (0, 0, 1000, 0, 0)]

    run(scene())


def test_without_a_limit_few_questions_are_asked() -> None:
    """Without a limit and while all is well, calls leave without a question for a while."""

    async def scene() -> None:
        bucket = Noted(free_seconds=LONG)
        async with Gate(bucket, Metrics()) as gate:
            for _ in range(500):
                gate.tell(await gate.give("op", Purpose.FETCH, LONG), Verdict.ALIVE)
            assert len(bucket.turns) == 1
            gate.tell(await gate.give("op", Purpose.FETCH, LONG), Verdict.FAILED)
            await gate.give("op", Purpose.FETCH, LONG)
        assert len(bucket.turns) == 2
        assert bucket.turns[1].used == 500
        assert [told.verdict for told in bucket.turns[1].told] == [Verdict.FAILED]

    run(scene())


def test_a_pause_overtakes_a_backfill() -> None:
    """While thousands wait for a permit, a follow-up that comes last is served next."""

    async def scene() -> None:
        served: list[Purpose] = []

        async def call(gate: Gate, purpose: Purpose) -> None:
            served.append((await gate.give("op", purpose, LONG)).purpose)

        async with Gate(Noted(limit=80, least_burst=1), Metrics()) as gate:
            backfill = [asyncio.create_task(call(gate, Purpose.BACKFILL)) for _ in range(3000)]
            while not served:
                await asyncio.sleep(0.001)
            for purpose in (Purpose.FETCH, Purpose.FOLLOW_UP):
                before = len(served)
                await call(gate, purpose)
                assert served[before] is purpose
            for task in backfill:
                task.cancel()
            await asyncio.gather(*backfill, return_exceptions=True)

    run(scene())


def test_cancelled_waiters_block_nobody() -> None:
    """Whoever gives up waiting takes no permit with it, however late it gives up."""

    async def scene() -> None:
        bucket = Noted(limit=1000, least_burst=10, burst_seconds=0.001)
        async with Gate(bucket, Metrics()) as gate:
            bucket.is_open.clear()
            gone = [asyncio.create_task(gate.give("op", Purpose.FETCH, LONG)) for _ in range(6)]
            stays = asyncio.create_task(gate.give("op", Purpose.BACKFILL, LONG))
            while not bucket.turns:
                await asyncio.sleep(0)
            for task in gone[:3]:
                task.cancel()
            bucket.is_open.set()
            while not stays.done():
                await asyncio.sleep(0)
            for task in gone[3:]:
                task.cancel()  # their permits are there already
            ended = await asyncio.gather(*gone, return_exceptions=True)
            assert sum(isinstance(each, asyncio.CancelledError) for each in ended[:3]) == 3
            await gate.give("op", Purpose.FETCH, LONG)
        lost = sum(isinstance(each, asyncio.CancelledError) for each in ended)
        assert sum(turn.returned for turn in bucket.turns) + gate._returned == lost

    run(scene())


def test_patience_ends_in_an_error_that_says_so() -> None:
    """A permit that does not come in time is Amili being busy: nothing was sent, try later."""

    async def scene() -> None:
        metrics = Metrics()
        async with Gate(Noted(limit=0.001, least_burst=1), metrics) as gate:
            await gate.give("op", Purpose.FOLLOW_UP, LONG)
            with pytest.raises(ProviderBusy, match="op: no leave to call Amili in time") as caught:
                await gate.give("op", Purpose.FOLLOW_UP, 0.02)
        assert caught.value.retryable
        assert not caught.value.may_have_happened
        assert counted(metrics, "api_wait_seconds") == {"follow_up": 2}

    run(scene())


def test_a_429_is_heard_by_other_processes(redis_url: str) -> None:
    """A time that Amili tells one process holds for all, for a follow-up elsewhere too."""

    async def scene() -> None:
        metrics = Metrics()
        async with shared_gate(redis_url, metrics) as one, shared_gate(redis_url, metrics) as two:
            permit = await one.give("op", Purpose.BACKFILL, LONG)
            one.tell(permit, Verdict.THROTTLED, 30)
            with pytest.raises(ProviderBusy, match="asked all of us to wait") as caught:
                await one.give("op", Purpose.FOLLOW_UP, 5)
            with pytest.raises(ProviderBusy):
                await two.give("op", Purpose.FOLLOW_UP, 5)
            with pytest.raises(ProviderBusy):
                await two.give("op", Purpose.FOLLOW_UP, 5)
        assert caught.value.retry_after == pytest.approx(30, abs=5)
        assert counted(metrics, "api_throttled") == {"backfill": 1}

    run(scene())


def test_a_short_wait_is_waited_for(redis_url: str) -> None:
    """A time that fits into the caller's patience is spent waiting, and not a moment less."""

    async def scene() -> None:
        async with shared_gate(redis_url, Metrics()) as one:
            permit = await one.give("op", Purpose.FETCH, LONG)
            began = time.monotonic()
            one.tell(permit, Verdict.THROTTLED, 0.5)
        async with shared_gate(redis_url, Metrics()) as two:
            await two.give("op", Purpose.FOLLOW_UP, LONG)
        assert time.monotonic() - began >= 0.5

    run(scene())


async def break_it(gate: Gate) -> None:
    """Fail until the breaker is open."""
    permits = [await gate.give("op", Purpose.FETCH, LONG) for _ in range(5)]
    for permit in permits:
        gate.tell(permit, Verdict.FAILED)


async def probe(gate: Gate) -> Permit:
    """Ask until the breaker may be tried."""
    while True:
        try:
            return await gate.give("op", Purpose.FOLLOW_UP, LONG)
        except CircuitOpen as error:
            await asyncio.sleep(min(error.retry_after or 0, 0.1))


def test_the_breaker_is_one_for_all(redis_url: str) -> None:
    """Failures of one process stop the calls of all; one probe at a time; its success frees all."""

    async def scene() -> None:
        metrics = Metrics()
        async with shared_gate(redis_url, metrics) as one, shared_gate(redis_url, metrics) as two:
            early = await one.give("op", Purpose.FETCH, LONG)
            await break_it(one)
            for gate in (one, two):
                with pytest.raises(CircuitOpen, match="failed too often") as caught:
                    await gate.give("op", Purpose.FOLLOW_UP, LONG)
                assert not caught.value.may_have_happened
                assert 0 < (caught.value.retry_after or 0) <= 1
            with pytest.raises(CircuitOpen):
                one.demand_closed("op", early)
            tried = await probe(two)
            two.demand_closed("op", tried)
            with pytest.raises(CircuitOpen):
                await one.give("op", Purpose.FOLLOW_UP, LONG)
            two.tell(tried, Verdict.ALIVE)
            await two.give("op", Purpose.FETCH, LONG)
            one.demand_closed("op", await one.give("op", Purpose.FETCH, LONG))
        assert counted(metrics, "api_breaker") == {"opened": 1, "closed": 1}

    run(scene())


def test_the_probe_is_not_always_the_first() -> None:
    """Of several that wait any may be the probe, so that no bad request is it for ever."""

    async def scene() -> None:
        async with Gate(Noted(open_seconds=0.001), Metrics()) as gate:
            await break_it(gate)
            probes: set[int] = set()
            while len(probes) < 2:
                await asyncio.sleep(0.002)
                asked = [gate.give("op", Purpose.FETCH, LONG) for _ in range(20)]
                for place, each in enumerate(await asyncio.gather(*asked, return_exceptions=True)):
                    if isinstance(each, Permit):
                        probes.add(place)
                        gate.tell(each, Verdict.UNTRIED)

    run(scene())


def test_a_cancelled_probe_lets_the_next_one_try(redis_url: str) -> None:
    """A probe that was never sent is free again at once, not after its time."""

    async def scene() -> None:
        async with shared_gate(redis_url, Metrics(), api_timeout_seconds=15) as gate:
            await break_it(gate)
            gate.tell(await probe(gate), Verdict.UNTRIED)
            assert (await probe(gate)).probe

    run(scene())


def test_what_is_to_be_told_is_told_before_the_end(redis_url: str) -> None:
    """A process that ends right after its failures has told them."""

    async def scene() -> None:
        async with shared_gate(redis_url, Metrics()) as one:
            await break_it(one)
        async with shared_gate(redis_url, Metrics()) as two:
            with pytest.raises(CircuitOpen):
                await two.give("op", Purpose.FETCH, LONG)

    run(scene())


@pytest.mark.parametrize("rate", [0, 1000])
def test_redis_stops_in_the_middle(own_redis: EmbeddedRedis, rate: float) -> None:
    """Calls go on without Redis, and with it again when it is back."""

    async def scene() -> None:
        async with shared_gate(own_redis.url, Metrics(), api_rate=rate) as gate:
            for step in (own_redis.stop, own_redis.start, lambda: None):
                for _ in range(20):
                    await gate.give("op", Purpose.FETCH, LONG)
                step()
                await asyncio.sleep(0.11)  # no leave without asking outlasts this

    run(scene())


def test_slots_go_to_the_most_urgent() -> None:
    """A slot that becomes free is not given to whoever came first, but to whoever is urgent."""

    async def scene() -> None:
        slots, order = Slots(1), list[Purpose]()

        async def hold(purpose: Purpose) -> None:
            async with slots.slot(purpose):
                order.append(purpose)
                await asyncio.sleep(0)

        async with slots.slot(Purpose.FETCH):
            tasks = [asyncio.create_task(hold(purpose)) for purpose in reversed(ORDER)]
            gone = asyncio.create_task(hold(Purpose.FOLLOW_UP))
            await asyncio.sleep(0)
            gone.cancel()
        await asyncio.gather(*tasks)
        assert order == [*ORDER]
        late = asyncio.create_task(hold(Purpose.FETCH))
        async with slots.slot(Purpose.FETCH):
            await asyncio.sleep(0)
        late.cancel()  # its slot came at the same moment
        await asyncio.gather(late, return_exceptions=True)
        await asyncio.wait_for(hold(Purpose.BACKFILL), LONG)

    run(scene())
