"""The command line as an operator meets it: a process, its two streams, and its exit code."""

from __future__ import annotations

import json
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from importlib.metadata import version
from pathlib import Path

import pytest

from service.domain.entities import Read
from service.domain.records import Case
from service.embedded import free_port
from service.sandbox.world import ORGANIZATION_ID
from service.settings import Settings
from service.store import ledger
from service.store.database import Tx
from tests.doors import (
    CHECKOUT,
    SECRET,
    DoorProcess,
    DoorThread,
    Knocker,
    command,
    commands,
    drained,
    environment,
    event,
    eventually,
    migrated,
    opened_database,
    rows,
    settings_for,
)
from tests.integration.store_records import save_case

GONE = "redis://127.0.0.1:1/0"


def failure(done: subprocess.CompletedProcess[str]) -> str:
    """See a command fail in words and not in a traceback; return them."""
    said = done.stderr.strip()
    assert (done.args, done.returncode) == (done.args, 1), said
    assert "Traceback" not in done.stderr + done.stdout
    assert done.stdout == ""
    assert said.startswith("amili-events")
    return said


def one_line(done: subprocess.CompletedProcess[str]) -> str:
    """See a command fail in one line; return it."""
    said = failure(done)
    assert len(said.splitlines()) == 1, said
    return said


Asked = tuple[str, Mapping[str, object]]


def one_line_each(folder: Path, asked: Sequence[Asked]) -> list[str]:
    """Run commands that must fail in one line; return those."""
    done = commands(folder, [(words.split(), given) for words, given in asked])
    return [one_line(each) for each in done]


@pytest.fixture
def shop(redis_url: str, sqlite_url: str, tmp_path: Path) -> Settings:
    """Migrate a SQLite with one case in it."""
    migrated(sqlite_url, tmp_path)
    settings = settings_for(redis_url, sqlite_url, tmp_path)

    def furnish(tx: Tx) -> None:
        case = Case("case-1", "8812", "org-1", "OPEN", None, "DEBT", None, None, None, raw="{}")
        save_case(tx, case, Read(1, tx.now), is_over=False)

    with opened_database(settings) as database:
        database.run(furnish)
    return settings


def given(settings: Settings, **more: object) -> dict[str, object]:
    """Name these settings as variables."""
    return {
        "AMILI_REDIS_URL": settings.redis_url,
        "AMILI_DATABASE_URL": settings.database_url,
        "AMILI_DATA_DIR": settings.data_dir,
        "AMILI_WEBHOOK_SECRETS": SECRET,
        **more,
    }


