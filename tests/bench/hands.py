"""The contestants among the workers: how two processes of each are started, and given work."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.request import urlopen

import psycopg

from service.embedded import EmbeddedRedis, free_port
from service.redis import connect
from tests.bench import bodies, doors, load, setting_up
from tests.bench.bodies import ORGANIZATION
from tests.bench.stage import PYTHON, Broken, Running, Stage, listens, until
from tests.servers import fresh_database

CASES = """
CREATE TABLE cases (
    case_id text PRIMARY KEY, case_number text NOT NULL, status text, type text,
    raw text NOT NULL, read_at timestamptz NOT NULL
)
"""
FILL_SECONDS = 120
#: RQ's processes of one `python -m workers`: events and actions.
RQ_PROCESSES = 2


@dataclass
class Bench:
    """What one turn of workers stands on."""

    stage: Stage
    redis: EmbeddedRedis
    database_url: str
    amili_port: int

    @property
    def api_url(self) -> str:
        """Where the stub of Amili answers."""
        return f"http://127.0.0.1:{self.amili_port}"

    def calls(self) -> dict[str, int]:
        """Ask the stub how often it was called, by kind."""
        with urlopen(f"{self.api_url}/_counts", timeout=10) as answer:  # noqa: S310 - loopback
            counts: dict[str, int] = json.load(answer)
        return {kind: count for kind, count in counts.items() if kind != "token"}

    def environment(self) -> dict[str, object]:
        """Give contestants their settings."""
        return {
            "BENCH_REDIS_URL": self.redis.url,
            "BENCH_DATABASE_URL": self.database_url,
            "BENCH_API_URL": self.api_url,
            "BENCH_ORGANIZATION": ORGANIZATION,
        }

    def our_environment(self, **more: object) -> dict[str, object]:
        """Give the product its settings."""
        return doors.our_settings(
            self.stage,
            self.redis.url,
            database_url=self.database_url,
            api_base_url=self.api_url,
            token_url=f"{self.api_url}/token",
            client_id="bench",
            client_secret="bench",
            organization_ids=ORGANIZATION,
            **more,
        )


@dataclass(frozen=True)
class Hands:
    """One contestant."""

    name: str
    words: str
    durable: bool
    #: Make what it needs in Redis and SQL.
    prepare: Callable[[Bench], None]
    start: Callable[[Bench], Running]
    #: All of these many processes wait for work.
    ready: Callable[[Bench, list[Running]], bool]
    #: Put in so many events, about cases from this number on.
    fill: Callable[[Bench, int, int], None]
    #: Counts what is settled, of cases from this number on.
    settled: str
    #: Say why it cannot take part here; '' when it can.
    lack: Callable[[], str] = lambda: ""


# --- ours -------------------------------------------------------------------------


def prepare_ours(bench: Bench) -> None:
    """Bring up the schema."""
    doors.migrate(bench.our_environment())


def start_ours(bench: Bench) -> Running:
    """Start one real worker: events, actions, sweeper."""
    return bench.stage.start("worker", [PYTHON, "-m", "workers"], bench.our_environment())


def ours_ready(bench: Bench, running: list[Running]) -> bool:
    """Say whether all RQ workers have registered."""
    client = connect(bench.redis.url)
    try:
        return int(client.scard("rq:workers")) >= RQ_PROCESSES * len(running)
    finally:
        client.close()


def fill_ours(bench: Bench, first: int, count: int) -> None:
    """Deliver webhooks at the product's own door, and shut it."""
    made = (bodies.case_updated(first, n, n) for n in range(first, first + count))
    deliver(bench, made, count)


def deliver(bench: Bench, made: Iterator[bytes], count: int, rate: float = 0.0) -> None:
    """Send these bodies to a door of the product. Raises Broken unless all are taken."""
    file = bench.stage.folder / "deliveries"
    bodies.write(file, map(doors.AMILI.request, made))
    running, port = doors.serve(bench.stage, bench.our_environment())
    try:
        loaded = load.steady(load.Aim(port, doors.PATH, file), rate, FILL_SECONDS, 32)
    finally:
        running.end()
    if loaded.good != count:
        raise Broken(f"the door took {loaded.good} of {count}: {loaded.note}")


