"""Who may call Amili now: one rate limit and one circuit breaker for all processes.

Every call asks for a permit before it takes a slot, and tells afterwards what it showed. While
one question is on its way to Redis, the other callers of this process wait and travel together
in the next one. Made in the event loop that uses it; nothing connects before the first call.
"""

from __future__ import annotations

import asyncio
import random
import time
import uuid
from contextlib import suppress
from types import TracebackType

import redis.asyncio

from service.amili.client.gate_buckets import Bucket, EitherBucket, SharedBucket
from service.amili.client.gate_queue import Queue
from service.amili.client.gate_words import Grant, Permit, Rules, Told, Turn, Verdict
from service.amili.client.purposes import Purpose
from service.amili.gate_key import gate_key
from service.errors import CircuitOpen, ProviderBusy
from service.settings import Settings
from service.telemetry.metrics import Metrics

#: Asking again sooner than this brings nothing; later than this misses what others gave back.
SHORTEST_PAUSE = 0.005
LONGEST_PAUSE = 1.0
#: What everybody is to know at once.
NEWS = (Verdict.FAILED, Verdict.THROTTLED)
#: A process tells at most so much at once.
MOST_TOLD = 100
#: How long the last words may take when the gate closes.
LAST_WORDS_SECONDS = 3.0
#: Who had no permit in time comes back soon: else permits would find nobody.
QUEUE_AGAIN_SECONDS = 1.0
#: What a late call is told to wait when nobody knows how long the breaker stays open.
SHORTEST_OPEN = 0.2


def rules_of(settings: Settings) -> Rules:
    """Make the rules of these settings; a probe has the time of a whole call, and a little."""
    return Rules(limit=settings.api_rate, probe_seconds=3 * settings.api_timeout_seconds + 1)


def open_gate(settings: Settings, client: redis.asyncio.Redis | None, metrics: Metrics) -> Gate:
    """Make the gate of the API host; without Redis it is this process's own."""
    rules = rules_of(settings)
    shared = None if client is None else SharedBucket(client, gate_key(settings), rules)
    return Gate(EitherBucket(shared, rules), metrics)


