"""A door to knock at: the real application under uvicorn, in a thread or as a process.

`DoorThread` starts quickly; `DoorProcess` is `python -m service.web`, with a log to be read.
"""

from __future__ import annotations

import contextlib
import hmac
import http.client
import json
import os
import socket
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar

import uvicorn

from service.amili.contract import Contract
from service.embedded import free_port
from service.settings import Settings
from service.store import events, migrating, spool
from service.store.database import Database
from service.telemetry.metrics import Metrics
from service.web.app import create_app
from workers.drain import drain
from workers.parts import Parts, opened

T = TypeVar("T")
SECRET = "secret-of-the-tests"
TOKEN = "token-of-the-tests"
PATH = "/webhooks/amili"
CHECKOUT = Path(__file__).parents[1]
PATIENCE_SECONDS = 30.0


@dataclass(frozen=True)
class Reply:
    """One answer of the door."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        """The body, read as JSON."""
        return json.loads(self.body)

    @property
    def is_problem(self) -> bool:
        """It is an RFC 9457 problem that tells its own status."""
        kind = self.headers.get("content-type", "")
        said = self.json if kind == "application/problem+json" else {}
        return said.get("status") == self.status and bool(said.get("title"))


@dataclass
class Knocker:
    """A client of one door."""

    port: int
    #: No bound on speed: a busy machine may take long.
    seconds: float = 60.0

    def ask(
        self, method: str, path: str, body: Any = None, headers: Mapping[str, str] | None = None
    ) -> Reply:
        """Make one request on a connection of its own."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=self.seconds)
        try:
            connection.request(method, path, body, dict(headers or {}))
            answer = connection.getresponse()
            named = {name.lower(): value for name, value in answer.getheaders()}
            return Reply(answer.status, named, answer.read())
        finally:
            connection.close()

    def deliver(self, body: bytes, **headers: str) -> Reply:
        """Send a signed delivery; `headers` are added, `_` in a name meaning `-`."""
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        signed_headers = {"Content-Type": "application/json", **signed(body), **named}
        return self.ask("POST", PATH, body, signed_headers)

    def get(self, path: str, token: str = TOKEN) -> Reply:
        """Read from the operator's API."""
        return self.ask("GET", f"/api/v1{path}", headers={"Authorization": f"Bearer {token}"})

    def post(self, path: str, body: Any = None, key: str | None = None) -> Reply:
        """Write to the operator's API."""
        named = {"Authorization": f"Bearer {TOKEN}"}
        if key is not None:
            named["Idempotency-Key"] = key
        raw = body if isinstance(body, bytes) or body is None else json.dumps(body).encode()
        return self.ask("POST", f"/api/v1{path}", raw, named)

    def delete(self, path: str) -> Reply:
        """Delete in the operator's API."""
        return self.ask("DELETE", f"/api/v1{path}", headers={"Authorization": f"Bearer {TOKEN}"})

    def counted(self, name: str, **labels: str) -> float:
        """Add up the samples of a metric that have these labels."""
        page = self.ask("GET", "/metrics").body.decode()
        return sum(
            float(line.rsplit(" ", 1)[1])
            for line in page.splitlines()
            if line.split("{")[0].split(" ")[0] == name
            and all(f'{label}="{value}"' in line for label, value in labels.items())
        )

    def ready(self) -> tuple[int, Any]:
        """Return the status and the body of /readyz."""
        reply = self.ask("GET", "/readyz")
        return reply.status, reply.json


class DoorThread(Knocker):
    """A door in a thread; a context manager."""

    def __init__(self, settings: Settings, contract: Contract | None = None) -> None:
        super().__init__(0)
        self.settings = settings
        app = create_app(settings, contract or Contract(), Metrics())
        config = uvicorn.Config(app, log_config=None, lifespan="on", access_log=False)
        self._server = uvicorn.Server(config)
        self._thread = threading.Thread(target=self._serve, name="door", daemon=True)

    def __enter__(self) -> Self:
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=512)
        self.port = self._listener.getsockname()[1]
        self._thread.start()
        eventually(lambda: self._server.started or not self._thread.is_alive())
        assert self._thread.is_alive(), "the door did not start"
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._server.should_exit = True
        self._thread.join(PATIENCE_SECONDS)
        self._listener.close()

    def _serve(self) -> None:
        self._server.run(sockets=[self._listener])


class DoorProcess(Knocker):
    """A door as its own process, its log in a file; a context manager."""

    def __init__(self, folder: Path, **settings: object) -> None:
        super().__init__(free_port())
        self.log = folder / f"door-{self.port}.log"
        self._environment = environment(AMILI_PORT=self.port, **settings)

    def __enter__(self) -> Self:
        with open(self.log, "ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "service.web"],
                cwd=CHECKOUT,
                env=self._environment,
                stdout=log,
                stderr=log,
            )
        eventually(lambda: self.process.poll() is not None or self._lives())
        assert self.process.poll() is None, self.said
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.process.terminate()
        try:
            self.process.wait(PATIENCE_SECONDS)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()

    @property
    def said(self) -> str:
        """The whole log."""
        return self.log.read_text()

    def _lives(self) -> bool:
        try:
            return self.ask("GET", "/livez").status == 200
        except OSError:
            return False


