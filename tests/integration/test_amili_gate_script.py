"""The gate's script in a real Redis: the same game as the rules, and one bucket for processes."""

from __future__ import annotations

import asyncio
import json
import math
import multiprocessing
import time
import uuid
from dataclasses import fields, replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import settings as how
from hypothesis import strategies as st

from service.amili.client.gate_buckets import EitherBucket, SharedBucket
from service.amili.client.gate_rules import take_turn
from service.amili.client.gate_state import State
from service.amili.client.gate_words import Grant, Rules, Told, Turn, Verdict
from service.amili.gate_key import FIELDS, gate_key, gauges
from service.embedded import EmbeddedRedis
from service.inbox.counting import with_gate
from service.redis import connect, connect_async
from service.settings import Settings
from service.telemetry.metrics import Metrics, Snapshot

NOW = 1_795_360_000.25
KEY = "amili:gate:test"
NOTHING = (0, 0, 0, 0, 0)

VERDICTS = st.tuples(
    st.sampled_from(Verdict),
    st.integers(0, 5),
    st.booleans(),
    st.sampled_from([0.0, 0.0, 2.5]),
    st.sampled_from(["", "a", "b", "c", "d"]),
)
LIMITS = st.sampled_from([0.0, 0.5, 1.0, 7.0, 20.0, 333.0])
TURNS = st.lists(
    st.tuples(
        st.sampled_from([0.0, 0.001, 0.3, 1.0, 16.0, 61.0, 301.0, -0.25, -9.0, -86400.0])
        | st.floats(0, 3),
        st.lists(st.integers(0, 30), min_size=5, max_size=5),
        st.lists(VERDICTS, max_size=7),
        st.integers(0, 3),
        st.floats(0, 1, exclude_max=True),
    ),
    min_size=1,
    max_size=25,
)


def the_turns(drawn: Any) -> Any:
    """Play drawn steps with the rules in Python; yield each moment, turn and grant."""
    rules, steps = drawn
    state, now, grants = State(), NOW, [Grant(NOTHING, NOW)]
    for number, (after, wanted, verdicts, extra, chance) in enumerate(steps):
        now += after
        told = tuple(
            Told(
                verdict,
                grants[max(0, len(grants) - 1 - back)].given_at,
                state.probe if is_probe else "",
                wait,
                about,
            )
            for verdict, back, is_probe, wait, about in verdicts
        )
        turn = Turn(tuple(wanted), told, extra, extra, f"probe-{number}", chance)
        grants.append(take_turn(state, rules, turn, now))
        yield now, turn, grants[-1]


def exact(grant: Grant) -> Grant:
    """Leave out what JSON rounds."""
    return replace(grant, wait=0.0, told_left=0.0, open_left=0.0, free=0.0)


def rounded(grant: Grant) -> list[float]:
    """List what JSON rounds."""
    return [grant.wait, grant.told_left, grant.open_left, grant.free]


def test_the_script_and_the_rules_are_the_same(redis_url: str) -> None:
    """Whatever happens in whatever order, the script in Redis answers as the rules in Python do."""
    with asyncio.Runner() as runner:
        client = connect_async(redis_url)

        @how(deadline=None, max_examples=150)
        @given(st.tuples(st.builds(Rules, limit=LIMITS, repeats=st.just(3)), TURNS))
        def play(drawn: Any) -> None:
            bucket = SharedBucket(client, f"{KEY}:{uuid.uuid4()}", drawn[0])

            async def game() -> None:
                for now, turn, expected in the_turns(drawn):
                    bucket.now = now
                    grant = await bucket.take(turn)
                    assert exact(grant) == exact(expected)
                    assert rounded(grant) == pytest.approx(rounded(expected), abs=1e-6)

            runner.run(game())

        play()
        runner.run(client.aclose())


NUMBERS = [each.name for each in fields(State) if each.name not in ("probe", "refused")]
ODD = [math.nan, math.inf, -math.inf, 1e300, -5.0, 1e-300, 0.5, NOW - 9, NOW + 20, NOW + 86400]


