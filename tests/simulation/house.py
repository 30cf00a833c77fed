"""The house in a simulation: every process and its parts, on one database, Redis and Amili."""

from __future__ import annotations

import asyncio
import random
import uuid
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from functools import cache

from service.amili.contract import Contract
from service.desk.asking import Asking
from service.desk.handing_over import Handover
from service.desk.writing import Writing
from service.domain.deliveries import Delivery
from service.domain.pausing import Rules
from service.errors import NothingDurable
from service.inbox import keys
from service.inbox.stream import Stream
from service.intake.writing import DurableWriter
from service.policies import POLICIES
from service.queue import QueueName
from service.settings import Settings
from service.telemetry.metrics import Metrics
from tests.simulation import peeking
from tests.simulation.amili import Amili, ShakyWire
from tests.simulation.clockwork import FOREVER, Clockwork, Crashed, Process
from tests.simulation.dice import Dice
from tests.simulation.redis_client import (
    Belfry,
    ModelAppender,
    ShakyAsyncRedis,
    ShakyBells,
    ShakyRedis,
)
from tests.simulation.redis_model import RedisModel
from tests.simulation.sql import Memory, ShakyDatabase
from workers import belt, jobs
from workers.parts import Parts
from workers.sweeping import Sweeper

START = 1_700_000_000.0
MOST_AT_ONCE = 4
#: Fewer rounds of the sweeper than in truth find the same, a little later.
ROUND_SECONDS = 3.0
QUEUES: tuple[QueueName, ...] = ("events", "actions")


@cache
def fixed() -> tuple[Settings, Contract, Metrics]:
    """Return what every simulation shares: settings, contract and one set of counters."""
    settings = Settings(api_base_url="http://127.0.0.1/collection/v1", client_id="c")
    return settings, Contract(), Metrics()