def environment(**settings: object) -> dict[str, str]:
    """Make the environment of a process that has these settings and no others of ours."""
    given = {name: value for name, value in os.environ.items() if not name.startswith("AMILI_")}
    return given | {name: str(value) for name, value in settings.items()}


def command(*words: str, **settings: object) -> subprocess.CompletedProcess[str]:
    """Run `amili-events` with these settings."""
    return subprocess.run(
        [sys.executable, "-m", "service.cli", *words],
        cwd=CHECKOUT,
        env=environment(**settings),
        capture_output=True,
        text=True,
        timeout=90,
        check=False,
    )


#: Imports once and forks for each command: a start costs a second, and there are many.
FORKS = """\
import json, os, signal, sys
from service.cli.main import main
for line in sys.stdin:
    words, environment, streams = json.loads(line)
    child = os.fork()
    if not child:
        for number, path in enumerate(streams, start=1):
            os.dup2(os.open(path, os.O_WRONLY | os.O_CREAT, 0o600), number)
        os.environ.clear()
        os.environ.update(environment)
        sys.argv = ["amili-events", *words]
        signal.alarm(60)  # outlives exec: what should have failed must not run for ever
        main()
        sys.exit(0)
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
"""


def commands(
    folder: Path, asked: Sequence[tuple[Sequence[str], Mapping[str, object]]]
) -> list[subprocess.CompletedProcess[str]]:
    """Run many commands, each with its own settings, one after the other."""
    files = [(folder / f"{n}.out", folder / f"{n}.err") for n in range(len(asked))]
    lines = [
        json.dumps([list(words), environment(**given), [str(path) for path in streams]])
        for (words, given), streams in zip(asked, files, strict=True)
    ]
    done = subprocess.run(
        [sys.executable, "-c", FORKS],
        cwd=CHECKOUT,
        env=environment(),
        input="\n".join(lines),
        capture_output=True,
        text=True,
        timeout=100,
        check=True,
    )
    return [
        subprocess.CompletedProcess(list(words), int(code), out.read_text(), err.read_text())
        for (words, _), code, (out, err) in zip(asked, done.stdout.split(), files, strict=True)
    ]


def settings_for(redis_url: str, database_url: str, data_dir: Path, **more: Any) -> Settings:
    """Make the settings of a door of these stores."""
    return Settings(
        webhook_secrets=SECRET,
        api_tokens=TOKEN,
        redis_url=redis_url,
        database_url=database_url,
        data_dir=data_dir,
        **more,
    )


def migrated(database_url: str, data_dir: Path) -> None:
    """Bring a database up to the newest schema."""
    with opened_database(settings_for("redis://127.0.0.1", database_url, data_dir)) as database:
        migrating.upgrade(database)


@contextlib.contextmanager
def opened_database(settings: Settings) -> Iterator[Database]:
    """Open the database of these settings."""
    database = Database(settings.sql_url, pool=2)
    try:
        yield database
    finally:
        database.close()


@contextlib.contextmanager
def worker(settings: Settings, consumer: str = "test") -> Iterator[Parts]:
    """Be one worker of these settings."""
    with opened(settings, Contract(), Metrics(), consumer) as parts:
        yield parts


def drained(settings: Settings, consumer: str = "test") -> int:
    """Move all that waits into SQL; return how many deliveries were moved."""
    with worker(settings, consumer) as parts:
        return drain(parts)


def rows(settings: Settings) -> list[Any]:
    """Return every event in SQL, oldest first."""
    with opened_database(settings) as database, database.read() as tx:
        return events.listed(tx, limit=100_000)[::-1]


def spooled(settings: Settings) -> int:
    """Count what waits in the SQL spool."""
    with opened_database(settings) as database, database.read() as tx:
        return spool.count(tx)


def envelope(**members: Any) -> dict[str, Any]:
    """Make an event of a case; `members` replace its own, None leaves one out."""
    made = {
        "id": str(uuid.uuid4()),
        "eventType": "CASE_UPDATED",
        "source": "COLLECTION",
        "timeStamp": "2026-03-01T12:00:00Z",
        "data": {"orgId": "org-1", "caseId": "case-1", "caseNumber": "8812", "fields": ["status"]},
    } | members
    return {name: value for name, value in made.items() if value is not None}


def event(**members: Any) -> bytes:
    """Make the body of a delivery."""
    return json.dumps(envelope(**members)).encode()


def signed(body: bytes, secret: str = SECRET) -> dict[str, str]:
    """Sign as the contract assumes, by hand: this is the second witness."""
    return {"X-Webhook-Signature": hmac.digest(secret.encode(), body, "sha256").hex()}


def eventually(true: Callable[[], T], seconds: float = PATIENCE_SECONDS) -> T:
    """Wait until this is true, and return it."""
    until = time.monotonic() + seconds
    while not (found := true()):
        assert time.monotonic() < until, "it did not become true in time"
        time.sleep(0.02)
    return found
