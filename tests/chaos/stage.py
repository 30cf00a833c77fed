"""Everything that a chaos run runs: servers, links that break, door and workers, a faulty Amili."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import psutil

from service.embedded import EmbeddedRedis
from service.sandbox.behaviour import Behaviour
from service.sandbox.harness import SandboxServer
from tests.chaos.proxy import Link, Proxy
from tests.e2e.house import CLIENT_ID, CLIENT_SECRET, PATIENCE, SECRET, House, Part
from tests.servers import PostgresServer

RESTART_SECONDS = 30.0
#: Reads are so stale; the house is told to believe twice that.
READ_LAG = 1.0
#: A thawed server that was told to end does so by then.
SETTLE_SECONDS = 1.0
SPAWNED = "multiprocessing.spawn"


@dataclass(frozen=True)
class Variant:
    """Which stores, how durable, how long leases last, and how many workers there are."""

    database: str = "postgresql"
    durable: bool = True
    lease_seconds: float = 10.0
    workers: int = 2

    @property
    def name(self) -> str:
        """Name the variant."""
        fsync = "always" if self.durable else "everysec, AMILI_ACK_DURABILITY=memory"
        return f"{self.database}, appendfsync {fsync}, leases of {self.lease_seconds:g} s"


@dataclass(frozen=True)
class Address:
    """Where Amili answers, as our processes see it."""

    base_url: str
    token_url: str


@dataclass
class Stage:
    """The running whole. `links` are named redis, database (PostgreSQL only) and amili."""

    variant: Variant
    house: House
    redis: EmbeddedRedis
    postgres: PostgresServer | None
    amili: SandboxServer
    links: dict[str, Link]
    workers: list[Part] = field(default_factory=list)
    door: Part | None = None

    def begin(self) -> None:
        """Migrate, start the door and the workers."""
        self.house.start(worker=False)
        self.door = self.house.parts[0]
        self.workers = [self.house.start_worker() for _ in range(self.variant.workers)]

    def revive(self) -> None:
        """Start again what has ended, as whoever runs containers does."""
        if self.door is not None and self.door.popen.poll() is not None:
            self.house.parts.remove(self.door)
            self.door = self.house.run("door", "service.web")
        for n, worker in enumerate(self.workers):
            if worker.popen.poll() is not None:
                self.house.parts.remove(worker)
                self.workers[n] = self.house.start_worker()

    def restart_stores(self) -> None:
        """Start Redis and PostgreSQL where they are gone; what was killed may need a moment."""
        self.redis.start()
        until = time.monotonic() + RESTART_SECONDS
        while self.postgres is not None and not self.postgres.running:
            try:
                self.postgres.start()
            except RuntimeError:
                if time.monotonic() > until:
                    raise
                time.sleep(0.3)  # the sessions of a killed postmaster still hold its memory

    def calm(self) -> None:
        """End every disturbance: thaw, start, heal; Amili makes no more faults."""
        for process in self.house.processes():
            with contextlib.suppress(psutil.NoSuchProcess):
                process.resume()
        if self.redis.running:
            self.redis.resume()
        if self.postgres is not None and self.postgres.running:
            self.postgres.resume()
        time.sleep(SETTLE_SECONDS)
        self.restart_stores()
        for link in self.links.values():
            link.heal()
        self.amili.control.clear_faults()
        self.until(self.house.is_ready)

    def until(self, condition: Callable[[], bool], *, seconds: float = PATIENCE) -> None:
        """Wait for a condition; who was asked to go a moment ago is started again when it went."""

        def look() -> bool:
            self.revive()
            return condition()

        self.house.until(look, seconds=seconds)

    # --- who is there -------------------------------------------------------------

    def doors(self) -> list[psutil.Process]:
        """Find the processes of the door below its parent."""
        return [each for each in self._below(self.door) if SPAWNED in words(each)]

    def supervisors(self) -> list[psutil.Process]:
        """Find the tops of the workers."""
        found = []
        for worker in self.workers:
            with contextlib.suppress(psutil.NoSuchProcess):
                found.append(psutil.Process(worker.pid))
        return found

    def children(self, *kinds: str) -> list[psutil.Process]:
        """Find the processes `events`, `actions` or `sweeper` below the supervisors."""
        found = []
        for worker in self.workers:
            for each in self._below(worker):
                with contextlib.suppress(psutil.Error):
                    is_child = each.ppid() == worker.pid
                    if is_child and words(each).endswith(tuple(f"child {k}" for k in kinds)):
                        found.append(each)
        return found

    def horses(self) -> list[psutil.Process]:
        """Find the forks that run a job just now."""
        found = []
        for parent in self.children("events", "actions"):
            with contextlib.suppress(psutil.NoSuchProcess):
                found += parent.children()
        return found

    def sessions(self) -> list[psutil.Process]:
        """Find PostgreSQL's processes that serve one connection each."""
        if self.postgres is None or not self.postgres.running:
            return []
        with contextlib.suppress(psutil.NoSuchProcess):
            below = psutil.Process(self.postgres.process.pid).children()
            return [each for each in below if "127.0.0.1" in words(each)]
        return []

    def _below(self, part: Part | None) -> list[psutil.Process]:
        return [] if part is None else self.house.tree(part)[1:]


