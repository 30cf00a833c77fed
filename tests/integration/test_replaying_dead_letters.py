"""Dead letters over the API and the command line: chosen, counted, and worked on again."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from urllib.parse import quote, urlencode

import pytest

from service.domain.deliveries import EventState
from service.settings import Settings
from service.store import entities, events
from service.store.database import Tx
from service.store.schema import entities as entity_rows
from tests.doors import (
    CHECKOUT,
    commands,
    drained,
    environment,
    event,
    rows,
    worker,
)
from tests.integration.test_api import Desk, desk_of, refuses


@pytest.fixture
def desk(redis_url: str, database_url: str, tmp_path: Path) -> Iterator[Desk]:
    """Open a door with dead letters, on both databases."""
    with desk_of(redis_url, database_url, tmp_path) as opened:
        fill(opened)
        yield opened


@pytest.fixture
def lite(redis_url: str, sqlite_url: str, tmp_path: Path) -> Iterator[Desk]:
    """Open a door with dead letters, on SQLite."""
    with desk_of(redis_url, sqlite_url, tmp_path) as opened:
        fill(opened)
        yield opened


def fill(desk: Desk) -> None:
    """Take in six events of cases, and let five of them die for two reasons."""
    for number in range(6):
        kind = "CASE_CREATED" if number % 2 else "CASE_UPDATED"
        data = {"orgId": "org-1", "caseId": f"case-{number}", "caseNumber": str(number)}
        desk.door.deliver(event(id=f"event-{number}", eventType=kind, data=data))
    drained(desk.settings)
    die(desk, *range(3), error="getCase: 404")
    die(desk, 3, 4, error="unexpected ValueError")


def die(desk: Desk, *numbers: int, error: str) -> None:
    """Give these events up."""

    def run(tx: Tx) -> None:
        for number in numbers:
            seqs = [row.seq for row in events.by_id(tx, f"event-{number}")]
            events.postpone(tx, seqs, error, counts=True, dead=True)
            name = f"case:case-{number}"
            same = entity_rows.c.entity == name
            tx.execute(
                entity_rows.update()
                .where(same)
                .values(done=entity_rows.c.wanted, not_before=tx.now + timedelta(hours=1))
            )

    desk.run(run)


def states(settings: Settings) -> str:
    """Return the first letter of each event's state, the first event first."""
    found = {row.event_id: row.state for row in rows(settings)}
    return "".join(found[f"event-{number}"][0] for number in range(6))


class TestApi:
    def test_the_list(self, desk: Desk) -> None:
        """Dead letters are chosen by type, error and time, each with cause, attempts and error."""

        def ids(**asked: str) -> list[str]:
            page = desk.door.get(f"/events?{urlencode({'state': 'dead', **asked})}").json
            return [each["eventId"][-1] for each in page["data"]]

        assert ids() == ["4", "3", "2", "1", "0"]
        assert ids(type="CASE_CREATED") == ["3", "1"]
        assert ids(error="getcase") == ["2", "1", "0"]
        assert ids(error="%") == ids(since="2999-01-01T00:00:00Z") == []
        assert ids(since="1h") == ids()
        ago = (datetime.now(UTC) - timedelta(hours=1)).isoformat()
        assert ids(since=ago, type="CASE_UPDATED", error="ValueError") == ["4"]
        (one,) = desk.door.get("/events?error=ValueError&type=CASE_CREATED").json["data"]
        assert (one["outcome"], one["attempts"]) == ("attempts_exhausted", 1)
        assert one["error"] == "unexpected ValueError"

    @pytest.mark.parametrize("since", ["soon", "1x", "2026-01-01", "-1h", "²h", "9999999d", " "])
    def test_times_that_are_none(self, lite: Desk, since: str) -> None:
        """What is no time and no span is told, in a list and in a replay."""
        assert refuses(lite.door.get(f"/events?since={quote(since)}"), 400)
        reply = lite.door.post("/events/replay", {"since": since})
        assert reply.is_problem
        assert reply.status in (400, 422)
        assert states(lite.settings) == "dddddr"

    def test_replay_of_some(self, desk: Desk) -> None:
        """Those that are meant wait again, once for each key, and only they."""
        wish = {"type": "CASE_CREATED", "error": "GETCASE", "since": "2h"}
        reply = desk.door.post("/events/replay", wish, key="k")
        assert (reply.status, reply.json) == (202, {"replayed": 1, "skipped": 0, "next": None})
        assert states(desk.settings) == "drdddr"
        die(desk, 1, error="again")
        again = desk.door.post("/events/replay", wish, key="k")
        assert again.json == reply.json
        assert states(desk.settings) == "dddddr"

    def test_replay_of_all(self, lite: Desk) -> None:
        """No body means every dead letter; nothing left is no error."""
        assert lite.door.post("/events/replay").json["replayed"] == 5
        assert states(lite.settings) == "rrrrrr"
        assert lite.door.post("/events/replay").json["replayed"] == 0

    @pytest.mark.parametrize(
        "wish", [{"state": "settled"}, {"typ": "X"}, {"type": 5}, {"error": ""}, {"after": "x"}, []]
    )
    def test_wishes_that_are_none(self, lite: Desk, wish: object) -> None:
        """A filter that is misspelt, or means what is not dead, replays nothing."""
        assert refuses(lite.door.post("/events/replay", wish), 422)
        assert states(lite.settings) == "dddddr"

    def test_no_dedup_swallows_it(self, desk: Desk) -> None:
        """Whatever the door's keys say of a body, its replay is worked on; a retry is not new."""
        body = event(id="event-0", data={"orgId": "org-1", "caseId": "case-0", "caseNumber": "0"})
        desk.door.deliver(body)
        drained(desk.settings)
        with worker(desk.settings) as parts:
            digests = [bytes(row.digest) for row in rows(desk.settings)]
            parts.stream.mark_settled(digests)  # as after a success
            assert desk.door.deliver(body).status == 200  # the door leaves it out
            assert desk.door.post("/events/event-0/replay").status == 202
            assert desk.door.post("/events/replay").json["replayed"] == 4
            assert desk.door.deliver(body).status == 200
            lease = timedelta(seconds=10)
            claims = parts.database.run(lambda tx: entities.claim(tx, "me", limit=50, lease=lease))
        found = {claim.key.id: [cause.event_id for cause in claim.events] for claim in claims}
        assert {f"case-{n}" for n in range(5)} <= found.keys()
        assert found["case-0"] == ["event-0"]
        assert all(claim.attempts == 0 for claim in claims)
        assert len(rows(desk.settings)) == 6


