"""The two stores of the door: Redis first, the SQL spool when Redis will not do.

A store that failed is tried again in the background, with a write of ours and not with a
delivery: while an outage lasts, even one in which nothing answers, every delivery is answered at
once, and the first one after the store's return finds it in use again.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

import structlog

from service.domain.deliveries import Delivery
from service.errors import NothingDurable, StoreError
from service.inbox.appending import Appender
from service.queue import Bells
from service.redis import RedisError, explained
from service.store import spool
from service.store.database import Database, Tx
from service.telemetry.metrics import Metrics

T = TypeVar("T")
log = structlog.get_logger()

#: Both together stay within the few seconds that a sender waits; only those who come first
#: after a store has begun to hang wait so long.
REDIS_SECONDS = 2.0
SPOOL_SECONDS = 4.0
#: Between two tries of a store that is down.
TRY_SECONDS = 0.5
REDIS_ERRORS = (RedisError, OSError, TimeoutError)
SPOOL_ERRORS = (StoreError, OSError, TimeoutError)


class Store:
    """One of the two, and whether it is down.

    Args:
        name: For the log.
        errors: What means that it is down.
        seconds: How long one write may take.
        probe: Makes one write of no consequence.
    """

    def __init__(
        self,
        name: str,
        errors: tuple[type[Exception], ...],
        seconds: float,
        probe: Callable[[], Awaitable[object]],
    ) -> None:
        self.name = name
        #: Why it is down, in words for an operator; '' while it is not.
        self.trouble = ""
        self._errors = errors
        self._seconds = seconds
        self._probe = probe
        self._watch: asyncio.Task[None] | None = None
        self._told: set[str] = set()

    async def attempt(self, work: Callable[[], Awaitable[T]]) -> T:
        """Run `work` within its bound; raises NothingDurable when it fails or the store is down."""
        if self._watch is not None and not self._watch.done():
            raise NothingDurable
        try:
            async with asyncio.timeout(self._seconds):
                done = await work()
        except self._errors as exc:
            self._down(exc)
            if self._watch is None or self._watch.done():
                self._watch = asyncio.create_task(self._until_back(), name=f"{self.name} is down")
            raise NothingDurable from exc
        self._up()
        return done

    def close(self) -> None:
        """Try no more."""
        if self._watch is not None and not self._watch.done():
            self._watch.cancel()

    async def _until_back(self) -> None:
        while True:
            await asyncio.sleep(TRY_SECONDS)
            try:
                async with asyncio.timeout(self._seconds):
                    await self._probe()
            except Exception as exc:  # whatever it is: the store is not back
                self._down(exc)
            else:
                return self._up()

    def _down(self, exc: Exception) -> None:
        self.trouble = str(exc) if isinstance(exc, StoreError) else explained(exc)
        if self.trouble not in self._told:  # each reason once in an outage
            error = type(exc).__name__
            log.warning("store_down", store=self.name, error=error, reason=self.trouble)
        self._told.add(self.trouble)

    def _up(self) -> None:
        if self._told:
            log.info("store_back", store=self.name)
        self._told.clear()
        self.trouble = ""


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
        self.redis = Store("redis", REDIS_ERRORS, REDIS_SECONDS, appender.probe)
        self.spool = Store("spool", SPOOL_ERRORS, SPOOL_SECONDS, self._probe_spool)

    async def write(self, group: Sequence[Delivery]) -> Sequence[str]:
        """Return the former state of each body; raises NothingDurable."""
        try:
            done = await self.redis.attempt(lambda: self._appender.append(group))
        except NothingDurable:
            return await self._spool(group)
        if done.ring:
            self._bell = self._ringing.submit(self._bells.try_ring, "events")
        return done.states

    async def probe_redis(self) -> None:
        """Make one durable write in Redis; raises NothingDurable."""
        await self.redis.attempt(self._appender.probe)

    def close(self) -> None:
        """Try nothing more, and let the threads end."""
        self.redis.close()
        self.spool.close()
        self._spooling.shutdown(wait=False, cancel_futures=True)
        self._ringing.shutdown(wait=False, cancel_futures=True)

    async def _spool(self, group: Sequence[Delivery]) -> Sequence[str]:
        await self.spool.attempt(lambda: self._in_sql(lambda tx: spool.add(tx, group)))
        is_up = self._appender.durability == "too weak"
        self._metrics.spooled.labels("too_weak" if is_up else "redis_down").inc(len(group))
        # Such a Redis may not keep deliveries, but it can carry a bell; no flag in it bounds
        # how often, so one that is under way is enough.
        if is_up and (self._bell is None or self._bell.done()):
            self._bell = self._ringing.submit(self._bells.try_ring, "events")
        return ["new"] * len(group)

    async def _probe_spool(self) -> None:
        await self._in_sql(spool.probe)

    async def _in_sql(self, work: Callable[[Tx], object]) -> None:
        """Run one transaction in the spool's thread."""
        loop = asyncio.get_running_loop()
        await loop.run_in_executor(self._spooling, self._database.run, work)
