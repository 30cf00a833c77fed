"""`doctor` as a process, on real stores and an imitated Amili: all well, and each thing broken.

Whatever is broken has its sentence and exit code 1, and shows neither a traceback nor a secret.
"""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import psycopg
import pytest
from sqlalchemy import text

from service.embedded import EmbeddedRedis
from service.redis import connect
from service.sandbox.harness import SandboxServer
from service.sandbox.world import ORGANIZATION_ID
from service.settings import Settings
from service.store.database import Database
from service.version import own_version
from tests.doors import (
    CHECKOUT,
    FORKS,
    DoorThread,
    drained,
    environment,
    event,
    migrated,
    settings_for,
)

NOWHERE = "127.0.0.1:1"
#: None of these may ever be shown.
SECRETS = {
    "AMILI_CLIENT_SECRET": "hidden-client-secret",
    "AMILI_WEBHOOK_SECRETS": "hidden-webhook-secret",
    "AMILI_API_TOKENS": "hidden-api-token",
}
CASE = {"debtors": [{"type": "PRIVATE", "fullName": "Kari Nordmann"}]}


@pytest.fixture(scope="module")
def amili() -> Iterator[SandboxServer]:
    """Play Amili, with a record of each kind."""
    with SandboxServer(client_secret=SECRETS["AMILI_CLIENT_SECRET"]) as server:
        case = server.control.create_case(**CASE)
        server.control.create_case()
        server.control.settle(case["caseId"])
        server.control.register_batch()
        yield server


@dataclass(frozen=True)
class Installation:
    """One that is examined: its settings, and where commands are run."""

    given: Mapping[str, object]
    forks: subprocess.Popen[str]
    folder: Path

    def run(self, *words: str, **other: object) -> subprocess.CompletedProcess[str]:
        """Run a command with these settings; it shows nothing secret or personal, no traceback."""
        streams = [self.folder / f"{uuid.uuid4()}.{name}" for name in ("out", "err")]
        settings = environment(**{**self.given, **other})
        assert self.forks.stdin
        assert self.forks.stdout
        self.forks.stdin.write(f"{json.dumps([words, settings, list(map(str, streams))])}\n")
        self.forks.stdin.flush()
        code = int(self.forks.stdout.readline())
        out, err = (path.read_text() for path in streams)
        assert "Traceback" not in out + err
        for secret in (*SECRETS.values(), "Nordmann"):
            assert secret not in out + err
        return subprocess.CompletedProcess(words, code, out, err)

    def examined(self, **other: object) -> tuple[int, dict[str, Any]]:
        """Run `doctor --json`; return its exit code and what it found."""
        done = self.run("doctor", "--json", **other)
        return done.returncode, json.loads(done.stdout)

    def broken(self, name: str, **other: object) -> dict[str, Any]:
        """See exit code 1, and this check failed; return the check."""
        code, found = self.examined(**other)
        assert (code, found["result"]) == (1, "failed")
        (check,) = (each for each in found["checks"] if each["name"] == name)
        assert check["result"] == "failed", found["checks"]
        assert check["says"].endswith(".")
        assert check["do"]
        made: dict[str, Any] = check
        return made