class Shell:
    """Runs commands on the settings of a desk."""

    def __init__(self, desk: Desk, folder: Path) -> None:
        self._folder = folder
        self.given = {
            "AMILI_REDIS_URL": desk.settings.redis_url,
            "AMILI_DATABASE_URL": desk.settings.database_url,
            "AMILI_DATA_DIR": desk.settings.data_dir,
            "COLUMNS": 300,
        }

    def run(self, *lines: str) -> list[subprocess.CompletedProcess[str]]:
        """Run commands one after the other."""
        return commands(self._folder, [(line.split(), self.given) for line in lines])

    def typed(self, said: str, *words: str) -> subprocess.CompletedProcess[str]:
        """Run a command that is told something on its standard input."""
        return subprocess.run(
            [sys.executable, "-m", "service.cli", *words],
            cwd=CHECKOUT,
            env=environment(**self.given),
            input=said,
            capture_output=True,
            text=True,
            timeout=90,
            check=False,
        )


class TestCommands:
    def test_dead_and_replay_all(self, lite: Desk, tmp_path: Path) -> None:
        """What is dead is listed with its cause, and what is chosen is replayed unasked."""
        table, chosen, one, rest, none = Shell(lite, tmp_path).run(
            "events dead",
            "events dead --error getcase --since 1h --json",
            "events replay-all --type CASE_CREATED --error ValueError --since 45m --yes",
            "events replay-all --yes",
            "events replay-all",
        )
        header, *lines = table.stdout.splitlines()
        assert header.split()[-1] == "eventId"
        assert [line.split()[-1] for line in lines] == [f"event-{n}" for n in (4, 3, 2, 1, 0)]
        assert "attempts_exhausted" in lines[0]
        assert "unexpected ValueError" in lines[0]
        assert len(json.loads(chosen.stdout)["data"]) == 3
        assert (one.returncode, one.stdout) == (0, "1 event will be worked on again.\n")
        assert rest.stdout == "4 events will be worked on again.\n"
        assert (none.returncode, none.stdout) == (0, "There is no such dead letter.\n")
        assert states(lite.settings) == "rrrrrr"
        assert EventState.DEAD not in {row.state for row in rows(lite.settings)}

    def test_it_asks_first(self, lite: Desk, tmp_path: Path) -> None:
        """With the number of them; whatever is not yes replays nothing, silence too."""
        shell = Shell(lite, tmp_path)
        for said in ("n\n", ""):
            done = shell.typed(said, "events", "replay-all")
            assert done.returncode == 1
            assert "5 events will be worked on again. Go on?" in done.stderr
            assert done.stderr.strip().splitlines()[-1].endswith((".", "--yes."))
            assert "Traceback" not in done.stderr
        assert states(lite.settings) == "dddddr"
        done = shell.typed("y\n", "events", "replay-all", "--error", "ValueError")
        assert (done.returncode, done.stdout.strip()) == (0, "2 events will be worked on again.")
        assert states(lite.settings) == "dddrrr"

    def test_wrong_filters(self, lite: Desk, tmp_path: Path) -> None:
        """Each is told in one line with its option."""
        asked = ("--since soon", "--since 2026-01-01", "--since 9999999d")
        for done in Shell(lite, tmp_path).run(*(f"events replay-all --yes {w}" for w in asked)):
            assert (done.returncode, len(done.stderr.splitlines())) == (1, 1)
            assert "--since takes a time like" in done.stderr
        assert states(lite.settings) == "dddddr"
