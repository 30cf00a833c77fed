"""The two stores of the door: Redis first, the SQL spool when Redis will not do.

A store that failed is left alone for a moment, longer the more time the try has cost: an
outage, even one in which nothing answers, slows down few deliveries and not each.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

import structlog

from service.domain.deliveries import Delivery
from service.errors import NothingDurable, StoreError
from service.inbox.appending import Appender
from service.queue import Bells
from service.redis import RedisError
from service.store import spool
from service.store.database import Database
from service.telemetry.metrics import Metrics

T = TypeVar("T")
log = structlog.get_logger()

#: Both together stay within the few seconds that a sender waits.
REDIS_SECONDS = 2.0
SPOOL_SECONDS = 4.0
COOL_OFF_SECONDS = 1.0
#: A try that took a second is followed by this many of peace.
COOL_OFF_TIMES = 3
REDIS_ERRORS = (RedisError, OSError, TimeoutError)
SPOOL_ERRORS = (StoreError, OSError, TimeoutError)


class Store:
    """One of the two, and whether it failed a moment ago."""

    def __init__(self, name: str, errors: tuple[type[Exception], ...]) -> None:
        self.name = name
        self._errors = errors
        self._until = 0.0
        self._was_down = False

    async def attempt(self, work: Callable[[], Awaitable[T]], seconds: float) -> T:
        """Run `work` within its bound; raises NothingDurable when it fails or just failed."""
        if time.monotonic() < self._until:
            raise NothingDurable
        began = time.monotonic()
        try:
            async with asyncio.timeout(seconds):
                done = await work()
        except self._errors as exc:
            now = time.monotonic()
            self._until = now + max(COOL_OFF_SECONDS, COOL_OFF_TIMES * (now - began))
            if not self._was_down:
                log.warning("store_down", store=self.name, error=type(exc).__name__)
            self._was_down = True
            raise NothingDurable from exc
        if self._was_down:
            log.info("store_back", store=self.name)
        self._was_down = False
        return done


class DurableWriter:
    """Writes groups of deliveries, durably, somewhere."""

    def __init__(
        self, appender: Appender, database: Database, bells: Bells, metrics: Metrics
    ) -> None:
        self._appender = appender
        self._database = database
        self._bells = bells
        self._metrics = metrics
        # SQL and bells leave the event loop; each has a thread of its own, so that a
        # database that hangs does not keep the bell from ringing.
        self._spooling = ThreadPoolExecutor(1, "spool")
        self._ringing = ThreadPoolExecutor(1, "bell")
        self._bell: Future[None] | None = None
        self.redis = Store("redis", REDIS_ERRORS)
        self.spool = Store("spool", SPOOL_ERRORS)

    async def write(self, group: Sequence[Delivery]) -> Sequence[str]:
        """Return the former state of each body; raises NothingDurable."""
        try:
            done = await self.redis.attempt(lambda: self._appender.append(group), REDIS_SECONDS)
        except NothingDurable:
            return await self._spool(group)
        if done.ring:
            self._bell = self._ringing.submit(self._ring)
        return done.states

    async def probe_redis(self) -> None:
        """Make one durable write in Redis; raises NothingDurable."""
        await self.redis.attempt(self._appender.probe, REDIS_SECONDS)

    def close(self) -> None:
        """Let the threads end."""
        self._spooling.shutdown(wait=False, cancel_futures=True)
        self._ringing.shutdown(wait=False, cancel_futures=True)

    async def _spool(self, group: Sequence[Delivery]) -> Sequence[str]:
        loop = asyncio.get_running_loop()

        def add() -> None:
            self._database.run(lambda tx: spool.add(tx, group))

        await self.spool.attempt(lambda: loop.run_in_executor(self._spooling, add), SPOOL_SECONDS)
        is_up = self._appender.durability == "too weak"
        self._metrics.spooled.labels("too_weak" if is_up else "redis_down").inc(len(group))
        # Such a Redis may not keep deliveries, but it can carry a bell; no flag in it bounds
        # how often, so one that is under way is enough.
        if is_up and (self._bell is None or self._bell.done()):
            self._bell = self._ringing.submit(self._ring)
        return ["new"] * len(group)

    def _ring(self) -> None:
        try:
            self._bells.ring("events")
        except RedisError as exc:  # the sweeper will ring
            log.info("bell_not_rung", error=type(exc).__name__)
