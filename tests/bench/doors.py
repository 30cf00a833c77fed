"""The contestants at the door: how each is started, and how deliveries to it are signed."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import psycopg

from service.embedded import EmbeddedRedis, free_port
from service.inbox import keys
from service.redis import connect
from service.settings import Settings
from service.store import migrating
from service.store.database import Database
from tests.bench import bodies, setting_up
from tests.bench.bodies import SECRET, Signer, amili_headers
from tests.bench.stage import PYTHON, Broken, Running, Stage, listens, until
from tests.servers import PostgresServer

PATH = "/webhooks/amili"
AMILI = Signer(PATH, amili_headers)
ENDPOINT = "5f0f6f0e-9a52-4d0c-9d2f-7f6f4c1f9b11"


def one_body(seed: int, number: int) -> bytes:
    """Make the delivery that all doors but one get: each about a case of its own."""
    return bodies.case_updated(seed, number, number)


@dataclass(frozen=True)
class Door:
    """One contestant: its name, what it promises with a 2xx, and how it starts."""

    name: str
    words: str
    #: What stands behind its answer.
    durability: str
    start: Callable[[Stage, EmbeddedRedis, int], Running]
    #: Redis writes before it answers (`always`), or each second (`everysec`).
    durable: bool = False
    signer: Signer = AMILI
    body: Callable[[int, int], bytes] = one_body
    #: Say why it cannot take part here; '' when it can.
    lack: Callable[[], str] = lambda: ""
    #: Counts what it has kept of what it took; without one it keeps nothing that can be counted.
    kept: Callable[[Stage, str], int] | None = None


# --- ours -------------------------------------------------------------------------


def our_settings(stage: Stage, redis_url: str, **more: object) -> dict[str, object]:
    """Give the product's settings: stores, secret, and nothing that makes it faster."""
    return {
        "AMILI_REDIS_URL": redis_url,
        "AMILI_DATA_DIR": stage.folder / "data",
        "AMILI_WEBHOOK_SECRETS": SECRET,
        "AMILI_API_TOKENS": "token-of-the-benchmark",
        "AMILI_LOG_LEVEL": "WARNING",
        **{f"AMILI_{name.upper()}": value for name, value in more.items()},
    }


def migrate(environment: Mapping[str, object]) -> None:
    """Bring up the schema of the database that these settings name."""
    url = environment.get("AMILI_DATABASE_URL")
    folder = str(environment["AMILI_DATA_DIR"])
    os.makedirs(folder, exist_ok=True)
    settings = Settings.model_validate({"database_url": url, "data_dir": folder})
    database = Database(settings.sql_url, pool=1)
    try:
        migrating.upgrade(database)
    finally:
        database.close()


def serve(stage: Stage, environment: Mapping[str, object]) -> tuple[Running, int]:
    """Start `amili-events serve` and wait until it listens."""
    port = free_port()
    words = [PYTHON, "-m", "service.cli", "serve"]
    running = stage.start("ours", words, {**environment, "AMILI_PORT": port})
    until(lambda: listens(port), running)
    return running, port


def ours(durability: str) -> Callable[[Stage, EmbeddedRedis, int], Running]:
    """Make the starter of the product's real door: one process, one uvicorn worker."""

    def start(stage: Stage, redis: EmbeddedRedis, port: int) -> Running:
        given = our_settings(stage, redis.url, ack_durability=durability, port=port)
        migrate(given)
        return stage.start("ours", [PYTHON, "-m", "service.cli", "serve"], given)

    return start


# --- the others ---------------------------------------------------------------------


def uvicorn(module: str) -> Callable[[Stage, EmbeddedRedis, int], Running]:
    """Make the starter of an application under uvicorn, as fast as uvicorn goes."""

    def start(stage: Stage, redis: EmbeddedRedis, port: int) -> Running:
        words = ["-m", "uvicorn", f"tests.bench.contestants.{module}:app"]
        options = ["--port", port, "--loop", "uvloop", "--http", "httptools"]
        quiet = ["--no-access-log", "--log-level", "warning", "--no-server-header"]
        environment = {"BENCH_REDIS_URL": redis.url, "BENCH_SECRET": SECRET}
        return stage.start(
            module, [setting_up.PYTHON, *words, *options, "--backlog", 2048, *quiet], environment
        )

    return start


def entries(stage: Stage, redis_url: str) -> int:
    """Count the stream: what went to the SQL spool is not in it."""
    with connect(redis_url) as client:
        return int(client.xlen(keys.STREAM))


