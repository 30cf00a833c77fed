"""Amili in a simulation: the sandbox's own world, called without a socket, and its courier.

The sandbox is written from the contract and knows nothing of our code; its record of every call
is what the oracle judges by.
"""

from __future__ import annotations

import asyncio
import dataclasses
import heapq
import itertools
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

from starlette.routing import compile_path

from service.amili.client import AmiliClient
from service.amili.client.wire import Answer, Request
from service.domain.deliveries import Delivery, digest_of
from service.errors import ProviderUnreachable
from service.sandbox import api
from service.sandbox.answers import Answer as Told
from service.sandbox.asking import Ask
from service.sandbox.behaviour import Behaviour
from service.sandbox.faults import Fault
from service.sandbox.journal import Call
from service.sandbox.operations import OPERATIONS, Operation
from service.sandbox.outbox import Delivery as Outgoing
from service.sandbox.outbox import Target
from service.sandbox.wire import dumps
from service.sandbox.world import World
from tests.simulation.clockwork import Clockwork, Process
from tests.simulation.dice import Dice

BASE = "http://127.0.0.1/collection/v1"
ROUTES = tuple((each, compile_path(each.path)[0]) for each in OPERATIONS)
#: Read lag, effect delay and a late arrival together stay below the assumed read lag of 10 s.
LONGEST_LAG, LONGEST_DELAY, LATEST = 5.0, 2.0, 1.5
#: How many times as often a call is spoilt that changes something.
GRAVE = 6.0
#: What becomes of a spoilt call: most often the caller cannot know.
SPOILT = ("refused", "lost", "unanswered", "unanswered", "late", "status", "status")
#: Statuses that Amili's faults answer with.
STATUSES = (500, 502, 503, 504, 429, 423, 401, 409, 400)


class LaggingWorld(World):
    """The sandbox's world, of which each read shows a state of its own age."""

    lag = 0.0

    def horizon(self) -> float | None:
        """Say as of when this read shows the state."""
        return self.clock() - self.lag if self.lag else None


@dataclass(frozen=True)
class Seen:
    """One call as it left us: what the journal cannot know."""

    operation: str
    target: str | None
    key: str | None
    sent_at: float
    arrived_at: float
    status: int | None
    effect: str
    fault: str | None


