"""What people ask of Amili on the command line, and settlements read live."""

from __future__ import annotations

import csv
import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from service.domain.actions import Action, ActionState
from service.domain.entities import Read
from service.domain.holds import Hold
from service.domain.records import Case
from service.embedded import free_port
from service.sandbox.harness import SandboxServer
from service.sandbox.world import ORGANIZATION_ID
from service.settings import Settings
from service.store import holds, ledger
from service.store.database import Tx
from tests.doors import (
    CHECKOUT,
    command,
    commands,
    environment,
    eventually,
    migrated,
    opened_database,
    settings_for,
)
from tests.integration.store_records import save_case

Given = dict[str, object]


@pytest.fixture
def given(redis_url: str, sqlite_url: str, tmp_path: Path) -> Given:
    """Migrate a SQLite with a case in it; name its settings as variables."""
    migrated(sqlite_url, tmp_path)

    def furnish(tx: Tx) -> None:
        for number in range(1, 4):
            name = f"case-{number}"
            case = Case(name, "8812", "org-1", "OPEN", None, "DEBT", None, None, None, raw="{}")
            save_case(tx, case, Read(1, tx.now), is_over=False)
        by_policy = Hold("by-policy", "case-1", "batch_failed", "policy", tx.now)
        holds.place(tx, by_policy)

    settings = settings_for(redis_url, sqlite_url, tmp_path)
    with opened_database(settings) as database:
        database.run(furnish)
    return {
        "AMILI_REDIS_URL": redis_url,
        "AMILI_DATABASE_URL": sqlite_url,
        "AMILI_DATA_DIR": tmp_path,
        "COLUMNS": 300,
    }


def settings_of(given: Given) -> Settings:
    """Make the settings that these variables name."""
    names = ("AMILI_REDIS_URL", "AMILI_DATABASE_URL", "AMILI_DATA_DIR")
    redis_url, database_url, data_dir = (str(given[name]) for name in names)
    return settings_for(redis_url, database_url, Path(data_dir))


def ledger_of(given: Given, case_id: str) -> list[Action]:
    """Read the ledger of a case."""
    with opened_database(settings_of(given)) as database, database.read() as tx:
        return list(ledger.of_cases(tx, [case_id])[case_id])


def run(given: Given, folder: Path, *lines: str) -> list[subprocess.CompletedProcess[str]]:
    """Run commands one after the other."""
    streams = Path(tempfile.mkdtemp(dir=folder))
    return commands(streams, [(line.split(), given) for line in lines])