def queued(key: str) -> Callable[[Stage, str], int]:
    """Make what counts a queue that is a list in Redis."""

    def count(stage: Stage, redis_url: str) -> int:
        with connect(redis_url) as client:
            return int(client.llen(key))

    return count


def contestants() -> str:
    """Say why the contestants of Python cannot take part here."""
    return setting_up.lack("contestants")


OURS = Door(
    "ours", "amili-events serve", "Redis, AOF always", ours("disk"), durable=True, kept=entries
)
OURS_IN_MEMORY = Door(
    "ours, memory", "amili-events serve", "Redis, AOF everysec", ours("memory"), kept=entries
)
CEILING = Door(
    "(a) ceiling",
    "Starlette: read, verify, parse",
    "none",
    uvicorn("ceiling"),
    lack=contestants,
)
TUTORIAL = Door(
    "(b) tutorial",
    "Starlette + RQ, one job an event",
    "Redis, AOF everysec",
    uvicorn("rq_door"),
    lack=contestants,
    kept=queued("rq:queue:events"),
)
CELERY = Door(
    "(e) Celery",
    "Starlette + Celery",
    "Redis, AOF everysec",
    uvicorn("celery_door"),
    lack=contestants,
    kept=queued("celery"),
)


# --- not ours, and not Python's Starlette ---------------------------------------------


def start_webhook(stage: Stage, redis: EmbeddedRedis, port: int) -> Running:
    """Start Debian's `webhook` with one hook: an HMAC rule, and the cheapest command there is.

    It starts one process for each delivery, which is its design, and answers when that is started.
    """
    program = setting_up.program("webhook")
    if program is None:
        raise Broken("webhook is gone")
    hooks = stage.folder / "hooks.json"
    signature = {"source": "header", "name": "X-Webhook-Signature"}
    rule = {"match": {"type": "payload-hmac-sha256", "secret": SECRET, "parameter": signature}}
    hook = {"id": "amili", "execute-command": TRUE, "trigger-rule": rule}
    hooks.write_text(json.dumps([{**hook, "success-http-response-code": 202}]))
    words = ["-hooks", hooks, "-ip", "127.0.0.1", "-port", port]
    return stage.start("webhook", [program.path, *words], program.environment)


def lack_of_webhook() -> str:
    """Say why `webhook` cannot be had here."""
    if setting_up.program("webhook") is None:
        return "no package `webhook` of Debian here"
    return "" if Path(TRUE).exists() else f"no {TRUE}"


TRUE = "/bin/true"
WEBHOOK = Door(
    "(c) webhook",
    "Debian's webhook, HMAC rule, /bin/true",
    "none",
    start_webhook,
    signer=Signer("/hooks/amili", amili_headers),
    lack=lack_of_webhook,
)


def start_stripe(stage: Stage, redis: EmbeddedRedis, port: int) -> Running:
    """Start dj-stripe under gunicorn: one process with eight threads, PostgreSQL behind it."""
    postgres = urlsplit(stage.keep(PostgresServer()).url)
    environment = {
        "BENCH_SECRET": SECRET,
        "BENCH_ENDPOINT": ENDPOINT,
        "BENCH_DATABASE": postgres.path.strip("/"),
        "BENCH_DATABASE_USER": postgres.username,
        "BENCH_DATABASE_PASSWORD": postgres.password,
        "BENCH_DATABASE_PORT": postgres.port,
    }
    site = "tests.bench.contestants.stripe_site"
    prepared = stage.start("migrate", [setting_up.PYTHON, "-m", site], environment)
    if prepared.popen.wait(MIGRATE_SECONDS):
        raise Broken(f"dj-stripe's migrations: {prepared.said()}")
    words = ["-m", "gunicorn", f"{site}:application", "--bind", f"127.0.0.1:{port}"]
    options = ["--workers", 1, "--worker-class", "gthread", "--threads", 8, "--keep-alive", 75]
    return stage.start("gunicorn", [setting_up.PYTHON, *words, *options], environment)


def triggers(stage: Stage, redis_url: str) -> int:
    """Count the valid deliveries that dj-stripe has written."""
    with psycopg.connect(stage.server(PostgresServer).url) as session:
        row = session.execute("SELECT count(*) FROM djstripe_webhookeventtrigger WHERE valid")
        return int((row.fetchone() or (0,))[0])


MIGRATE_SECONDS = 120
DJ_STRIPE = Door(
    "(d) dj-stripe",
    "dj-stripe, gunicorn with 8 threads",
    "PostgreSQL",
    start_stripe,
    signer=Signer(f"/stripe/webhook/{ENDPOINT}/", bodies.stripe_headers),
    body=bodies.stripe_event,
    lack=contestants,
    kept=triggers,
)