class Amili:
    """The world, its courier's bag, and every call with the time at which it left us."""

    def __init__(self, clockwork: Clockwork, dice: Dice) -> None:
        chance = dice.chance
        self.clockwork = clockwork
        self.dice = dice
        self.max_lag = chance.choice((0.0, 0.0, 2.0, LONGEST_LAG))
        behaviour = Behaviour(
            effect_delay_seconds=chance.choice((0.0, 0.0, 0.5, LONGEST_DELAY)),
            batch_delay_seconds=chance.choice((0.2, 3.0)),
            repeats_conflict=chance.random() < 0.7,
            honours_idempotency=chance.random() < 0.3,
            spelling=chance.choice(("published", "type", "eventType", "alternate")),
            seed=chance.getrandbits(32),
        )
        self.world = LaggingWorld(clock=lambda: clockwork.now, behaviour=behaviour)
        self.world.outbox.target = Target("http://door")
        self.world.outbox.carry = self.carry
        self.bag: list[tuple[float, int, Delivery]] = []
        self.seen: list[Seen] = []
        self.late: list[tuple[float, int, Callable[[], Any]]] = []
        #: Each door, and what tells it of new deliveries.
        self.doors: dict[Process, asyncio.Event] = {}
        self.driver: Process | None = None
        self._serial = itertools.count()
        self.is_duplicating = chance.choice((0.0, 0.1, 0.5))
        self.is_shuffling = chance.choice((0.05, 2.0, 20.0))

    # --- webhooks ---------------------------------------------------------------

    def carry(self, outgoing: Outgoing) -> None:
        """Take a webhook on its way, sometimes twice, never in order for sure."""
        headers = {
            name.lower(): value
            for name, value in outgoing.headers(self.world.outbox.target).items()
            if name.lower() in ("idempotencykey", "x-amili-event", "x-amili-request-id")
        }
        times = 1
        while self.dice.chance.random() < self.is_duplicating and times < 4:
            times += 1
        for _ in range(times):
            delay = self.dice.chance.uniform(0.01, self.is_shuffling)
            self.put(outgoing.body, headers, delay)

    def put(self, body: bytes, headers: Mapping[str, str], delay: float) -> None:
        """Have a body delivered later."""
        due = self.clockwork.now + delay
        delivery = Delivery(digest_of(body), body, headers, received_at=None)  # type: ignore[arg-type]
        heapq.heappush(self.bag, (due, next(self._serial), delivery))
        if self.bag[0][0] == due:  # earlier than all that they know of
            for door, news in self.doors.items():
                news.set()
                door.wake()

    def take(self, most: int) -> list[Delivery]:
        """Take what is to be delivered now."""
        taken: list[Delivery] = []
        while self.bag and self.bag[0][0] <= self.clockwork.now and len(taken) < most:
            taken.append(heapq.heappop(self.bag)[2])
        return taken

    def again(self, delivery: Delivery) -> None:
        """Deliver once more later: it was not acknowledged."""
        self.put(delivery.body, delivery.headers, self.dice.chance.uniform(0.5, 8))

    # --- calls ------------------------------------------------------------------

    def next_due(self) -> float:
        """Say when something happens by itself."""
        times = [each[0] for each in self.world.agenda._heap[:1]]
        times += [each[0] for each in self.late[:1]]
        return min(times, default=float("inf"))

    def tick(self) -> None:
        """Let everything happen that is due."""
        while self.late and self.late[0][0] <= self.clockwork.now:
            heapq.heappop(self.late)[2]()
        self.world.tick()
        self.hurry()

    def hurry(self) -> None:
        """Have the driver wake for what is due next."""
        if self.driver is not None:
            self.driver.wake_at = min(self.driver.wake_at, self.next_due())

    def arrive_later(self, at: float, request: Request, sent_at: float) -> None:
        """Let a call arrive whose caller no longer waits."""
        heapq.heappush(self.late, (at, next(self._serial), lambda: self.call(request, sent_at)))
        self.hurry()

    def call(self, request: Request, sent_at: float, fault: Fault | None = None) -> Told:
        """Perform one call, write it into the journal, and answer it."""
        world = self.world
        now = world.tick()
        world.lag = self.dice.chance.uniform(0, self.max_lag) if self.max_lag else 0.0
        split = urlsplit(request.url)
        path = split.path.removeprefix("/collection/v1")
        operation, ids = route(request.method, path)
        headers = {name.lower(): value for name, value in request.headers.items()}
        ask = Ask(
            path=ids,
            query=dict(request.params) | dict(parse_qsl(split.query)),
            key=headers.get("idempotencykey"),
            base=BASE,
            raw=request.body or b"",
            content_type="application/json",
        )
        if fault is not None:
            world.faults.add(fault)
        answer = api._admit(world, operation, ask, now)
        world.faults.clear()
        url = SimpleNamespace(path=split.path, query=str(request.params))
        plain: Any = SimpleNamespace(method=request.method, url=url)
        api._record(world, operation, plain, ask, answer)
        call: Call = world.journal._calls[-1]
        self.seen.append(
            Seen(
                call["operation"],
                call["target"] or dict(request.params).get("CaseNumber"),
                call["idempotencyKey"],
                sent_at,
                now,
                call["status"],
                call["effect"],
                call["fault"],
            )
        )
        self.hurry()
        return answer


def route(method: str, path: str) -> tuple[Operation, dict[str, str]]:
    """Find the operation of a path, and the ids in it."""
    for operation, pattern in ROUTES:
        match = pattern.match(path)
        if match and operation.method == method:
            return operation, {name: unquote(value) for name, value in match.groupdict().items()}
    raise LookupError(path)


# --- what the client sees -----------------------------------------------------


