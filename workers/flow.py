"""Looks at all that is due without a pause: while some are fetched, others are claimed or applied.

Calls to Amili take longest, so what is fetched next is claimed before the calls under way have
ended, and no more than that: who is claimed early is read late, and what is told of it meanwhile
needs another look. One drain, one claim and one transaction of results run at a time, each in a
thread.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeVar

from service.amili.client import AmiliClient
from service.domain.entities import Claim, Read
from workers import looking
from workers.parts import Parts
from workers.work import Result

#: Entities that are claimed and not yet applied, at most: their records are held in memory.
MOST_HELD = 400
#: Claimed ahead is what is fetched in so many seconds: a claim takes a part of that.
AHEAD_SECONDS = 0.4
#: Results wait so long for company, or until none came for the shorter time.
COMPANY_SECONDS = 0.15
LULL_SECONDS = 0.04
#: How often the stream is looked at, and SQL when all that was due is held already.
AGAIN_SECONDS = 0.25
#: How much of the stream is moved at a time, while most events are of entities of their own, and
#: while they are not.
STEP = 256
WHOLE = 5_000
#: So many events for each entity, and it pays to have all in SQL before the first look.
BURST = 2.0
#: After this everybody else waits until suspects were looked at, and the other way round.
LAP_SECONDS = 5.0
SUSPECTS_SECONDS = 2.0

#: A timer may wake us so much too early.
SLACK_SECONDS = 0.001

T = TypeVar("T")
#: Moves about so many deliveries into SQL; returns how many it were.
Drain = Callable[[int], int]


async def look(
    parts: Parts, client: AmiliClient, *, drain: Drain | None = None, seconds: float = math.inf
) -> int:
    """Look at due entities until none is left or the time is up; return how many were.

    `drain` brings news into SQL. What is held is finished when the time is up.
    """
    clock = asyncio.get_running_loop().time
    until, looked = clock() + seconds, 0
    while True:
        flow = Flow(parts, client, drain, until)
        looked += await flow.run()
        if clock() >= until:
            return looked
        suspects = await look_at_suspects(parts, client)
        looked += suspects
        if not suspects and flow.is_dry:
            return looked


async def look_at_suspects(parts: Parts, client: AmiliClient) -> int:
    """Look at suspects, a few at a time and at nobody beside them, for a while."""
    clock = asyncio.get_running_loop().time
    until, looked = clock() + SUSPECTS_SECONDS, 0
    while clock() < until:
        claims, began = await asyncio.to_thread(looking.suspect, parts)
        if not claims:
            break
        flow = Flow(parts, client, None, until=-math.inf)
        flow.put_on(claims, began)
        looked += await flow.run()
    return looked


@dataclass(frozen=True, slots=True)
class Found:
    """What a claim brought."""

    claims: tuple[Claim, ...] = ()
    began: Read | None = None
    #: As many as it asked for.
    is_full: bool = True
    #: Suspects wait, and it is their turn.
    is_lap_over: bool = False


class Flow:
    """The looks under way: claims until nothing is due, the time is up, or suspects have a turn."""

    def __init__(
        self, parts: Parts, client: AmiliClient, drain: Drain | None, until: float
    ) -> None:
        self._parts = parts
        self._client = client
        self._move = drain
        self._clock = asyncio.get_running_loop().time
        self._until = until
        self._lap_until = self._clock() + LAP_SECONDS
        self._width = parts.settings.api_concurrency
        # Dictionaries are ordered sets here.
        self._fetches: dict[asyncio.Task[Result], None] = {}
        self._ready: list[Result] = []
        self._drain: asyncio.Task[int] | None = None
        self._claim: asyncio.Task[Found] | None = None
        self._apply: asyncio.Task[int] | None = None
        self._being_applied = 0
        self._news = asyncio.Event()
        self._alarm: asyncio.TimerHandle | None = None
        #: Nothing more is claimed; nothing more is fetched either.
        self._is_over = self._is_stopped = False
        #: The last claim left nothing that it could have taken, and nobody told of more since.
        self.is_dry = False
        #: A drain has ended since the last claim began; the stream had more than it moved.
        self._is_fresh, self._is_behind = False, True
        self._drained_at = -math.inf
        self._errors: list[BaseException] = []
        self._looked = 0
        #: How many events an entity of the last claim had; 0 before the first.
        self._events_each = 0.0
        #: When the last claim began, how many were fetched since, and how many a second of late.
        self._claimed_at = self._clock()
        self._fetched = 0
        self._pace = 0.0
        #: When the first and the last of `_ready` came.
        self._first_at = self._last_at = 0.0

    async def run(self) -> int:
        """Run until nothing is held; return how many were looked at.

        Raises the first error of the store: calls under way are then broken off, threads are not.
        """
        try:
            while not self._errors:
                self._news.clear()
                self._begin_apply()
                self._begin_claim()  # first: in a burst it comes right after a drain
                self._begin_drain()
                if not (self._fetches or self._threads):
                    break
                self._set_alarm()
                await self._news.wait()
        finally:
            await self._stop()
        if self._errors:
            raise self._errors[0]
        return self._looked

    async def _stop(self) -> None:
        """Leave nothing behind that runs."""
        self._is_stopped = True
        if self._alarm is not None:
            self._alarm.cancel()
        for fetch in self._fetches:
            fetch.cancel()
        await asyncio.gather(*self._fetches, *self._threads, return_exceptions=True)

    @property
    def _threads(self) -> list[asyncio.Task[Any]]:
        return [each for each in (self._drain, self._claim, self._apply) if each is not None]

    def _set_alarm(self) -> None:
        """Be woken when something is due that no event tells."""
        now, dues = self._clock(), []
        if self._ready and self._apply is None:
            dues.append(self._apply_at())
        if not self._is_over:
            dues += [self._claimed_at + AGAIN_SECONDS, self._drained_at + AGAIN_SECONDS]
        due = min((each for each in dues if each > now), default=None)
        if due is None or (self._alarm is not None and now < self._alarm.when() <= due):
            return
        if self._alarm is not None:
            self._alarm.cancel()
        self._alarm = asyncio.get_running_loop().call_at(due, self._news.set)

    def _in_thread(
        self, done: Callable[[asyncio.Task[T]], None], work: Callable[..., T], *given: Any
    ) -> asyncio.Task[T]:
        task = asyncio.create_task(asyncio.to_thread(work, *given))
        task.add_done_callback(done)
        return task

    def _result(self, task: asyncio.Task[T]) -> T | None:
        """Take what a task came to; None if that is an error, which is kept."""
        self._news.set()
        if task.cancelled():
            return None
        if (error := task.exception()) is not None:
            self._errors.append(error)
            return None
        return task.result()

    # --- draining ---------------------------------------------------------------

    def _begin_drain(self) -> None:
        """Move what is in the stream: now and then, and whatever else is there after that."""
        now = self._clock()
        if self._is_over or self._move is None or self._drain is not None:
            return
        is_needed = self._is_burst and not self._is_fresh
        is_time = now >= self._drained_at + AGAIN_SECONDS - SLACK_SECONDS
        if is_needed or is_time or self._is_behind:
            most = WHOLE if self._is_burst else STEP
            self._drained_at = now
            self._drain = self._in_thread(partial(self._drained, most), self._move, most)

    def _drained(self, most: int, task: asyncio.Task[int]) -> None:
        self._drain = None
        moved = self._result(task) or 0
        self._is_behind = moved >= most
        self._is_fresh = not (self._is_burst and self._is_behind and most < WHOLE)
        self.is_dry = self.is_dry and not moved

    @property
    def _is_burst(self) -> bool:
        return self._events_each >= BURST

    @property
    def _must_drain_first(self) -> bool:
        """Say whether to wait with the next claim: always with the first, and in a burst."""
        is_patient = self._is_burst or not self._events_each
        return self._move is not None and is_patient and not (self._is_fresh and not self._drain)

    # --- claiming ---------------------------------------------------------------

    @property
    def _held(self) -> int:
        return len(self._fetches) + len(self._ready) + self._being_applied

    def _begin_claim(self) -> None:
        """Claim, as soon as what is claimed lasts no longer than the claim itself.

        An entity is not claimed while many of its events are still in the stream: all of them
        are to be one look. Where each event is of an entity of its own, nobody waits for that.
        """
        now = self._clock()
        self._is_over = self._is_over or now >= self._until
        if self._claim is not None:
            return
        if self.is_dry and not self._held and not self._is_fresh:
            # Whoever tells of something new rings after its commit, and the bell's flag was taken
            # down before the last claim: that is for the next job.
            self._is_over = True
        if self._is_over or self._must_drain_first:
            return
        if self.is_dry and self._held and now < self._claimed_at + AGAIN_SECONDS - SLACK_SECONDS:
            return
        room = self._room(now)
        if room <= 0:
            return
        is_lap_over = now >= self._lap_until
        if is_lap_over:
            self._lap_until = now + LAP_SECONDS
        self._claimed_at, self._fetched, self._is_fresh = now, 0, False
        self._claim = self._in_thread(self._found, self._find, room, is_lap_over)

    def _room(self, now: float) -> int:
        """Say how many to claim: enough for a while at the pace of late; 0 while enough are."""
        since = now - self._claimed_at
        pace = max(self._pace / 2, self._fetched / since if since > 0 else 0.0)
        ahead, waiting = pace * AHEAD_SECONDS, len(self._fetches)
        if waiting > self._width + ahead / 2:
            return 0
        self._pace = pace
        most = max(MOST_HELD, 2 * self._width) - self._held
        return int(min(2 * self._width + ahead - waiting, most))

    def _find(self, room: int, is_lap_over: bool) -> Found:
        """Claim. Runs in a thread."""
        if is_lap_over and looking.has_suspects(self._parts):
            return Found(is_lap_over=True)
        claims, began = looking.claim(self._parts, room)
        return Found(claims, began, is_full=len(claims) >= room)

    def _found(self, task: asyncio.Task[Found]) -> None:
        self._claim = None
        found = self._result(task)
        if found is None or self._is_stopped:
            return  # the job gives back what it does not fetch
        self.is_dry = not found.is_full
        self._is_over = self._is_over or found.is_lap_over
        told = [len(each.events) for each in found.claims if each.events]
        self._events_each = sum(told) / len(told) if told else 1.0
        # What was moved beside this claim was a part only.
        self._is_fresh = self._is_fresh and not (self._is_burst and self._is_behind)
        if found.began is not None:
            self.put_on(found.claims, found.began)

    # --- fetching ---------------------------------------------------------------

    def put_on(self, claims: tuple[Claim, ...], began: Read) -> None:
        """Fetch what these claims need; the client bounds the calls at once."""
        for each in claims:
            fetch = asyncio.create_task(looking.result_of(self._parts, self._client, each, began))
            fetch.add_done_callback(self._put_off)
            self._fetches[fetch] = None

    def _put_off(self, fetch: asyncio.Task[Result]) -> None:
        del self._fetches[fetch]
        result = self._result(fetch)
        if result is None:
            return
        self._fetched += 1
        self._last_at = self._clock()
        if not self._ready:
            self._first_at = self._last_at
        self._ready.append(result)

    # --- applying ---------------------------------------------------------------

    def _begin_apply(self) -> None:
        """Apply what is there once it has waited for company."""
        if self._apply is not None or not self._ready:
            return
        is_enough = len(self._ready) >= looking.TOGETHER or not self._fetches
        now = self._clock()
        if not is_enough and now < self._apply_at() - SLACK_SECONDS:
            return
        some, self._ready = self._ready[: looking.TOGETHER], self._ready[looking.TOGETHER :]
        self._first_at = now
        self._being_applied = len(some)
        self._apply = self._in_thread(self._applied, looking.conclude, self._parts, some)

    def _apply_at(self) -> float:
        return min(self._first_at + COMPANY_SECONDS, self._last_at + LULL_SECONDS)

    def _applied(self, task: asyncio.Task[int]) -> None:
        self._apply = None
        self._looked += self._being_applied
        self._being_applied = 0
        if self._result(task):
            self.is_dry = False