class House:
    """Everything that runs under one seed."""

    def __init__(self, seed: int, memory: Memory) -> None:
        self.seed = seed
        self.chance = random.Random(seed)
        self.clockwork = Clockwork(START)
        self.memory = memory
        memory.empty()
        self.span = self.chance.uniform(15, 60)
        self.dice = Dice.thrown(self.chance, START, START + self.span)
        self.redis = RedisModel(lambda: self.clockwork.now * 1000)
        self.belfry = Belfry()
        self.amili = Amili(self.clockwork, self.dice)
        self.settings, self.contract, self.metrics = fixed()
        self.rules = Rules(timedelta(seconds=self.contract.read_lag_seconds))
        self._ids = random.Random(self.chance.getrandbits(64))
        self._runs = 0
        #: Digests of bodies that the door said it has.
        self.acknowledged: set[bytes] = set()
        #: Errors that ended a job and that no fault of the dice explains.
        self.broken: list[str] = []
        jobs.configure(jobs.Context(self.settings, self.contract, self.metrics, "simulated"))

    def new_id(self) -> uuid.UUID:
        """Make an id that depends on the seed only."""
        return uuid.UUID(bytes=self._ids.randbytes(16), version=4)

    def now(self) -> datetime:
        """Return the virtual time."""
        return datetime.fromtimestamp(self.clockwork.now, UTC)

    # --- parts ------------------------------------------------------------------

    def client(self, process: Process) -> ShakyRedis:
        """Connect a process to Redis."""
        return ShakyRedis(self.redis, process, self.dice)

    def database(self, process: Process) -> ShakyDatabase:
        """Connect a process to SQL."""
        return ShakyDatabase(self.memory.engine, process, self.dice)

    def bells(self, process: Process) -> ShakyBells:
        """Give a process its hand on the bells."""
        return ShakyBells(self.belfry, self.client(process))

    def wire(self, process: Process) -> ShakyWire:
        """Connect a process to Amili."""
        return ShakyWire(self.amili, process, self.dice)

    def parts(self, process: Process) -> Parts:
        """Make what one job of a process works with."""
        self._runs += 1
        client = self.client(process)
        return Parts(
            settings=self.settings,
            contract=self.contract,
            metrics=self.metrics,
            database=self.database(process),
            redis=client,  # type: ignore[arg-type]
            stream=Stream(client, f"{process.name}-{process.lives}"),  # type: ignore[arg-type]
            bells=ShakyBells(self.belfry, client),  # type: ignore[arg-type]
            policies=POLICIES,
            rules=self.rules,
            holder=f"{process.name}:{process.lives}:{self._runs}",
            chance=random.Random(self.chance.getrandbits(64)),
        )

    # --- processes --------------------------------------------------------------

    def open(self) -> None:
        """Start every process but the driver."""
        chance = self.chance
        for number in range(chance.choice((1, 1, 2))):
            self.start(f"door{number}", self.door)
        for queue in QUEUES:
            for number in range(chance.choice((1, 2, 2))):
                process = self.start(f"{queue}{number}", self.worker(queue))
                self.belfry.listeners[queue].append(process)
        for number in range(chance.choice((1, 1, 2))):
            self.start(f"sweep{number}", self.sweeper)

    def start(self, name: str, body: Callable[[Process], None]) -> Process:
        """Start a process that comes back after each crash."""
        return self.clockwork.spawn(name, lambda process: process.live(body, self.rest))

    def rest(self) -> float:
        """Say how long a crashed process is away."""
        return self.chance.choice((0.3, 2.0, 12.0)) * self.chance.uniform(0.8, 1.2)

    def door(self, process: Process) -> None:
        """Take webhooks from the courier, write them durably, acknowledge them."""
        appender = ModelAppender(ShakyAsyncRedis(self.redis, process, self.dice))
        writer = DurableWriter(
            appender,
            self.database(process),
            self.bells(process),  # type: ignore[arg-type]
            self.metrics,
        )
        taken: list[Delivery] = []
        process.is_server = True
        try:
            process.run(self.serve(process, writer, taken))
        except Crashed:
            self.amili.doors.pop(process, None)
            self.come_again(taken)
            raise

    async def serve(self, process: Process, writer: DurableWriter, taken: list[Delivery]) -> None:
        """Write what comes, group by group; `taken` is what is not acknowledged yet."""
        news = self.amili.doors[process] = asyncio.Event()
        while True:
            news.clear()
            taken += [
                Delivery(each.digest, each.body, each.headers, self.now())
                for each in self.amili.take(MOST_AT_ONCE)
            ]
            if not taken:
                left = None
                if (
                    self.amili.bag
                ):  # a loop may wake a little early: then it would never sleep again
                    left = max(self.amili.bag[0][0] - self.clockwork.now, 1e-4)
                with suppress(TimeoutError):
                    await asyncio.wait_for(news.wait(), left)
                continue
            try:
                await writer.write(taken)
            except NothingDurable:
                self.come_again(taken)
            else:
                self.acknowledged |= {each.digest for each in taken}
            taken.clear()

    def come_again(self, group: list[Delivery]) -> None:
        """Have Amili deliver later what was not acknowledged."""
        for each in group:
            self.amili.again(each)

    def worker(self, queue: QueueName) -> Callable[[Process], None]:
        """Make an RQ worker of one queue: it pops a bell and runs the job."""
        work = jobs.events_round if queue == "events" else belt.act

        def body(process: Process) -> None:
            while True:
                if self.belfry.take(queue):
                    jobs.run(queue, work)
                else:
                    process.wait(FOREVER)

        return body

    def sweeper(self, process: Process) -> None:
        """Sweep; where nothing can be due earlier, rounds that would find nothing are left out."""
        sweeper = Sweeper(self.parts(process))
        rest = ROUND_SECONDS
        while True:
            sweeper.sweep()
            now, due = self.clockwork.now, self.next_due()
            is_quiet = self.dice.is_quiet(now)
            # What stays due for ever is seen as well by ever fewer rounds.
            rest = min(rest * 1.1, 60.0) if is_quiet and due <= now else ROUND_SECONDS
            process.wait(min(max(now + rest, due), now + (60.0 if is_quiet else 10.0)))

    # --- what is to come --------------------------------------------------------

    def next_due(self) -> float:
        """Say when the next thing is due in SQL or Redis; FOREVER when nothing is."""
        if self.redis.xlen(keys.STREAM):
            return self.clockwork.now
        return peeking.next_due(self.memory.raw, self.clockwork.now)

    # --- the desk ---------------------------------------------------------------

    def writing(self, process: Process) -> Writing:
        """Give the operator's process the desk."""
        return Writing(self.database(process), self.bells(process))  # type: ignore[arg-type]

    def asking(self, process: Process) -> Asking:
        """Give the operator's process the requests."""
        return Asking(self.database(process), self.bells(process))  # type: ignore[arg-type]

    def handover(self, process: Process) -> Handover:
        """Give the operator's process what hands over."""
        return Handover(self.database(process), self.bells(process), chunk_items=2)  # type: ignore[arg-type]