class Tokens:
    """A token that is always good."""

    async def get(self, wire: object, *, timeout: float) -> str:
        """Return it."""
        return "token"

    async def invalidate(self, text: str) -> None:
        """Forget it."""


class ShakyWire:
    """The network between one process and Amili."""

    def __init__(self, amili: Amili, process: Process, dice: Dice) -> None:
        self._amili = amili
        self._process = process
        self._dice = dice

    async def exchange(self, request: Request, *, timeout: float) -> Answer:
        """Send a request once, as `Wire.exchange` does; it may be lost on either way, or late."""
        dice, clockwork = self._dice, self._process.clockwork
        sent_at = clockwork.now
        await asyncio.sleep(dice.chance.uniform(0.002, 0.05))
        now = clockwork.now
        times = GRAVE if request.method == "POST" else 1.0
        if dice.happens(dice.crash, "http", now, times=times):
            dice.note(self._process, f"crashes before {request.operation}")
            self._process.crash()
        if dice.is_down("http", now):
            raise unreachable(request, may_have_happened=False)
        if not dice.happens(dice.fail, "http", now, times=times):
            return await self._answered(request, sent_at, None)
        return await self._spoilt(request, sent_at, timeout)

    async def _spoilt(self, request: Request, sent_at: float, timeout: float) -> Answer:
        dice = self._dice
        kind = dice.chance.choice(SPOILT)
        dice.note(self._process, f"{request.operation}: {kind}")
        dice.done(self._process, "http")
        if kind == "refused":
            raise unreachable(request, may_have_happened=False)
        if kind == "status":
            status = dice.chance.choice(STATUSES)
            is_server = status >= 500 and request.method == "POST"
            after = is_server and dice.chance.random() < 0.5
            told = dice.chance.choice((None, 1, 5)) if status in (429, 503) else None
            fault = Fault(status=status, after_effect=after, retry_after=told)
            return await self._answered(request, sent_at, fault)
        left = sent_at + timeout
        if kind == "unanswered":
            self._amili.call(request, sent_at, Fault(cut=True, after_effect=True))
        elif kind == "late":
            self._amili.arrive_later(left + dice.chance.uniform(-2, LATEST), request, sent_at)
        await asyncio.sleep(max(0.0, left - self._process.clockwork.now))
        raise unreachable(request, may_have_happened=True)

    async def _answered(self, request: Request, sent_at: float, fault: Fault | None) -> Answer:
        dice = self._dice
        told = self._amili.call(request, sent_at, fault)
        dice.done(self._process, "http")
        if dice.happens(dice.stall, "http", self._process.clockwork.now):
            await asyncio.sleep(dice.chance.uniform(1, 8))
        else:
            await asyncio.sleep(dice.chance.uniform(0.002, 0.05))
        return answer_of(told)


def answer_of(told: Told) -> Answer:
    """Write an answer as the wire gives it."""
    headers = {} if told.retry_after is None else {"Retry-After": str(told.retry_after)}
    body = (
        told.body
        if isinstance(told.body, bytes)
        else b""
        if told.body is None
        else dumps(told.body)
    )
    return Answer(told.status or 0, headers, body, "request")


def unreachable(request: Request, *, may_have_happened: bool) -> ProviderUnreachable:
    """Make the error that the wire would raise."""
    words = "simulated: no answer" if may_have_happened else "simulated: no connection"
    return ProviderUnreachable(
        words, operation=request.operation, may_have_happened=may_have_happened
    )


class WiredClient(AmiliClient):
    """The real client, with its retries and deadlines, on a simulated wire."""

    wire: Any = None

    async def __aenter__(self) -> WiredClient:
        """Take the wire."""
        self._transport._wire = self.wire
        return self

    async def __aexit__(self, *given: object) -> None:
        """Leave it."""


def faster(behaviour: Behaviour, **changes: Any) -> Behaviour:
    """Return a behaviour with knobs turned."""
    return dataclasses.replace(behaviour, **changes)