class TestWrongSettings:
    def test_serve(self, shop: Settings, tmp_path: Path) -> None:
        """What would keep the door shut is told in one line, with the variable to look at."""
        with socket.create_server(("127.0.0.1", 0)) as taken:
            port = taken.getsockname()[1]
            certificate = tmp_path / "no.pem"
            certificate.write_text("this is no certificate")
            tls = {"AMILI_TLS_CERT_FILE": certificate, "AMILI_TLS_KEY_FILE": certificate}
            good = given(shop, AMILI_PORT=free_port())
            wrong: list[tuple[Mapping[str, object], str]] = [
                ({"AMILI_PORT": "abc"}, "AMILI_PORT"),
                ({"AMILI_PORT": port}, "AMILI_PORT"),
                ({"AMILI_HOST": "192.0.2.1"}, "AMILI_HOST"),
                ({"AMILI_WEBHOOK_SECRETS": " , "}, "AMILI_WEBHOOK_SECRETS"),
                ({"AMILI_REDIS_URL": "http://u:hidden@h"}, "AMILI_REDIS_URL"),
                ({"AMILI_REDIS_URL": "redis://:hidden@h/0?no_such=1"}, "AMILI_REDIS_URL"),
                ({"AMILI_DATA_DIR": "/dev/null/data"}, "AMILI_DATA_DIR"),
                (tls, "AMILI_TLS_CERT_FILE"),
                (
                    {"AMILI_DATABASE_URL": "mysql://u:hidden@h/d", "AMILI_DOOR_PROCESSES": 2},
                    "AMILI_DATABASE_URL",
                ),
            ]
            said = one_line_each(tmp_path, [("serve", {**good, **bad}) for bad, _ in wrong])
        for line, (_, name) in zip(said, wrong, strict=True):
            assert name in line
            assert "hidden" not in line

    def test_two_wrong_settings(self) -> None:
        """Each wrong setting has its own line."""
        said = failure(command("serve", AMILI_PORT="abc", AMILI_ACK_DURABILITY="often"))
        first, second = said.splitlines()
        assert "AMILI_ACK_DURABILITY: " in first
        assert second.startswith("AMILI_PORT: ")

    def test_others(self, shop: Settings, tmp_path: Path) -> None:
        """The other commands tell of wrong settings and absent servers in one line too."""
        postgres = {"AMILI_DATABASE_URL": f"postgresql://u:hidden@127.0.0.1:{free_port()}/d"}
        empty = {"AMILI_DATABASE_URL": f"sqlite:///{tmp_path / 'empty.db'}"}
        place = "holds place case-1 --reason dispute"
        good = given(shop)
        wrong: list[tuple[str, Mapping[str, object], str]] = [
            (place, postgres, "database"),
            ("events list", postgres, "database"),
            ("migrate", postgres, "database"),
            ("events list", empty, "migrate"),
            ("events list", {"AMILI_DATABASE_URL": "mysql://"}, "mysql"),
            ("events list", {"AMILI_REDIS_URL": "nonsense"}, "AMILI_REDIS_URL"),
            ("migrate", {"AMILI_DATABASE_URL": "sqlite:////dev/null/x/y.db"}, "/dev/null"),
            ("worker --only nonsense", {}, "--only"),
            ("config", {"AMILI_PORT": "abc"}, "AMILI_PORT"),
            ("send", {"AMILI_PORT": free_port()}, "nobody answers"),
            ("send --body /no/such/file", {}, "/no/such/file"),
            ("send --url nonsense", {}, "--url"),
            ("send --url http://h:port/", {}, "--url"),
        ]
        said = one_line_each(tmp_path, [(words, {**good, **bad}) for words, bad, _ in wrong])
        for line, (words, _, told) in zip(said, wrong, strict=True):
            assert told in line, words
            assert "hidden" not in line

    def test_unknown_records(self, shop: Settings, tmp_path: Path) -> None:
        """What is not there is told in one line, also for ids that none can have."""
        asked = [
            *("events replay none", "cases show none", "holds release case-1 none"),
            *("holds place none --reason dispute", "events show \udcff"),
        ]
        said = one_line_each(tmp_path, [(words, given(shop)) for words in asked])
        assert all("There is no" in line or "has no hold" in line for line in said)

    def test_until(self, shop: Settings, tmp_path: Path) -> None:
        """An end that is none is told with the forms that are understood."""
        place = "holds place case-1 --reason dispute --until"
        ends = ("2030-01-01", "²d", "9999-12-31T23:59:59-14:00", "2000-01-01T00:00:00Z")
        *said, past = one_line_each(tmp_path, [(f"{place} {end}", given(shop)) for end in ends])
        assert all("--until takes" in line for line in said)
        assert "past" in past


class TestConfig:
    def test_no_secret_is_shown(self, tmp_path: Path) -> None:
        """`config` shows every setting, no secret, and names misspelt variables."""
        done = command(
            "config",
            AMILI_WEBHOOK_SECRETS="hidden-1,hidden-2",
            AMILI_API_TOKENS="hidden-3",
            AMILI_CLIENT_SECRET="hidden-4",
            AMILI_REDIS_URL="redis://user:hidden-5@redis.example:6379/0?password=hidden-6",
            AMILI_DATABASE_URL="postgresql://u:hid@den-7@db.example/d?password=hidden-8",
            AMILI_DATA_DIR=tmp_path / "[/x]",
            AMILI_WEBHOK_SECRETS="hidden-9",
            AMILI_SOMETHING_ELSE="hidden-0",
        )
        assert done.returncode == 0, done.stderr
        assert "hidden" not in done.stdout
        assert "den-7" not in done.stdout
        assert "2 secrets" in done.stdout
        assert "redis.example" in done.stdout
        flat = " ".join(done.stdout.split())
        assert "AMILI_WEBHOK_SECRETS is not a setting. Did you mean AMILI_WEBHOOK_SECRETS?" in flat
        assert "AMILI_SOMETHING_ELSE is not a setting." in flat
        for name in Settings.model_fields:
            assert f"AMILI_{name.upper()}" in done.stdout


class TestMigrate:
    def test_twice(self, database_url: str, tmp_path: Path) -> None:
        """The first migrates, the second finds nothing to do."""
        config = {"AMILI_DATABASE_URL": database_url, "AMILI_DATA_DIR": tmp_path}
        first, second = command("migrate", **config), command("migrate", **config)
        assert (first.returncode, first.stdout) == (0, "The schema was migrated.\n")
        assert (second.returncode, second.stdout) == (0, "The schema is up to date.\n")

    def test_two_at_once(self, database_url: str, tmp_path: Path) -> None:
        """Two migrations at once wait for each other, and both end well."""
        config = {"AMILI_DATABASE_URL": database_url, "AMILI_DATA_DIR": tmp_path}
        with ThreadPoolExecutor(2) as pool:
            done = list(pool.map(lambda _: command("migrate", **config), range(2)))
        assert [each.returncode for each in done] == [0, 0], [each.stderr for each in done]

    def test_newer(self, shop: Settings) -> None:
        """A schema newer than this code is left as it is."""
        with opened_database(shop) as database, database.begin() as tx:
            tx.connection.exec_driver_sql("UPDATE alembic_version SET version_num = '9999'")
        assert "newer" in one_line(command("migrate", **given(shop)))


