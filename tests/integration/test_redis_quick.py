"""Commands in quick succession: each gets its own answer, whatever happened to the one before."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import Any

import pytest
import redis

from service.domain.deliveries import Delivery, digest_of
from service.embedded import EmbeddedRedis
from service.inbox.appending import APPEND, Appender
from service.redis import Quick, connect, connect_async
from service.redis import quick as room
from tests.doors import eventually

Work = Callable[[Quick], Awaitable[Any]]


def on(url: str, work: Work) -> Any:
    """Run `work` with one connection's worth of commands."""

    async def run() -> Any:
        quick = Quick(connect_async(url, connections=2, answer_seconds=None))
        try:
            return await work(quick)
        finally:
            await quick.close()

    return asyncio.run(run())


async def number(quick: Quick) -> int:
    """Tell which connection is used."""
    return int(await quick.execute("CLIENT", "ID"))


def test_one_connection(redis_url: str) -> None:
    """Commands one after the other use one connection, also after the server refused one."""

    async def work(quick: Quick) -> list[int]:
        numbers = [await number(quick), await number(quick)]
        with pytest.raises(redis.ResponseError):
            await quick.execute("EVALSHA", "no such script", 0)
        return [*numbers, await number(quick)]

    assert len(set(on(redis_url, work))) == 1


def test_goes_back_to_its_pool(redis_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A connection that is not kept is lent anew by the pool, each time."""
    monkeypatch.setattr(room, "KEPT_SECONDS", 0.0)

    async def work(quick: Quick) -> list[Any]:
        return [await quick.execute("INCR", "count") for _ in range(3)]

    assert on(redis_url, work) == [1, 2, 3]


def test_caller_gives_up(redis_url: str) -> None:
    """The answer to a command that was given up is never taken for that to the next one."""
    watch = connect(redis_url)

    def is_blocked() -> bool:
        return bool(watch.info("clients")["blocked_clients"])

    async def work(quick: Quick) -> list[Any]:
        told = []
        for _ in range(3):
            waiting = asyncio.create_task(quick.execute("BLPOP", "nothing", 2))
            await asyncio.to_thread(eventually, is_blocked)
            waiting.cancel()
            await asyncio.wait([waiting])
            told.append(await quick.execute("ECHO", "mine"))
        return told

    assert on(redis_url, work) == [b"mine"] * 3
    watch.close()


def test_two_at_once(redis_url: str) -> None:
    """Commands that overlap have a connection each, and an answer each."""

    async def work(quick: Quick) -> list[Any]:
        return [
            await asyncio.gather(quick.execute("ECHO", "a"), quick.execute("ECHO", "b"))
            for _ in range(20)
        ]

    assert on(redis_url, work) == [[b"a", b"b"]] * 20


def test_server_is_started_again(own_redis: EmbeddedRedis) -> None:
    """One command may fail with the connection that broke; the next has a new one."""

    async def work(quick: Quick) -> Any:
        await quick.execute("SET", "kept", "1")
        await asyncio.to_thread(own_redis.stop)
        with pytest.raises(redis.ConnectionError):
            await quick.execute("GET", "kept")
        await asyncio.to_thread(own_redis.start)
        return await quick.execute("GET", "kept")

    assert on(own_redis.url, work) == b"1"


def test_given_up_while_it_was_examined(redis_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A connection whose examination was broken off is not used unproven: it is examined anew."""
    body = b"{}"
    one = Delivery(digest_of(body), body, {}, datetime.now(UTC))

    async def hang(connection: object) -> dict[str, str]:
        await asyncio.Event().wait()
        return {}

    async def run() -> tuple[str, str]:
        appender = Appender(redis_url, demand="memory")
        # The script is known, so that nothing but the append itself asks for a connection.
        appender._sha = str(connect(redis_url).script_load(APPEND))
        with monkeypatch.context() as patched:
            patched.setattr(appender, "_read_config", hang)
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.3):
                    await appender.append([one])
        (state,) = (await appender.append([one])).states
        await appender.close()
        return state, appender.durability

    assert asyncio.run(run()) == ("new", "ok")


def test_closed_while_it_rested(redis_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A connection that the server closed meanwhile costs no command: its pool notices."""
    watch = connect(redis_url)
    monkeypatch.setattr(room, "KEPT_SECONDS", 0.0)

    async def work(quick: Quick) -> list[Any]:
        before = await number(quick)
        watch.client_kill_filter(_id=str(before))
        # The loop hears of the end in its own time; an answer over another wire is later.
        others = Quick(connect_async(redis_url, connections=1))
        await others.execute("PING")
        await others.close()
        return [await quick.execute("ECHO", "mine"), await number(quick) == before]

    assert on(redis_url, work) == [b"mine", False]
    watch.close()
