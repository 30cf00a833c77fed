"""What the real code uses of this machine, replaced: time, chance, threads, connections.

The code under test is the code that is shipped; only names that it imports are exchanged here,
for as long as the simulations run.
"""

from __future__ import annotations

import asyncio
import random
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import asynccontextmanager, contextmanager, suppress
from types import SimpleNamespace
from typing import Any

import pytest
import structlog

from service.amili.client import retries, transport
from service.errors import StoreError
from service.inbox import stream
from service.intake import writing
from service.store import database
from tests.simulation.amili import Tokens, WiredClient
from tests.simulation.house import House
from workers import acting, belt, jobs, leasing, submitting

#: The simulation that runs now.
_current: list[House] = []


def current() -> House:
    """Return the simulation that runs now."""
    return _current[-1]


@contextmanager
def in_house(house: House) -> Iterator[None]:
    """Let the exchanged names lead to this simulation."""
    _current.append(house)
    try:
        yield
    finally:
        _current.pop()


@contextmanager
def exchanged() -> Iterator[None]:
    """Exchange the names; put them back at the end."""
    kept = structlog.get_config()
    structlog.configure(
        wrapper_class=structlog.make_filtering_bound_logger(50), cache_logger_on_first_use=False
    )
    try:
        with pytest.MonkeyPatch.context() as patch:
            for module in (acting, belt, jobs, submitting, stream, database, transport):
                patch.setattr(module, "time", clock())
            for module in (database, retries):
                patch.setattr(module, "random", dice())
            patch.setattr(asyncio, "run", lambda work: process().run(work))
            patch.setattr(asyncio, "to_thread", inline)
            patch.setattr(uuid, "uuid4", lambda: current().new_id())
            patch.setattr(writing, "ThreadPoolExecutor", Inline)
            patch.setattr(jobs, "opened", opened)
            patch.setattr(jobs, "log", SimpleNamespace(warning=ignore, error=broken))
            patch.setattr(jobs, "LeaseKeeper", VirtualKeeper)
            patch.setattr(jobs, "connect_async", lambda url: SimpleNamespace(aclose=nothing))
            patch.setattr(jobs, "TokenKeeper", lambda *given: Tokens())
            patch.setattr(jobs, "open_gate", no_gate)
            patch.setattr(jobs, "AmiliClient", client)
            yield
    finally:
        structlog.configure(**kept)


def process() -> Any:
    """Return the process whose turn it is."""
    return current().clockwork.running


def clock() -> Any:
    """Stand in for the module `time`."""
    return SimpleNamespace(
        time=lambda: current().clockwork.now,
        monotonic=lambda: current().clockwork.now,
        perf_counter=lambda: current().clockwork.now,
        sleep=sleep,
    )


def sleep(seconds: float) -> None:
    """Let time pass for the running process."""
    process().pause(seconds)


def dice() -> Any:
    """Stand in for the module `random`."""
    return SimpleNamespace(uniform=uniform, Random=random.Random)


def uniform(low: float, high: float) -> float:
    """Throw the seed's dice."""
    return current().dice.chance.uniform(low, high)


async def inline(work: Callable[..., Any], *given: Any, **named: Any) -> Any:
    """Run at once what would run in a thread; other tasks of the process may go first."""
    await asyncio.sleep(0)
    return work(*given, **named)


#: What a simulated fault raises, and what a job may end with.
EXPLAINED = ("ConnectionError", "StoreContended", "StoreUnavailable")


def ignore(*given: object, **named: object) -> None:
    """Log nothing."""


def broken(what: str, *, error: str, place: str, **named: object) -> None:
    """Remember a job that failed by itself: the real code only logs it, and would go on."""
    if error not in EXPLAINED:
        current().broken.append(f"{error} at {place}")


async def nothing() -> None:
    """Do nothing."""


class Inline:
    """A thread pool without threads."""

    def __init__(self, *given: object) -> None:
        pass

    def submit(self, work: Callable[..., Any], *given: object) -> Future[Any]:
        """Run it now."""
        done: Future[Any] = Future()
        done.set_result(work(*given))
        return done

    def shutdown(self, **named: object) -> None:
        """Do nothing."""


@contextmanager
def opened(*given: object) -> Iterator[Any]:
    """Make the parts of one job of the running process."""
    yield current().parts(process())


@asynccontextmanager
async def no_gate(*given: object) -> Any:
    """Let every call through."""
    yield None


def client(*given: Any) -> WiredClient:
    """Make the real client on the simulated wire of the running process."""
    made = WiredClient(*given)
    made.wire = current().wire(process())
    return made


class VirtualKeeper(leasing.LeaseKeeper):
    """Renews the leases from the process's own loop: it stands still when the process does."""

    def __init__(self, parts: Any) -> None:
        self._parts = parts
        self._is_over = False
        self._process = process()

    def __enter__(self) -> VirtualKeeper:
        self._process.on_loop = self._plan
        return self

    def __exit__(self, *given: object) -> None:
        self._is_over = True
        self._process.on_loop = None

    def _plan(self, loop: asyncio.AbstractEventLoop) -> None:
        loop.call_later(self._parts.settings.lease_renew_seconds, self._once, loop)

    def _once(self, loop: asyncio.AbstractEventLoop) -> None:
        if self._is_over:
            return
        with suppress(StoreError):
            self._parts.database.run(self._renew)
        self._plan(loop)