# --- the others ---------------------------------------------------------------------


def prepare_table(bench: Bench) -> None:
    """Make the one table that the others write to."""
    with psycopg.connect(bench.database_url, autocommit=True) as session:
        session.execute(CASES)


def starter(python: Path, *words: object) -> Callable[[Bench], Running]:
    """Make the starter of one process of a contestant."""

    def start(bench: Bench) -> Running:
        return bench.stage.start("worker", [python, *words], bench.environment())

    return start


def filler(python: Path, module: str) -> Callable[[Bench, int, int], None]:
    """Make what queues the jobs of a contestant."""

    def fill(bench: Bench, first: int, count: int) -> None:
        words = [python, "-m", "tests.bench.contestants.fill", module, first, count]
        running = bench.stage.start("fill", words, bench.environment())
        try:
            code = running.popen.wait(FILL_SECONDS)
        except subprocess.TimeoutExpired:
            running.end()
            raise Broken(f"{module}: no jobs in {FILL_SECONDS} s") from None
        if code:
            raise Broken(f"{module}: no jobs:\n{running.said()}")

    return fill


def said(word: str) -> Callable[[Bench, list[Running]], bool]:
    """Make the test that each process has said this word."""

    def ready(bench: Bench, running: list[Running]) -> bool:
        return all(word in each.said(100_000) for each in running)

    return ready


def other(
    name: str, words: str, module: str, start: Callable[[Bench], Running], **more: object
) -> Hands:
    """Describe a contestant that settles case by case."""
    home = "arq" if module == "arq_worker" else "contestants"
    python = setting_up.PYTHON_OF_ARQ if module == "arq_worker" else setting_up.PYTHON
    return Hands(
        name=name,
        words=words,
        durable=False,
        prepare=prepare_table,
        start=start,
        ready=said(str(more.get("ready", "ready"))),
        fill=filler(python, module),
        settled="SELECT count(*) FROM cases WHERE case_number::bigint >= %s",
        lack=lambda: setting_up.lack(home),
    )


_MODULE = "tests.bench.contestants"
OURS = Hands(
    name="ours",
    words="python -m workers",
    durable=True,
    prepare=prepare_ours,
    start=start_ours,
    ready=ours_ready,
    fill=fill_ours,
    settled="SELECT count(*) FROM events WHERE state = 'settled' "
    "AND right(entity, 12)::bigint >= %s",
)
RQ = other(
    "(b) tutorial",
    "rq worker, forking, one job an event",
    "rq_worker",
    starter(setting_up.PYTHON, "-m", f"{_MODULE}.rq_worker"),
)
CELERY = other(
    "(e) Celery",
    "celery worker, 32 threads",
    "celery_worker",
    starter(
        setting_up.PYTHON,
        *("-m", "celery", "-A", f"{_MODULE}.celery_worker", "worker", "--pool", "threads"),
        *("--concurrency", 32, "--loglevel", "WARNING", "-n", "%n%%h"),
    ),
)
DRAMATIQ = other(
    "dramatiq",
    "dramatiq, 32 threads",
    "dramatiq_worker",
    starter(
        setting_up.PYTHON,
        *("-m", "dramatiq", f"{_MODULE}.dramatiq_worker", "--processes", 1, "--threads", 32),
    ),
    ready="ready for action",
)
ARQ = other(
    "arq",
    "arq, 32 jobs at once",
    "arq_worker",
    starter(setting_up.PYTHON_OF_ARQ, "-m", "arq", f"{_MODULE}.arq_worker.WorkerSettings"),
)


# --- the stage ------------------------------------------------------------------------


@contextmanager
def bench_of(
    postgres_url: str, *, durable: bool, latency_ms: float, invoices: int = 10_000
) -> Iterator[Bench]:
    """Set up Redis, a new database and the stub of Amili."""
    with Stage() as stage:
        redis = stage.keep(EmbeddedRedis(stage.folder / "redis", durable=durable))
        url = stage.keep(fresh_database(postgres_url))
        port = free_port()
        words = [PYTHON, "-m", "tests.bench.stub_amili", port, latency_ms, invoices]
        running = stage.start("amili", words, {})
        until(lambda: listens(port), running)
        yield Bench(stage, redis, url, port)
