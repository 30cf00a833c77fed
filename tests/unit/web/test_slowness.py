"""One timer ends every body that comes too slowly, and nothing else."""

from __future__ import annotations

import asyncio

import pytest

from service.errors import BodyTooSlow
from service.web.slowness import Slowness

SECONDS = 0.04


async def read(slowness: Slowness, until: asyncio.Event) -> str:
    """Read a body that is there once `until` is set."""
    with slowness.bounded():
        await until.wait()
    return "read"


async def outcome(task: asyncio.Task[str]) -> str:
    """Say how a reading ended."""
    try:
        return await task
    except BodyTooSlow:
        return "too slow"
    except asyncio.CancelledError:
        return "cancelled"


def test_each_is_bounded_alone() -> None:
    """Of many bodies at once only those that never come are broken off, whenever they began."""

    async def play() -> list[str]:
        slowness = Slowness(SECONDS)
        there, never = asyncio.Event(), asyncio.Event()
        there.set()
        tasks = []
        for number in range(30):
            tasks.append(asyncio.create_task(read(slowness, never if number % 3 else there)))
            await asyncio.sleep(SECONDS / 10)
        return [await outcome(task) for task in tasks]

    said = asyncio.run(play())
    assert said == ["too slow" if number % 3 else "read" for number in range(30)]


def test_cancelled_by_somebody_else() -> None:
    """A server that shuts down cancels a reading: that is not taken for a slow body."""

    async def play() -> str:
        slowness = Slowness(SECONDS)
        task = asyncio.create_task(read(slowness, asyncio.Event()))
        await asyncio.sleep(0)
        task.cancel()
        return await outcome(task)

    assert asyncio.run(play()) == "cancelled"


def test_nothing_ticks_when_nothing_is_read() -> None:
    """The timer stops with the last body, and starts again with the next one."""

    async def play() -> list[str]:
        slowness = Slowness(SECONDS)
        there = asyncio.Event()
        there.set()
        await read(slowness, there)
        while slowness._timer is not None:
            await asyncio.sleep(SECONDS / 4)
        return [await outcome(asyncio.create_task(read(slowness, asyncio.Event())))]

    assert asyncio.run(play()) == ["too slow"]


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_errors_pass(error: type[BaseException]) -> None:
    """What goes wrong while a body is read is told as it is."""

    async def play() -> None:
        with pytest.raises(error), Slowness(SECONDS).bounded():
            raise error

    asyncio.run(play())