def typed(given: Mapping[str, object], said: str, *words: str) -> subprocess.CompletedProcess[str]:
    """Run a command that is told something on its standard input."""
    return subprocess.run(
        [sys.executable, "-m", "service.cli", *words],
        cwd=CHECKOUT,
        env=environment(**given),
        input=said,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def refusal(done: subprocess.CompletedProcess[str]) -> str:
    """See a command fail in one sentence; return it."""
    assert done.returncode == 1, done.stdout
    last = done.stderr.strip().splitlines()[-1]
    assert "amili-events: " in last, done.stderr  # a prompt may stand before it
    assert "Traceback" not in done.stderr
    return last


class TestCases:
    def test_pause_and_resume(self, given: Given, tmp_path: Path) -> None:
        """A pause is an operator's hold; a resume ends those of people and names the others."""
        paused, shown, resumed, again, free = run(
            given,
            tmp_path,
            "cases pause case-1 --reason dispute --until 14d",
            "cases show case-1",
            "cases resume case-1",
            "cases resume case-1",
            "cases resume case-2",
        )
        assert (paused.returncode, paused.stderr) == (0, "")
        hold_id = paused.stdout.strip()
        placed = {hold["holdId"]: hold for hold in json.loads(shown.stdout)["holds"]}
        assert (placed[hold_id]["owner"], placed[hold_id]["reason"]) == ("operator", "dispute")
        still = "Still held: batch_failed, by a policy: hold by-policy."
        assert resumed.stdout.splitlines() == ["Released 1 hold.", still]
        assert again.stdout.splitlines() == ["Released 0 holds.", still]
        assert "Nothing holds it" in free.stdout
        assert ledger_of(given, "case-1") == []

    def test_withdraw_wants_the_number(self, given: Given) -> None:
        """A case is withdrawn when its number is typed, and by nothing else but --yes."""
        words = ("cases", "withdraw", "case-1", "--reason", "bankrupt", "--no-wait")
        assert "not the number" in refusal(typed(given, "8811\n", *words))
        assert "--yes" in refusal(typed(given, "", *words))
        assert ledger_of(given, "case-1") == []
        done = typed(given, "8812\n", *words)
        assert done.returncode == 0, done.stderr
        (action,) = ledger_of(given, "case-1")
        assert action.action_id == done.stdout.strip()
        assert action.detail["reason"] == "bankrupt"
        assert "8812" in done.stderr
        bare = typed(given, "", *words[:3], "--yes")
        assert bare.returncode == 2
        assert "--reason" in bare.stderr

    def test_answers(self, given: Given, tmp_path: Path) -> None:
        """Each answer is an action of its kind; with --no-wait its id stands alone on stdout."""
        kinds = {
            "accept-list": "acceptDebtCollectionList",
            "accept-eviction-request": "acceptEvictionRequest",
            "reject-eviction-confirmation": "rejectEvictionConfirmation",
        }
        others = {
            "reject-list": "rejectDebtCollectionList",
            "reject-eviction-request": "rejectEvictionRequest",
            "accept-eviction-confirmation": "acceptEvictionConfirmation",
        }
        lines = [f"cases {name} case-2 --reason checked --no-wait" for name in kinds]
        lines += [f"cases {name} case-3 --no-wait" for name in others]
        done = run(given, tmp_path, *lines, "cases reject-list case-2")
        assert [each.returncode for each in done[:-1]] == [0] * 6
        asked = ledger_of(given, "case-2") + ledger_of(given, "case-3")
        assert [str(each.kind) for each in asked] == [*kinds.values(), *others.values()]
        assert [each.action_id for each in asked] == [each.stdout.strip() for each in done[:-1]]
        assert [each.detail.get("reason") for each in asked] == ["checked"] * 3 + [None] * 3
        assert asked[0].action_id in refusal(done[-1])

    def test_refusals(self, given: Given, tmp_path: Path) -> None:
        """What cannot be asked for is told in one sentence."""
        said = [
            refusal(each)
            for each in run(
                given,
                tmp_path,
                "cases withdraw none --reason x --yes",
                f"cases withdraw case-1 --reason {'x' * 201} --yes",
                "cases accept-list none",
                "cases resume none",
                "cases pause case-1 --reason x --until 2000-01-01T00:00:00Z",
                "actions cancel none",
                "actions resend none",
            )
        ]
        assert "no case" in said[0]
        assert "1 to 200" in said[1]
        assert "past" in said[4]
        assert "no action" in said[5]


class TestWaiting:
    def test_a_refusal_is_no_success(self, given: Given, tmp_path: Path) -> None:
        """A command waits for the end, tells what Amili said, and fails when that was no."""
        error = "accept_debt_collection_list: HTTP 409 NOT_IN_THIS_STATE"
        done = answered(given, "case-1", state=ActionState.REFUSED, error=error)
        (action,) = ledger_of(given, "case-1")
        assert (done.returncode, done.stderr) == (1, "")
        assert done.stdout.splitlines() == [
            f"acceptDebtCollectionList, case 8812: refused: {error}",
            f"Action {action.action_id}",
        ]
        shown, as_json = run(given, tmp_path, "actions list", "actions list --json --case case-1")
        assert "HTTP 409" in shown.stdout
        assert json.loads(as_json.stdout)["data"][0]["error"] == error

    def test_success(self, given: Given) -> None:
        """What a read confirmed is exit code 0."""
        done = answered(given, "case-2", state=ActionState.CONFIRMED)
        assert (done.returncode, done.stderr) == (0, "")
        assert "confirmed: a read shows its effect." in done.stdout


def answered(given: Given, case_id: str, **end: Any) -> subprocess.CompletedProcess[str]:
    """Accept a list; let the action end while the command waits."""
    with ThreadPoolExecutor(1) as pool:
        running = pool.submit(command, "cases", "accept-list", case_id, **given)
        eventually(lambda: ledger_of(given, case_id))
        (action,) = ledger_of(given, case_id)
        ended = replace(action, attempts=1, closed_at=action.planned_at, **end)
        with opened_database(settings_of(given)) as database:
            database.run(lambda tx: ledger.save(tx, [ended]))
        return running.result()


class TestActions:
    def test_cancel_and_resend(self, given: Given, tmp_path: Path) -> None:
        """What was never sent is cancelled; what waits for a person is sent again."""
        (asked,) = run(given, tmp_path, "cases withdraw case-1 --reason x --yes --no-wait")
        action_id = asked.stdout.strip()
        done = run(
            given,
            tmp_path,
            f"actions resend {action_id}",
            f"actions cancel {action_id}",
            f"actions show {action_id}",
        )
        assert "only what is uncertain" in refusal(done[0])
        assert done[1].stdout == "Cancelled: it is not sent.\n"
        assert json.loads(done[2].stdout)["state"] == "cancelled"
        with opened_database(settings_of(given)) as database:
            (action,) = ledger_of(given, "case-1")
            waits = replace(action, state=ActionState.UNCERTAIN, attempts=1)
            database.run(lambda tx: ledger.save(tx, [waits]))
        again, late = run(
            given, tmp_path, f"actions resend {action_id}", f"actions cancel {action_id}"
        )
        assert again.stdout == "It will be sent again.\n"
        assert "never sent" in refusal(late)
        (action,) = ledger_of(given, "case-1")
        assert (action.state, action.attempts) == (ActionState.PLANNED, 1)


class TestSettlements:
    @pytest.fixture
    def amili(self) -> Iterator[SandboxServer]:
        """Play an Amili that has paid out seven times, three of them on a day of its own."""
        with SandboxServer(client_id="id", client_secret="secret") as server:
            control = server.control
            control.set_behaviour(page_size=3)
            for number in range(7):
                case = control.create_case(
                    invoices=[{"amount": "1000.00", "uniqueSourceInvoiceId": f"=cmd|{number}"}]
                )
                date = "2026-02-01" if number < 3 else "2026-01-15"
                control.settle(case["caseId"], amount=f"{number}.10", settlementDate=date)
            yield server

    @pytest.fixture
    def live(self, given: Given, amili: SandboxServer) -> Given:
        """Name the settings that lead to this Amili."""
        return given | {
            "AMILI_API_BASE_URL": amili.base_url,
            "AMILI_TOKEN_URL": amili.token_url,
            "AMILI_CLIENT_ID": "id",
            "AMILI_CLIENT_SECRET": "secret",
            "AMILI_ORGANIZATION_IDS": ORGANIZATION_ID,
        }

    def test_list(self, live: Given, amili: SandboxServer, tmp_path: Path) -> None:
        """All pages are read, chosen by date, and added up to the last øre; one token for all."""
        everything, some, as_json, none = run(
            live,
            tmp_path,
            "settlements list",
            "settlements list --from 2026-02-01 --to 2026-02-28",
            "settlements list --json",
            "settlements list --from 2030-01-01",
        )
        assert (everything.returncode, everything.stderr) == (0, "")
        lines = everything.stdout.splitlines()
        assert lines[-3] == "7 settlements."
        assert lines[-2:] == [
            "total NOK principalAmount 21.70",
            "total NOK totalAmount 21.70",
        ]
        assert "settlementId" in lines[0]
        assert len(lines) == 11
        assert some.stdout.splitlines()[-1] == "total NOK totalAmount 3.30"
        said = json.loads(as_json.stdout, parse_float=str)
        assert sorted(each["totalAmount"] for each in said["data"]) == [
            f"{number}.10" for number in range(7)
        ]
        assert said["totals"] == {"NOK": {"principalAmount": "21.70", "totalAmount": "21.70"}}
        assert none.stdout == "0 settlements.\n"
        assert len(amili.control.calls("Token")) == 1

    def test_export(self, live: Given, tmp_path: Path) -> None:
        """Both forms keep every member; a formula is disarmed; nothing is overwritten unasked."""
        table, text = tmp_path / "out.csv", tmp_path / "out.json"
        done = run(
            live,
            tmp_path,
            f"settlements export {table}",
            f"settlements export {text}",
            f"settlements export {table} --to 2026-01-31",
            f"settlements export {text} --to 2026-01-31 --force",
            f"settlements export {tmp_path / 'out.xlsx'}",
            f"settlements export {tmp_path / 'no' / 'out.csv'}",
        )
        assert done[0].stdout.splitlines()[0] == f"7 settlements written to {table}."
        with open(table, encoding="utf-8", newline="") as file:
            rows = list(csv.DictReader(file))
        assert len(rows) == 7
        assert list(rows[0])[:3] == ["settlementId", "organizationId", "settlementDate"]
        assert list(rows[0])[-2:] == ["principalAmount", "totalAmount"]
        assert {row["customerReference"] for row in rows} == {f"'=cmd|{n}" for n in range(7)}
        assert {row["exchangeRate"] for row in rows} == {"1.0000"}
        assert "--force" in refusal(done[2])
        assert done[3].stdout.splitlines()[0] == f"4 settlements written to {text}."
        assert len(json.loads(text.read_text())["data"]) == 4
        assert ".csv or .json" in refusal(done[4])
        assert "out.csv" in refusal(done[5])
        assert sorted(path.suffix for path in tmp_path.glob("*out.*")) == [".csv", ".json"]

    def test_amili_says_no(self, live: Given, amili: SandboxServer, tmp_path: Path) -> None:
        """Unreachable, denied, busy or asked for nonsense: one sentence with what to do."""
        gone = f"http://127.0.0.1:{free_port()}"
        wrong: list[tuple[Given, str, str]] = [
            ({"AMILI_API_BASE_URL": gone}, "list", "cannot be reached"),
            ({"AMILI_TOKEN_URL": gone}, "list", "cannot be reached"),
            ({"AMILI_CLIENT_ID": "nobody"}, "list", "AMILI_CLIENT_SECRET"),
            ({"AMILI_CLIENT_ID": ""}, "list", "AMILI_CLIENT_ID"),
            ({"AMILI_ORGANIZATION_IDS": ""}, "list", "--organization"),
            ({}, "list --from 1.2.2026", "a date like"),
            ({}, "list --from 2026-02-02 --to 2026-02-01", "later than --to"),
            ({}, "show none", "no settlement"),
        ]
        asked: list[tuple[list[str], Given]] = [
            (["settlements", *words.split()], live | more) for more, words, _ in wrong
        ]
        for done, (_, words, told) in zip(commands(tmp_path, asked), wrong, strict=True):
            assert told in refusal(done), words
            assert done.stdout == ""
        amili.control.add_fault("GetSettlements", status=429, rate=1.0)
        busy = command("settlements", "list", **dict[str, Any](live))
        assert "wait" in refusal(busy)