def words(process: psutil.Process) -> str:
    """Read a command line; '' of a process that is gone."""
    with contextlib.suppress(psutil.Error):
        return " ".join(process.cmdline())
    return ""


def through(url: str, link: Link) -> str:
    """Lead a URL through a link."""
    parts = urlsplit(url)
    user = f"{parts.netloc.rpartition('@')[0]}@" if "@" in parts.netloc else ""
    return urlunsplit(parts._replace(netloc=f"{user}127.0.0.1:{link.port}"))


def port_of(url: str) -> int:
    """Read the port of a URL."""
    port = urlsplit(url).port
    if port is None:
        raise ValueError("a URL of a test's server names its port")
    return port


@contextlib.contextmanager
def raised(folder: Path, variant: Variant, seed: int, **settings: str) -> Iterator[Stage]:
    """Start all servers, and build a house that sees them through links; end everything."""
    with ExitStack() as stack:
        redis = stack.enter_context(EmbeddedRedis(folder / "redis", durable=variant.durable))
        postgres, direct = None, f"sqlite:///{folder / 'amili.db'}"
        if variant.database == "postgresql":
            postgres = stack.enter_context(PostgresServer())
            direct = postgres.url
        amili = stack.enter_context(sandbox(seed))
        proxy = stack.enter_context(Proxy(seed))
        links = {"redis": proxy.link(redis.port), "amili": proxy.link(port_of(amili.url))}
        seen = direct
        if postgres is not None:
            links["database"] = proxy.link(postgres.port)
            seen = through(direct, links["database"])
        house = House(
            folder / "house",
            redis_url=through(redis.url, links["redis"]),
            database_url=direct,
            amili=Address(*(through(u, links["amili"]) for u in (amili.base_url, amili.token_url))),
            more={
                "database_url": seen,
                "door_processes": "2",
                "ack_durability": "disk" if variant.durable else "memory",
                "lease_seconds": str(variant.lease_seconds),
                "lease_renew_seconds": str(variant.lease_seconds * 0.3),
                "read_lag_seconds": str(2 * READ_LAG),
                "submit_chunk_items": "3",
                **settings,
            },
        )
        yield Stage(variant, stack.enter_context(house), redis, postgres, amili, links)


def sandbox(seed: int) -> SandboxServer:
    """Make an Amili whose reads lag behind."""
    return SandboxServer(
        client_id=CLIENT_ID,
        client_secret=CLIENT_SECRET,
        webhook_secret=SECRET,
        behaviour=Behaviour(read_lag_seconds=READ_LAG, seed=seed),
    )


def spoil(amili: SandboxServer, share: float = 0.02) -> None:
    """Let every kind of fault strike this share of all calls, and a part of webhooks get lost."""
    control = amili.control
    control.set_behaviour(webhook_loss_rate=0.1, reorder=True, answer_delay_seconds=0.15)
    for operation in ("PauseCase", "ResumeCase"):  # few calls, and the ones that matter
        control.add_fault(operation, cut=True, after_effect=True, rate=6 * share)
        control.add_fault(operation, cut=True, rate=3 * share)
        control.add_fault(operation, status=503, after_effect=True, rate=3 * share)
    for status in (500, 502, 503):
        control.add_fault(status=status, rate=share / 2)
        control.add_fault(status=status, rate=share / 4, after_effect=True)
    control.add_fault(status=429, retry_after=1, rate=share / 2)
    control.add_fault(status=423, rate=share / 2)
    control.add_fault(cut=True, rate=share)
    control.add_fault(cut=True, after_effect=True, rate=share)
    control.add_fault(cut_midway=True, rate=share / 2)
    control.add_fault(delay_seconds=1.5, rate=share)