class TestDesk:
    def test_hold_without_redis(self, shop: Settings, tmp_path: Path) -> None:
        """A hold needs no Redis: its id stands alone on stdout, for other programs."""
        config = given(shop, AMILI_REDIS_URL=GONE)
        words = ("holds", "place", "case-1", "--reason", "dispute", "--until", "14d")
        placed = command(*words, "--comment", "said [/by] phone", **config)
        assert (placed.returncode, placed.stderr) == (0, "")
        (hold,) = placed.stdout.split()
        asked: list[tuple[str, ...]] = [("cases", "show", "case-1"), ("holds", "list", "--json")]
        asked.append(("holds", "release", "case-1", hold))
        case, listed, released = commands(tmp_path, [(words, config) for words in asked])
        shown = json.loads(case.stdout)
        assert shown["desired"] == "paused"
        assert shown["holds"][0]["holdId"] == hold
        assert shown["holds"][0]["owner"] == "operator"
        assert [each["holdId"] for each in json.loads(listed.stdout)["data"]] == [hold]
        assert (released.returncode, released.stdout) == (0, "Released.\n")

    def test_words_from_outside_are_not_markup(self, shop: Settings) -> None:
        """An event of any type and id is listed as it is, brackets and all."""
        with DoorThread(shop) as door:
            door.deliver(event(id="[/]", eventType="[/boom]"))
            door.deliver(event(id="[red]id", eventType="[bold]NEW"))
        drained(shop)
        done = command("events", "list", **given(shop), COLUMNS=300)
        assert done.returncode == 0, done.stderr
        assert "[/boom]" in done.stdout
        assert "[red]id" in done.stdout
        shown = command("events", "show", "[/]", **given(shop))
        assert json.loads(shown.stdout)["type"] == "[/boom]"

    def test_replay(self, shop: Settings) -> None:
        """Replaying an event says how many will be worked on."""
        with DoorThread(shop) as door:
            door.deliver(event(id="event-1"))
        drained(shop)
        done = command("events", "replay", "event-1", **given(shop))
        assert (done.returncode, done.stdout) == (0, "1 event will be worked on again.\n")

    def test_lists_are_empty_at_first(self, shop: Settings, tmp_path: Path) -> None:
        """Every list is there before there is anything in it."""
        lists = [
            ((group, "list"), given(shop)) for group in ("events", "actions", "holds", "cases")
        ]
        for done in commands(tmp_path, lists):
            assert (done.returncode, done.stderr) == (0, "")
        with opened_database(shop) as database, database.read() as tx:
            assert ledger.listed(tx) == []


class TestSend:
    def test_to_a_door(self, shop: Settings, tmp_path: Path) -> None:
        """A made-up event is accepted, a body of one's own too, and a refusal is exit code 1."""
        with DoorThread(shop) as door:
            config = given(shop, AMILI_PORT=door.port)
            sent = command("send", **config)
            assert sent.returncode == 0, sent.stderr
            status, _, body = sent.stdout.partition(" ")
            assert (status, json.loads(body)["status"]) == ("202", "accepted")
            own = tmp_path / "body.json"
            own.write_bytes(event(id="my-own"))
            url = f"http://127.0.0.1:{door.port}/webhooks/amili"
            sent = command("send", "--body", str(own), "--url", url, **config)
            assert json.loads(sent.stdout.partition(" ")[2])["eventId"] == "my-own"
            refused = command("send", **config | {"AMILI_WEBHOOK_SECRETS": "another"})
            assert (refused.returncode, refused.stdout[:4]) == (1, "401 ")
        drained(shop)
        assert len(rows(shop)) == 2

    @pytest.fixture
    def babbler(self) -> Iterator[int]:
        """Answer one connection with what is no HTTP."""
        with socket.create_server(("127.0.0.1", 0)) as listener:

            def babble() -> None:
                line, _ = listener.accept()
                with line:
                    line.recv(10_000)
                    line.sendall(b"220 mail.example ESMTP\r\n")

            thread = threading.Thread(target=babble, daemon=True)
            thread.start()
            yield listener.getsockname()[1]
            thread.join(10)

    def test_to_what_is_no_door(self, shop: Settings, babbler: int) -> None:
        """What answers, but not as a door does, is told in one line."""
        assert "no door" in one_line(command("send", **given(shop, AMILI_PORT=babbler)))