class Gate:
    """The limit and the breaker of one API host; an async context manager.

    `give` raises CircuitOpen or ProviderBusy; whoever got a permit calls `tell` once.
    """

    def __init__(self, bucket: Bucket, metrics: Metrics) -> None:
        self._bucket = bucket
        self._metrics = metrics
        self._queue = Queue()
        self._told: list[Told] = []
        self._used = self._returned = 0
        #: While the clock is below `_free_until`, calls leave without asking.
        self._free_until = self._free_at = 0.0
        self._is_failing = self._is_open = self._is_limited = False
        #: Moments of `time.monotonic()` before which nothing is given.
        self._open_until = self._told_until = 0.0
        #: Who waits at this rank or below is served when the pump asks again by itself.
        self._hushed = 0
        self._pump: asyncio.Task[None] | None = None
        self._woken = asyncio.Event()

    async def __aenter__(self) -> Gate:
        """Do nothing: the first call asks."""
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, at: TracebackType | None
    ) -> None:
        """Tell what is not yet told."""
        if self._pump is not None:
            self._woken.set()
            with suppress(TimeoutError):
                async with asyncio.timeout(LAST_WORDS_SECONDS):
                    await self._pump

    async def give(self, operation: str, purpose: Purpose, patience: float) -> Permit:
        """Wait for a permit, for at most `patience` seconds.

        Raises CircuitOpen while the host is not called at all, ProviderBusy when there is no
        permit in time: nothing was sent then.
        """
        began = time.monotonic()
        try:
            if began < self._free_until:
                self._used += 1
                return Permit(purpose, self._free_at)
            if began + patience < self._told_until:
                raise _told_to_wait(operation, self._told_until - began)
            return await self._wait(operation, purpose, patience)
        finally:
            self._metrics.api_wait_seconds.labels(purpose).observe(time.monotonic() - began)

    @property
    def is_crowded(self) -> bool:
        """Tell whether calls wait for each other: a second try would take the turn of another."""
        return self._is_limited or self._told_until > time.monotonic()

    def demand_closed(self, operation: str, permit: Permit) -> None:
        """Raise CircuitOpen if the breaker opened after this permit was given."""
        if self._is_open and not permit.probe:
            left = max(SHORTEST_OPEN, self._open_until - time.monotonic())
            raise CircuitOpen(operation=operation, retry_after=left)

    def tell(self, permit: Permit, verdict: Verdict, wait: float = 0.0, about: str = "") -> None:
        """Say what became of a permit.

        `wait` is the host's `Retry-After` in seconds, `about` a digest of the refused request.
        """
        if verdict is Verdict.THROTTLED:
            self._metrics.api_throttled.labels(permit.purpose).inc()
        if not permit.probe:
            self._returned += verdict is Verdict.UNTRIED
            if not (verdict in NEWS or (verdict is Verdict.ALIVE and self._is_failing)):
                return
        self._told.append(Told(verdict, permit.given_at, permit.probe, wait, about))
        if verdict in NEWS:
            self._free_until = 0.0
        self._wake()

    # --- waiting ------------------------------------------------------------

    async def _wait(self, operation: str, purpose: Purpose, patience: float) -> Permit:
        waiter = self._queue.join(operation, purpose, time.monotonic() + patience)
        if self._pump is None or waiter.rank < self._hushed:
            self._wake()
        try:
            async with asyncio.timeout(patience):
                permit = await waiter.future
                waiter.took = True
                return permit
        except TimeoutError:
            raise ProviderBusy(
                "no leave to call Amili in time: other calls go first, or the rate is low",
                operation=operation,
                retry_after=QUEUE_AGAIN_SECONDS,
                may_have_happened=False,
            ) from None
        finally:
            # A permit that came together with the end of our patience is of use to others.
            if (left := self._queue.leave(waiter)) is not None:
                self.tell(left, Verdict.UNTRIED)

    # --- asking -------------------------------------------------------------

    def _wake(self) -> None:
        """Have the pump ask now."""
        self._woken.set()
        if self._pump is None:
            self._pump = asyncio.get_running_loop().create_task(self._ask_on())

    async def _ask_on(self) -> None:
        """Ask, and deal out what is given, until nobody waits and nothing is left to tell."""
        try:
            while self._told or self._queue.first_rank() is not None:
                self._woken.clear()
                self._hushed = 0  # who comes while we ask is looked at afterwards
                turn, asked_at = self._turn(), time.monotonic()
                grant = await self._bucket.take(turn)
                self._note(grant, asked_at)
                self._deal(grant, turn)
                await self._pause(grant, turn)
        finally:
            self._pump = None

    def _turn(self) -> Turn:
        told = tuple(self._told[:MOST_TOLD])
        del self._told[:MOST_TOLD]
        used, self._used = self._used, 0
        returned, self._returned = self._returned, 0
        return Turn(
            wants=self._queue.wants(),
            told=told,
            used=used,
            returned=returned,
            probe=uuid.uuid4().hex,
            chance=random.random(),  # noqa: S311 - jitter is no secret
        )

    def _note(self, grant: Grant, asked_at: float) -> None:
        """Remember what concerns the calls to come."""
        now = time.monotonic()
        # What was told while we asked may be why nothing is free any more.
        self._free_until = 0.0 if self._told else asked_at + grant.free
        self._free_at = grant.given_at
        self._is_failing = grant.is_failing
        self._is_open = grant.open_left > 0
        self._is_limited = grant.wait > 0
        self._open_until = now + grant.open_left
        self._told_until = now + grant.told_left
        if grant.opened:
            self._metrics.api_breaker.labels("opened").inc()
        if grant.closed:
            self._metrics.api_breaker.labels("closed").inc()

    def _deal(self, grant: Grant, turn: Turn) -> None:
        """Hand out permits; tell those whose waiting is in vain."""
        probe = turn.probe if grant.is_probe else ""
        for permit in self._queue.serve(grant, probe):
            self.tell(permit, Verdict.UNTRIED)
        if grant.open_left > 0:
            for waiter in self._queue.all():
                error = CircuitOpen(operation=waiter.operation, retry_after=grant.open_left)
                self._queue.refuse(waiter, error)
        elif grant.told_left > 0:
            for waiter in self._queue.all():
                if waiter.until < self._told_until:
                    self._queue.refuse(waiter, _told_to_wait(waiter.operation, grant.told_left))

    async def _pause(self, grant: Grant, turn: Turn) -> None:
        """Wait until asking again may bring something, or until somebody wakes the pump."""
        first = self._queue.first_rank()
        if first is None:
            return
        short = [rank for rank, want in enumerate(turn.wants) if grant.given[rank] < want]
        if not short or first < short[0]:
            return  # it came while we asked, and may well be given what others are not
        self._hushed = short[0]
        seconds = min(max(SHORTEST_PAUSE, grant.wait, grant.told_left), LONGEST_PAUSE)
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._woken.wait()


def _told_to_wait(operation: str, left: float) -> ProviderBusy:
    return ProviderBusy(
        "Amili asked all of us to wait; nothing was sent",
        operation=operation,
        retry_after=left,
        may_have_happened=False,
    )