@pytest.fixture(scope="module")
def forks() -> Iterator[subprocess.Popen[str]]:
    """Start what imports the command line once, and forks for each command."""
    started = subprocess.Popen(
        [sys.executable, "-c", FORKS],
        cwd=CHECKOUT,
        env=environment(),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    with started:
        yield started


@pytest.fixture
def well(
    redis_url: str,
    sqlite_url: str,
    tmp_path: Path,
    amili: SandboxServer,
    forks: subprocess.Popen[str],
) -> Installation:
    """Make an installation that is well."""
    migrated(sqlite_url, tmp_path)
    folder = tmp_path / "data"
    folder.mkdir(mode=0o700)
    given = {
        **SECRETS,
        "AMILI_REDIS_URL": redis_url,
        "AMILI_DATABASE_URL": sqlite_url,
        "AMILI_DATA_DIR": folder,
        "AMILI_API_BASE_URL": amili.base_url,
        "AMILI_TOKEN_URL": amili.token_url,
        "AMILI_CLIENT_ID": "sandbox",
        "AMILI_ORGANIZATION_IDS": ORGANIZATION_ID,
    }
    return Installation(given, forks, tmp_path)


def checks(found: dict[str, Any]) -> dict[str, str]:
    """Name each check's result."""
    return {each["name"]: each["result"] for each in found["checks"]}


def verdicts(found: dict[str, Any]) -> dict[str, str]:
    """Name each assumption's verdict."""
    return {each["name"]: each["verdict"] for each in found["assumptions"]}


class TestWell:
    def test_everything_is_read(self, well: Installation, amili: SandboxServer) -> None:
        """Nothing fails, every read is tried and answers, and nothing is changed at Amili."""
        before = len(amili.control.calls())
        code, found = well.examined()
        assert (code, found["result"], found["version"]) == (0, "ok", own_version())
        results = checks(found)
        assert results.pop("workers") == "warning"  # none runs here
        assert set(results.values()) == {"ok"}, results
        calls = [call for call in amili.control.calls()[before:] if call["path"] != "/token"]
        assert {call["method"] for call in calls} == {"GET"}
        asked = {call["operation"] for call in calls}
        assert asked >= {"GetBatchesByOrganization", "GetInvoicesByOrganization", "GetInvoiceById"}
        assert asked >= {"GetCasesByOrganization", "GetSettlements", "GetBatchById"}
        assert len(calls) < 20

    def test_live_answers_judge_assumptions(self, well: Installation) -> None:
        """What this run read confirms what it can; the rest is told as not seen."""
        _, found = well.examined()
        seen = verdicts(found)
        assert seen["last_page"] == seen["case_number"] == seen["path_legacy_ping"] == "confirmed"
        assert seen["settlement_amounts"] == "confirmed"
        assert seen["path_pause_case"] == seen["signature_scheme"] == "not seen"

    def test_the_table(self, well: Installation) -> None:
        """People get the same as a table, with variables and a line that sums up."""
        done = well.run("doctor", "--assumptions", COLUMNS=120)
        assert done.returncode == 0
        assert "durable commits" in done.stdout
        assert "AMILI_PATH_PAUSE_CASE" in done.stdout
        assert "0 failed" in done.stdout.splitlines()[-1]

    def test_what_is_wrong_comes_first(self, well: Installation) -> None:
        """Failures and warnings stand above the rest; assumptions are a line, unless asked for."""
        done = well.run("doctor", COLUMNS=120, AMILI_CLIENT_ID="somebody", AMILI_PRT="1")
        assert done.returncode == 1
        version, *lines = done.stdout.splitlines()
        assert version == f"amili-events {own_version()}"
        words = {"failed", "warning", "skipped", "ok"}
        results = [word for line in lines for word in line.split()[1:5] if word in words]
        urgent = [word for word in results if word in ("failed", "warning")]
        assert urgent == sorted(urgent)
        assert set(urgent) == {"failed", "warning"}
        assert results[: len(urgent)] == urgent
        assert "AMILI_PATH_PAUSE_CASE" not in done.stdout
        assert "--assumptions" in lines[-2]

    def test_on_postgresql(self, well: Installation, postgres_url: str) -> None:
        """PostgreSQL is examined in the same way."""
        migrated(postgres_url, Path(str(well.given["AMILI_DATA_DIR"])))
        code, found = well.examined(AMILI_DATABASE_URL=postgres_url)
        assert code == 0
        assert checks(found)["durable commits"] == checks(found)["store epoch"] == "ok"

    def test_an_organization_from_the_webhooks(
        self, well: Installation, redis_url: str, sqlite_url: str, tmp_path: Path
    ) -> None:
        """Without AMILI_ORGANIZATION_IDS the organization of a webhook is read, else none."""
        _, without = well.examined(AMILI_ORGANIZATION_IDS="")
        assert checks(without)["GetSettlements"] == "skipped"
        deliver(settings_for(redis_url, sqlite_url, tmp_path), event())
        _, found = well.examined(AMILI_ORGANIZATION_IDS="")
        assert checks(found)["GetSettlements"] == "ok"


def deliver(settings: Settings, body: bytes) -> None:
    """Bring one webhook into SQL."""
    with DoorThread(settings) as door:
        assert door.deliver(body).status == 202
    drained(settings)


class TestSettings:
    def test_a_setting_that_is_wrong(self, well: Installation) -> None:
        """What cannot be read is a failed check, in JSON too."""
        check = well.broken("settings", AMILI_PORT="abc")
        assert "AMILI_PORT" in check["says"]

    def test_nothing_is_set(self, forks: subprocess.Popen[str], tmp_path: Path) -> None:
        """Without any setting every sentence is there, and no traceback."""
        given = {"AMILI_DATA_DIR": tmp_path / "none", "AMILI_REDIS_URL": gone()}
        code, found = Installation(given, forks, tmp_path).examined()
        assert code == 1
        results = checks(found)
        assert results["webhook secrets"] == results["credentials"] == "failed"
        assert results["Redis"] == results["database"] == "failed"
        assert results["token"] == results["store epoch"] == "skipped"
        assert not (tmp_path / "none").exists()  # looking makes nothing

    def test_warnings_are_no_failure(self, well: Installation) -> None:
        """A misspelt variable and an open folder are told, and the exit code stays 0."""
        Path(str(well.given["AMILI_DATA_DIR"])).chmod(0o755)
        code, found = well.examined(AMILI_REDIS_UR="x")
        assert code == 0
        assert checks(found)["settings"] == checks(found)["data folder"] == "warning"
        assert "AMILI_REDIS_URL" in found["checks"][0]["says"]

    def test_a_secret_of_another_form(self, well: Installation) -> None:
        """A scheme that cannot use the secret is told before the door is."""
        scheme = "hmac-sha256-hex+hex-secret"
        check = well.broken("webhook secrets", AMILI_SIGNATURE_SCHEME=scheme)
        assert "signature detect" in check["do"]


def gone() -> str:
    """Name a Redis where none is."""
    return f"redis://{NOWHERE}/0"


class TestRedis:
    def test_away(self, well: Installation) -> None:
        """Without Redis what needs it is skipped, the rest is examined."""
        _, found = well.examined(AMILI_REDIS_URL=gone())
        results = checks(found)
        assert well.broken("Redis", AMILI_REDIS_URL=gone())
        assert results["Redis durability"] == results["store epoch"] == "skipped"
        assert results["database"] == results["GetSettlements"] == "ok"

    def test_evicting(self, well: Installation, own_redis: EmbeddedRedis) -> None:
        """A Redis that throws keys away when it is full is named with its policy."""
        configure(own_redis, "maxmemory-policy", "volatile-lru")
        check = well.broken("Redis eviction", AMILI_REDIS_URL=own_redis.url)
        assert "volatile-lru" in check["says"]
        assert "noeviction" in check["do"]

    def test_not_durable(self, well: Installation, own_redis: EmbeddedRedis) -> None:
        """`everysec` is too weak for `disk`, and enough for `memory`."""
        configure(own_redis, "appendfsync", "everysec")
        check = well.broken("Redis durability", AMILI_REDIS_URL=own_redis.url)
        assert "appendfsync always" in check["do"]
        other = {"AMILI_REDIS_URL": own_redis.url, "AMILI_ACK_DURABILITY": "memory"}
        assert well.examined(**other)[0] == 0

    def test_hanging(self, well: Installation, own_redis: EmbeddedRedis) -> None:
        """A Redis that hangs holds up nobody."""
        own_redis.pause()
        try:
            assert well.broken("Redis", AMILI_REDIS_URL=own_redis.url)
        finally:
            own_redis.resume()


def configure(server: EmbeddedRedis, name: str, value: str) -> None:
    """Change a server's configuration."""
    client = connect(server.url)
    client.config_set(name, value)
    client.connection_pool.disconnect()


class TestDatabase:
    @pytest.mark.parametrize("where", ["postgresql", "sqlite"])
    def test_away(self, well: Installation, where: str, tmp_path: Path) -> None:
        """A database that is not there is told in one sentence, without its password."""
        url = f"sqlite:///{tmp_path / 'absent.db'}"
        if where == "postgresql":
            url = f"postgresql://u:{SECRETS['AMILI_API_TOKENS']}@{NOWHERE}/d"
        assert well.broken("database", AMILI_DATABASE_URL=url)
        assert not (tmp_path / "absent.db").exists()

    def test_old_schema(self, well: Installation, sqlite_url: str) -> None:
        """A schema of an older version asks for `migrate`."""
        database = Database(sqlite_url, pool=1)
        with database.begin() as tx:
            tx.execute(text("UPDATE alembic_version SET version_num = '0001'"))
        database.close()
        assert "migrate" in well.broken("migrations")["do"]

    def test_no_schema(self, well: Installation, tmp_path: Path) -> None:
        """An empty database asks for `migrate`, too."""
        file = tmp_path / "empty.db"
        file.touch()
        check = well.broken("migrations", AMILI_DATABASE_URL=f"sqlite:///{file}")
        assert "migrate" in check["do"]

    def test_commits_that_do_not_wait(self, well: Installation, postgres_url: str) -> None:
        """`synchronous_commit = off` is found."""
        migrated(postgres_url, Path(str(well.given["AMILI_DATA_DIR"])))
        with psycopg.connect(postgres_url, autocommit=True) as admin:
            name = admin.info.dbname
            admin.execute(f'ALTER DATABASE "{name}" SET synchronous_commit = off'.encode())
        check = well.broken("durable commits", AMILI_DATABASE_URL=postgres_url)
        assert "synchronous_commit is off" in check["says"]

    def test_another_epoch_is_mended(self, well: Installation, redis_url: str) -> None:
        """Keys of another database are cleared, and the next run finds all well."""
        client = connect(redis_url)
        client.set("amili:epoch", "another")
        client.set("amili:seen:00", "stored")
        code, found = well.examined()
        assert (code, checks(found)["store epoch"]) == (0, "warning")
        assert not client.exists("amili:seen:00")
        client.connection_pool.disconnect()
        assert checks(well.examined()[1])["store epoch"] == "ok"


class TestAmili:
    def test_wrong_credentials(self, well: Installation) -> None:
        """A refused client is told as such; the reads are skipped."""
        _, found = well.examined(AMILI_CLIENT_ID="somebody")
        assert checks(found)["GetSettlements"] == "skipped"
        assert verdicts(found)["token_errors"] == "confirmed"
        check = well.broken("token", AMILI_CLIENT_ID="somebody")
        assert "AMILI_CLIENT_SECRET" in check["do"]

    def test_unreachable(self, well: Installation) -> None:
        """An API that nobody reaches fails every read, and the clock."""
        url = f"http://{NOWHERE}/collection/v1"
        code, found = well.examined(AMILI_API_BASE_URL=url)
        results = checks(found)
        assert code == 1
        assert results["GetCasesByOrganization"] == results["clock of the API"] == "failed"
        assert results["token"] == "ok"

    def test_a_refused_read(self, well: Installation, amili: SandboxServer) -> None:
        """A read that is denied names operation and status, and asks for the right."""
        amili.control.add_fault("GetSettlements", status=403)
        check = well.broken("GetSettlements")
        amili.control.clear_faults()
        assert "HTTP 403" in check["says"]
        assert "scopes" in check["do"]

    def test_hanging(self, well: Installation) -> None:
        """Hosts that take a connection and never answer hold up nobody."""
        with socket.create_server(("127.0.0.1", 0)) as silent:
            url = f"http://127.0.0.1:{silent.getsockname()[1]}"
            code, found = well.examined(AMILI_API_BASE_URL=url, AMILI_TOKEN_URL=url)
        assert code == 1
        assert checks(found)["token"] == checks(found)["clock of the API"] == "failed"

    @pytest.mark.parametrize(("seconds", "result"), [(-3600, "failed"), (-10, "warning")])
    def test_clocks(self, well: Installation, seconds: float, result: str) -> None:
        """A host whose clock is off is told by how much: warned of, then failed."""
        with skewed(seconds) as url:
            code, found = well.examined(AMILI_TOKEN_URL=url, AMILI_CLIENT_ID="")
        check = next(each for each in found["checks"] if each["name"] == "clock of the token host")
        assert check["result"] == result
        assert "behind this machine's clock" in check["says"]
        assert code == 1  # also for the credentials

    def test_a_skewed_host_alone_fails(self, well: Installation) -> None:
        """A clock that is off by more than thirty seconds is enough for exit code 1."""
        with skewed(100) as url:
            check = well.broken("clock of the API", AMILI_API_BASE_URL=url)
        assert "ahead of" in check["says"]

    def test_answers_of_another_form(self, well: Installation) -> None:
        """What is no Amili is told as such, not in a traceback."""
        with skewed(0) as url:
            check = well.broken("GetCasesByOrganization", AMILI_API_BASE_URL=url)
        assert check["says"].startswith("get_cases_by_organization")


@contextmanager
def skewed(seconds: float) -> Iterator[str]:
    """Serve a host whose clock is so many seconds ahead."""

    class Host(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, format: str, *args: Any) -> None:
            """Say nothing."""

        def answer(self) -> None:
            self.send_response_only(200)
            self.send_header("Date", formatdate(time.time() + seconds, usegmt=True))
            self.send_header("Content-Length", "2")
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(b"[]")

        do_GET = do_HEAD = do_POST = answer  # noqa: N815 - the names are http.server's

    server = ThreadingHTTPServer(("127.0.0.1", 0), Host)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