def test_the_script_and_the_rules_void_the_same(redis_url: str) -> None:
    """Whatever numbers stand in the hash, both begin with the same of them, and both go on."""
    with asyncio.Runner() as runner:
        client = connect_async(redis_url)

        @how(deadline=None, max_examples=150)
        @given(
            LIMITS,
            st.dictionaries(st.sampled_from(NUMBERS), st.sampled_from(ODD), min_size=1),
            st.dictionaries(st.sampled_from("abcd"), st.sampled_from([0, NOW - 9, NOW + 86400])),
            st.lists(st.floats(0, 20), min_size=1, max_size=3),
        )
        def play(
            limit: float, found: dict[str, float], refused: dict[str, Any], waits: list[float]
        ) -> None:
            rules, key, now = Rules(limit=limit), f"{KEY}:{uuid.uuid4()}", NOW
            bucket, state = SharedBucket(client, key, rules), State(refused=refused.copy())
            for name, number in found.items():
                setattr(state, name, number)

            async def game() -> None:
                nonlocal now
                await client.hset(key, "refused", json.dumps(refused))
                for name, number in found.items():
                    await client.hset(key, name, repr(number))
                told = Told(Verdict.FAILED, NOW, about="a")
                for wait in waits:
                    now = bucket.now = now + wait
                    turn = Turn((1, 0, 2, 0, 1), (told,), probe="p")
                    grant, expected = await bucket.take(turn), take_turn(state, rules, turn, now)
                    assert exact(grant) == exact(expected)
                    assert rounded(grant) == pytest.approx(rounded(expected), rel=1e-6, abs=1e-6)

            runner.run(game())

        play()
        runner.run(client.aclose())


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("tokens", "abc"),
        ("told_until", ""),
        ("refused", "{bad"),
        ("refused", "[1]"),
        ("refused", "null"),
        ("refused", '{"a": {"b": 1}, "c": "d", "e": -1e999}'),
    ],
)
def test_text_where_a_number_was_is_void(redis_url: str, name: str, text: str) -> None:
    """What is no number, or no list of requests, is as if it were not there."""

    async def scene() -> None:
        client = connect_async(redis_url)
        await client.hset(KEY, name, text)
        bucket = SharedBucket(client, KEY, Rules())
        told = Told(Verdict.THROTTLED, time.time(), wait=9, about="a")
        assert (await bucket.take(Turn((1, 0, 0, 0, 0)))).given == (1, 0, 0, 0, 0)
        assert 8 < (await bucket.take(Turn(NOTHING, (told,)))).told_left <= 9
        await client.aclose()

    asyncio.run(scene())


def take_for(url: str, seconds: float, said: Any) -> None:
    """Take what there is for a while, in a process of its own; say how much it was."""

    async def take() -> int:
        client = connect_async(url)
        bucket = SharedBucket(client, KEY, Rules(limit=50))
        until, total = time.monotonic() + seconds, 0
        while time.monotonic() < until:
            grant = await bucket.take(Turn((0, 0, 100, 0, 0)))
            total += sum(grant.given)
            await asyncio.sleep(max(0.001, grant.wait))
        await client.aclose()
        return total

    said.put(asyncio.run(take()))


def test_processes_share_one_limit(redis_url: str) -> None:
    """Three processes together get what one would: the rate, and one bucket."""
    spawn = multiprocessing.get_context("spawn")
    said: Any = spawn.SimpleQueue()
    began = time.monotonic()
    children = [
        spawn.Process(target=take_for, args=(redis_url, 1.0, said), daemon=True) for _ in range(3)
    ]
    for child in children:
        child.start()
    totals = [said.get() for _ in children]
    for child in children:
        child.join(30)
    took = time.monotonic() - began
    assert 40 <= sum(totals) <= 25 + 50 * took
    assert all(child.exitcode == 0 for child in children)


def probe_and_die(url: str) -> None:
    """Take the one probe and end without a word."""

    async def take() -> None:
        grant = await SharedBucket(connect_async(url), KEY, Rules(probe_seconds=1)).take(
            Turn((1, 0, 0, 0, 0), probe="mine")
        )
        assert grant.is_probe

    asyncio.run(take())


