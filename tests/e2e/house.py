"""A whole house for one test: door and workers as real processes, set up by environment only.

    with House(folder, redis_url=…, database_url=…, amili=sandbox) as house:
        house.start()
        house.deliver(webhooks)
        house.until(lambda: len(house.events("settled")) == 3)

Every process of a house carries the house's own AMILI_DATA_DIR in its environment; that is how
they are found again, orphans included, and ended one by one by their process ids.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import hmac
import http.client
import json
import os
import subprocess
import sys
import time
import uuid
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Protocol, TypeVar

import aiohttp
import psutil
from prometheus_client.parser import text_string_to_metric_families
from sqlalchemy import text

from service.embedded import free_port, tied
from service.store import migrating
from service.store.database import Database

T = TypeVar("T")
Json = dict[str, Any]
ROOT = Path(__file__).parents[2]

SECRET = "e2e-webhook-secret"
TOKEN = "e2e-operator-token"
CLIENT_ID, CLIENT_SECRET = "e2e-client", "e2e-client-secret"
OPEN_ACTIONS = ("planned", "sent", "answered", "uncertain")
#: Not a bound on speed: whoever waits so long waits in vain.
PATIENCE = 60.0
LOOK_SECONDS = 0.1
STOP_SECONDS = 45.0


class Amili(Protocol):
    """Where an imitation of Amili answers."""

    @property
    def base_url(self) -> str:
        """The base URL of its API."""

    @property
    def token_url(self) -> str:
        """The URL of its tokens."""


@dataclass(frozen=True)
class Webhook:
    """One delivery, signed."""

    body: bytes
    headers: dict[str, str]

    @classmethod
    def of(cls, event: Mapping[str, Any] | bytes, *, secret: str = SECRET) -> Webhook:
        """Sign an event as Amili is assumed to."""
        body = event if isinstance(event, bytes) else json.dumps(event).encode()
        signature = hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()
        headers = {"Content-Type": "application/json", "X-Webhook-Signature": signature}
        return cls(body, headers)


def batch_completed(batch: Mapping[str, Any], **more: Any) -> Json:
    """Write what Amili says of a finished batch."""
    told = {name: batch[name] for name in ("batchId", "organizationId", "status")}
    return envelope("BATCH_COMPLETED", {**told, **more})


def envelope(kind: str, data: Mapping[str, Any], member: str = "type") -> Json:
    """Write an event with an id of its own."""
    return {
        "id": str(uuid.uuid4()),
        member: kind,
        "source": "COLLECTION",
        "timeStamp": "2026-05-04T08:00:00Z",
        "data": dict(data),
    }


@dataclass
class Part:
    """One process of the house that a test started."""

    name: str
    popen: subprocess.Popen[bytes]

    @property
    def pid(self) -> int:
        """Its process id."""
        return self.popen.pid


@dataclass
class Answer:
    """What the API said."""

    status: int
    body: Any
    headers: dict[str, str] = field(default_factory=dict)


class House:
    """Door and workers over the given Redis, database and Amili; a context manager."""

    def __init__(
        self,
        folder: Path,
        *,
        redis_url: str,
        database_url: str,
        amili: Amili | None = None,
        more: Mapping[str, str] | None = None,
    ) -> None:
        self.data_dir = folder
        folder.mkdir(parents=True, exist_ok=True)
        self.port = free_port()
        self.database_url = database_url
        self.parts: list[Part] = []
        self._settings = {
            "AMILI_REDIS_URL": redis_url,
            "AMILI_DATABASE_URL": database_url,
            "AMILI_DATA_DIR": str(folder),
            "AMILI_WEBHOOK_SECRETS": SECRET,
            "AMILI_API_TOKENS": TOKEN,
            "AMILI_CLIENT_ID": CLIENT_ID,
            "AMILI_CLIENT_SECRET": CLIENT_SECRET,
            "AMILI_PORT": str(self.port),
        }
        if amili is not None:
            self._settings |= {
                "AMILI_API_BASE_URL": amili.base_url,
                "AMILI_TOKEN_URL": amili.token_url,
            }
        self._settings |= {f"AMILI_{name.upper()}": value for name, value in (more or {}).items()}

    def __enter__(self) -> House:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        left = self.close()
        if left and kind is None:
            raise AssertionError(f"these did not end when they were asked to: {left}")

    # --- processes ----------------------------------------------------------

    def start(self, *, worker: bool = True) -> None:
        """Migrate, start the door and, unless told otherwise, one worker."""
        self.migrate()
        self.start_door()
        if worker:
            self.start_worker()

    def migrate(self) -> None:
        """Bring the schema up."""
        database = Database(self.sql_url, pool=1)
        migrating.upgrade(database)
        database.close()

    def start_door(self) -> Part:
        """Start the door and wait until it says that it is ready."""
        door = self.run("door", "service.web")
        self.until(lambda: self.is_ready() or door.popen.poll() is not None, seconds=60)
        assert door.popen.poll() is None, self.logs()
        return door

    def start_worker(self, *words: str, **settings: str) -> Part:
        """Start one supervisor with its processes."""
        return self.run("worker", "workers", *words, **settings)

    def run(self, name: str, module: str, *words: str, **settings: str) -> Part:
        """Start a module with this house's settings and nothing else of ours in sight."""
        environment = {k: v for k, v in os.environ.items() if not k.startswith("AMILI_")}
        environment |= self._settings
        environment |= {f"AMILI_{key.upper()}": value for key, value in settings.items()}
        with open(self.data_dir / f"{name}.log", "ab") as log:
            popen = subprocess.Popen(
                tied([sys.executable, "-m", module, *words]),
                env=environment,
                cwd=ROOT,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        part = Part(name, popen)
        self.parts.append(part)
        return part

    def stop(self, part: Part) -> int:
        """Ask a process to end, once, and return its exit code."""
        part.popen.terminate()
        code = part.popen.wait(STOP_SECONDS)
        self.parts.remove(part)
        return code

    def kill(self, part: Part) -> None:
        """End a process and everything below it as a power cut would."""
        for process in self.tree(part):
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()
        part.popen.wait(STOP_SECONDS)
        self.parts.remove(part)

    def tree(self, part: Part) -> list[psutil.Process]:
        """Return a process and everything below it, from the top."""
        with contextlib.suppress(psutil.NoSuchProcess):
            top = psutil.Process(part.pid)
            return [top, *top.children(recursive=True)]
        return []

    def rq_worker(self, part: Part, queue: str) -> psutil.Process:
        """Find the RQ worker of one queue below a supervisor, once it is there."""

        def find() -> psutil.Process | None:
            for process in self.tree(part)[1:]:
                with contextlib.suppress(psutil.Error):
                    words = process.cmdline()
                    if words[-2:] == ["workers.child", queue] and process.ppid() == part.pid:
                        return process
            return None

        return self.until(find)

    def horse(self, part: Part, queue: str) -> psutil.Process | None:
        """Find the forked child that runs a job just now."""
        with contextlib.suppress(psutil.Error):
            children = self.rq_worker(part, queue).children()
            return children[0] if children else None
        return None

    def processes(self) -> list[psutil.Process]:
        """Find every living process with this house's data folder in its environment."""
        found = []
        for process in psutil.process_iter():
            with contextlib.suppress(psutil.Error):
                if process.environ().get("AMILI_DATA_DIR") != str(self.data_dir):
                    continue
                if process.status() != psutil.STATUS_ZOMBIE:
                    found.append(process)
        return found

    def close(self) -> list[str]:
        """End everything; return who had to be killed."""
        for part in reversed(self.parts):
            for process in self.tree(part):
                with contextlib.suppress(psutil.NoSuchProcess):
                    process.resume()
            part.popen.terminate()
        for part in self.parts:
            with contextlib.suppress(subprocess.TimeoutExpired):
                part.popen.wait(STOP_SECONDS)
        self.parts.clear()
        _, left = psutil.wait_procs(self.processes(), timeout=STOP_SECONDS / 3)
        names = []
        for process in left:
            with contextlib.suppress(psutil.NoSuchProcess):
                names.append(" ".join(process.cmdline()[-3:]))
                process.kill()
        return names

    def logs(self, size: int = 6000) -> str:
        """Return the ends of the logs."""
        return "\n".join(
            f"--- {path.name}\n{path.read_text(errors='replace')[-size:]}"
            for path in sorted(self.data_dir.glob("*.log"))
        )

    # --- webhooks -------------------------------------------------------------

    def deliver(self, webhooks: Iterable[Webhook], *, together: int = 20) -> Counter[int]:
        """Post webhooks, so many at once; return how many answers had which status."""
        return asyncio.run(self._deliver(list(webhooks), together))

    async def _deliver(self, webhooks: Sequence[Webhook], together: int) -> Counter[int]:
        said: Counter[int] = Counter()
        waiting = iter(webhooks)
        url = f"http://127.0.0.1:{self.port}/webhooks/amili"

        async def post(session: aiohttp.ClientSession) -> None:
            for each in waiting:
                async with session.post(url, data=each.body, headers=each.headers) as answer:
                    await answer.read()
                    said[answer.status] += 1
                    if answer.status == 503:
                        assert "Retry-After" in answer.headers

        async with aiohttp.ClientSession() as session:
            await asyncio.gather(*(post(session) for _ in range(together)))
        return said

    # --- the API ----------------------------------------------------------------

    def ask(self, method: str, path: str, body: Json | None = None) -> Answer:
        """Make one call of the operator's API, or of the door's own pages."""
        return http_call(self.port, method, path, body)

    def get(self, path: str) -> Any:
        """Read something that must be there."""
        answer = self.ask("GET", f"/api/v1{path}")
        assert answer.status == 200, (path, answer)
        return answer.body

    def is_ready(self) -> bool:
        """Whether the door takes deliveries."""
        with contextlib.suppress(OSError, http.client.HTTPException):
            return self.ask("GET", "/readyz").status == 200
        return False

    def events(self, state: str | None = None) -> list[Json]:
        """List every event, of one state or of all."""
        found: list[Json] = []
        asked = "/events?limit=200" + (f"&state={state}" if state else "")
        page = self.get(asked)
        while True:
            found += page["data"]
            if page["next"] is None:
                return found
            page = self.get(f"{asked}&after={page['next']}")

    def actions(self, case_id: str | None = None) -> list[Json]:
        """List the newest 200 actions, of one case or of all."""
        asked = f"&caseId={case_id}" if case_id else ""
        found: list[Json] = self.get(f"/actions?limit=200{asked}")["data"]
        return found

    def open_actions(self) -> list[Json]:
        """List what is asked of Amili and not yet known to be so."""
        return [
            action
            for state in OPEN_ACTIONS
            for action in self.get(f"/actions?limit=200&state={state}")["data"]
        ]

    def decisions(self, case_id: str) -> list[tuple[str, str]]:
        """List (policy, outcome) of each decision on a case."""
        steps = self.get(f"/cases/{case_id}/timeline")["data"]
        made = [step["decision"] for step in steps if step["kind"] == "decision"]
        return [(each["policy"], each["outcome"]) for each in made]

    def knows(self, case_id: str) -> bool:
        """Whether the case can be read."""
        return self.ask("GET", f"/api/v1/cases/{case_id}").status == 200

    def hold(self, case_id: str, reason: str = "dispute", until: str | None = None) -> str:
        """Place a hold; return its id."""
        body: Json = {"reason": reason} | ({"until": until} if until else {})
        answer = self.ask("POST", f"/api/v1/cases/{case_id}/holds", body)
        assert answer.status == 201, answer
        return str(answer.body["holdId"])

    def release(self, case_id: str, hold_id: str) -> None:
        """Release a hold."""
        answer = self.ask("DELETE", f"/api/v1/cases/{case_id}/holds/{hold_id}")
        assert answer.status == 204, answer

    def metric(self, name: str, **labels: str) -> float:
        """Sum the samples of a metric that have these labels, on the door's page."""
        return count(self.port, name, **labels)

    # --- waiting and looking ------------------------------------------------------

    def until(self, condition: Callable[[], T | None], *, seconds: float = PATIENCE) -> T:
        """Wait for a condition and return what it gave; its failure shows the logs."""
        patience = time.monotonic() + seconds
        while True:
            found = condition()
            if found:
                return found
            if time.monotonic() > patience:
                raise AssertionError(f"waited in vain\n{self.logs()}")
            time.sleep(LOOK_SECONDS)

    def until_settled(self, count: int, *, seconds: float = PATIENCE) -> None:
        """Wait until so many events are settled, and none waits."""
        self.until(lambda: len(self.events("settled")) >= count, seconds=seconds)
        self.until(lambda: not self.events("received") + self.events("retrying"), seconds=seconds)

    def until_confirmed(self, case_id: str, kind: str, *, seconds: float = PATIENCE) -> None:
        """Wait until the newest action of a case is of this kind, and its effect was seen."""

        def seen() -> bool:
            newest = self.actions(case_id)[:1]
            return [(a["kind"], a["state"]) for a in newest] == [(kind, "confirmed")]

        self.until(seen, seconds=seconds)

    def until_no_action_is_open(self, *, seconds: float = PATIENCE) -> None:
        """Wait until nobody is waiting for Amili."""
        self.until(lambda: not self.open_actions(), seconds=seconds)

    @property
    def sql_url(self) -> str:
        """The database's URL with the driver that this house uses."""
        return self.database_url.replace("postgresql://", "postgresql+psycopg://")

    def rows(self, query: str) -> list[tuple[Any, ...]]:
        """Read rows as they stand in SQL."""
        database = Database(self.sql_url, pool=1)
        try:
            with database.read() as tx:
                return [tuple(row) for row in tx.execute(text(query))]
        finally:
            database.close()

    def change(self, statement: str) -> None:
        """Change something in SQL behind the house's back."""
        database = Database(self.sql_url, pool=1)
        try:
            database.run(lambda tx: tx.execute(text(statement)))
        finally:
            database.close()


def count(port: int, name: str, **labels: str) -> float:
    """Sum the samples of a metric that have these labels, on the page of this port."""
    page = http_call(port, "GET", "/metrics").body
    return sum(
        sample.value
        for family in text_string_to_metric_families(page)
        for sample in family.samples
        if sample.name == name and labels.items() <= sample.labels.items()
    )


def http_call(port: int, method: str, path: str, body: Json | None = None) -> Answer:
    """Make one HTTP call on loopback with the operator's token."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    try:
        headers = {"Authorization": f"Bearer {TOKEN}", "Content-Type": "application/json"}
        connection.request(method, path, None if body is None else json.dumps(body), headers)
        answer = connection.getresponse()
        raw = answer.read().decode()
        is_json = "json" in (answer.getheader("Content-Type") or "")
        told = json.loads(raw) if is_json and raw else raw
        return Answer(answer.status, told, dict(answer.getheaders()))
    finally:
        connection.close()


@contextlib.contextmanager
def in_background(work: Callable[[], None]) -> Iterator[None]:
    """Run something beside the test; its error is the test's, at the end."""
    with ThreadPoolExecutor(1) as pool:
        future = pool.submit(work)
        yield
        future.result()