class TestSandbox:
    def test_says_where_it_is(self) -> None:
        """At its start the sandbox prints the settings that lead to it, and no secret; it answers.

        Ctrl-C ends it without a traceback.
        """
        words = [sys.executable, "-m", "service.cli", "sandbox", "--port", "0"]
        secret = "hidden-secret"
        begun = subprocess.Popen(
            [*words, "--client-secret", secret],
            cwd=CHECKOUT,
            env=environment(),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        with begun:
            assert begun.stdout
            assert begun.stderr
            lines = [begun.stdout.readline().strip() for _ in range(7)]
            told = dict(line.split("=", 1) for line in lines if "=" in line)
            port = int(told["AMILI_TOKEN_URL"].split(":")[-1].split("/")[0])
            answers = eventually(lambda: health(port))
            begun.send_signal(signal.SIGINT)
            said = begun.stderr.read()
        assert answers == 200
        assert told["AMILI_API_BASE_URL"] == f"http://127.0.0.1:{port}/collection/v1"
        assert told["AMILI_CLIENT_ID"] == "sandbox"
        assert told["AMILI_ORGANIZATION_IDS"] == ORGANIZATION_ID
        assert not any(secret in line for line in lines)
        assert "Traceback" not in said


def health(port: int) -> int | None:
    """Return the status of a sandbox's health; None: nobody answers yet."""
    try:
        return Knocker(port).ask("GET", "/_sandbox/health").status
    except OSError:
        return None


class TestInterrupted:
    def test_at_any_moment(self, tmp_path: Path) -> None:
        """Ctrl-C ends a command with 130 and without a traceback, while it imports and after."""
        for name in ("typer", "pydantic"):  # each stands before the real one, and hangs
            hanging = "import os, time\nos.write(1, b'x')\ntime.sleep(60)\n"
            (tmp_path / f"{name}.py").write_text(hanging)
        for module in ("service.cli", "service.web", "workers"):
            path = {"PYTHONPATH": f"{tmp_path}:{CHECKOUT}"}
            begun = subprocess.Popen(
                [sys.executable, "-m", module, "config"],
                cwd=CHECKOUT,
                env=environment() | path,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
            )
            with begun:
                assert begun.stdout
                assert begun.stdout.read(1) == "x"
                begun.send_signal(signal.SIGINT)
                _, said = begun.communicate(timeout=60)
            assert (module, begun.returncode, said) == (module, 130, "")


class TestSchema:
    """A schema that is missing or older, as each command meets it."""

    def test_worker(self, shop: Settings, tmp_path: Path) -> None:
        """A worker does not start: it says in one line what to run."""
        empty = {"AMILI_DATABASE_URL": f"sqlite:///{tmp_path / 'empty.db'}"}
        with opened_database(shop) as database, database.begin() as tx:
            tx.connection.exec_driver_sql("UPDATE alembic_version SET version_num = '0001'")
        amili = {"AMILI_CLIENT_ID": "id", "AMILI_CLIENT_SECRET": "secret"}
        amili |= {"AMILI_API_BASE_URL": "http://127.0.0.1:1", "AMILI_TOKEN_URL": "http://[::1]:1"}
        missing, older = one_line_each(
            tmp_path,
            [("worker", given(shop, **amili) | empty), ("worker", given(shop, **amili))],
        )
        assert missing.endswith("no schema yet: run `amili-events migrate`.")
        assert older.endswith("older than this code: run `amili-events migrate`.")

    def test_serve(self, shop: Settings, tmp_path: Path) -> None:
        """The door keeps running, is not ready, says why, and logs it once, as an error."""
        with opened_database(shop) as database, database.begin() as tx:
            tx.connection.exec_driver_sql("UPDATE alembic_version SET version_num = '0001'")
        config = {name: value for name, value in given(shop).items() if name != "AMILI_PORT"}
        with DoorProcess(tmp_path, **config | {"AMILI_REDIS_URL": GONE}) as door:
            answers = [door.ready() for _ in range(3)]
            said = [json.loads(line) for line in door.said.splitlines() if line.startswith("{")]
        assert {status for status, _ in answers} == {503}
        notes = " ".join(answers[0][1]["notes"])
        assert "run `amili-events migrate`" in notes
        assert "are answered 503" in notes
        assert "SQL spool" not in notes
        told = [each for each in said if each["event"] == "schema_not_usable"]
        assert [(each["level"], "migrate" in each["reason"]) for each in told] == [("error", True)]


def test_version() -> None:
    """The version is told, as it was installed."""
    done = command("--version")
    assert (done.returncode, done.stdout) == (0, f"amili-events {version('amili-events')}\n")


def test_help_of_every_command(tmp_path: Path) -> None:
    """Every command explains itself, and none needs a setting for that."""
    asked: list[tuple[str, ...]] = [(), ("serve",), ("events",), ("holds", "place"), ("send",)]
    for done in commands(
        tmp_path, [((*words, "--help"), {"AMILI_PORT": "abc"}) for words in asked]
    ):
        assert done.returncode == 0
        assert "Usage" in done.stdout