def test_one_probe_over_all_processes_and_none_for_ever(redis_url: str) -> None:
    """A process that died with the probe holds the others up only for the probe's time."""
    spawn = multiprocessing.get_context("spawn")

    async def scene() -> None:
        client = connect_async(redis_url)
        bucket = SharedBucket(client, KEY, Rules(probe_seconds=1, open_seconds=0.01))
        first = await bucket.take(Turn((5, 0, 0, 0, 0)))
        failed = Told(Verdict.FAILED, first.given_at)
        assert (await bucket.take(Turn(NOTHING, (failed,) * 5))).opened
        await asyncio.sleep(0.02)
        child = spawn.Process(target=probe_and_die, args=(redis_url,))
        child.start()
        await asyncio.to_thread(child.join, 30)
        assert child.exitcode == 0
        ours = Turn((1, 0, 0, 0, 0), probe="ours")
        grants = [await bucket.take(ours)]
        while not grants[-1].is_probe:
            assert len(grants) < 500
            await asyncio.sleep(0.02)
            grants.append(await bucket.take(ours))
        alive = Told(Verdict.ALIVE, grants[-1].given_at, "ours")
        assert (await bucket.take(Turn(NOTHING, (alive,)))).closed
        await client.aclose()

    asyncio.run(scene())


def test_gauges_are_read_from_the_hash(redis_url: str) -> None:
    """The metrics page sees the rate and the breaker; before the first call it sees nothing."""

    async def take(*turns: Turn) -> None:
        client = connect_async(redis_url)
        bucket = SharedBucket(client, KEY, Rules(limit=20))
        for turn in turns:
            await bucket.take(turn)
        await client.aclose()

    client = connect(redis_url)
    assert gauges(client.hmget(KEY, list(FIELDS))) == (None, None)
    asyncio.run(take(Turn((1, 0, 0, 0, 0))))
    assert gauges(client.hmget(KEY, list(FIELDS))) == (20, 0)
    failed = Told(Verdict.FAILED, time.time() + 60)
    asyncio.run(take(Turn(NOTHING, (failed,) * 5)))
    assert gauges(client.hmget(KEY, list(FIELDS))) == (20, 1)
    assert client.ttl(KEY) > 0
    page = Metrics().page(lambda: with_gate(Snapshot(), client, KEY)).decode()
    client.close()
    assert "amili_api_rate 20.0\n" in page
    assert "amili_api_breaker_open 1.0\n" in page


def test_the_page_needs_no_redis(own_redis: EmbeddedRedis) -> None:
    """While Redis is away the gauges of the gate are absent, and the page is there."""
    client = connect(own_redis.url)
    own_redis.stop()
    page = Metrics().page(lambda: with_gate(Snapshot(), client, KEY)).decode()
    client.close()
    assert "amili_api_rate" not in page
    assert "amili_api_wait_seconds" in page


def test_hosts_have_gates_of_their_own() -> None:
    """One host, however it is named in the settings, has one gate; another has another."""
    staging = Settings(environment="staging")
    named = Settings(api_base_url="https://api.staging.amili.no/collection/v1")
    assert gate_key(staging) == gate_key(named)
    assert (
        len({gate_key(each) for each in (staging, Settings(), Settings(environment="production"))})
        == 3
    )


@pytest.mark.parametrize("how", ["stopped", "paused", "something else"])
def test_without_redis_each_process_has_a_share(own_redis: EmbeddedRedis, how: str) -> None:
    """No call fails because Redis is away: a part of the limit is kept here meanwhile."""

    async def scene() -> None:
        client = connect_async(own_redis.url)
        rules = Rules(limit=100, least_burst=1)
        bucket = EitherBucket(SharedBucket(client, KEY, rules), rules)
        assert sum((await bucket.take(Turn((100, 0, 0, 0, 0)))).given) == 50
        if how == "stopped":
            own_redis.stop()
        elif how == "paused":
            await client.client_pause(60_000)
        else:
            await client.delete(KEY)
            await client.set(KEY, "text")
        assert sum((await bucket.take(Turn((100, 0, 0, 0, 0)))).given) == 12
        assert sum((await bucket.take(Turn((100, 0, 0, 0, 0)))).given) <= 12
        await client.aclose()

    asyncio.run(scene())


def test_a_share_is_never_less_than_one_call_a_second() -> None:
    """Without Redis, even a small limit lets a process call."""

    async def scene() -> None:
        bucket = EitherBucket(None, Rules(limit=0.5, least_burst=1))
        assert sum((await bucket.take(Turn((100, 0, 0, 0, 0)))).given) == 1
        waits = (await bucket.take(Turn((100, 0, 0, 0, 0)))).wait
        assert waits <= 1

    asyncio.run(scene())
