"""Lists and names on the command line: by number as well as by id, page by page."""

from __future__ import annotations

import json
import tempfile
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from service.domain.entities import Read
from service.domain.records import Case, Invoice
from service.store.database import Tx
from tests.doors import commands, migrated, opened_database, settings_for
from tests.integration.store_records import save_case, save_invoices

AT = datetime(2026, 3, 1, tzinfo=UTC)
Given = dict[str, object]


@pytest.fixture
def given(redis_url: str, sqlite_url: str, tmp_path: Path) -> Given:
    """Migrate a SQLite with cases and invoices; name its settings as variables."""
    migrated(sqlite_url, tmp_path)

    def furnish(tx: Tx) -> None:
        for number in range(1, 5):
            at = AT + timedelta(days=number)
            shown = f"88{min(number, 3)}"  # the last two have one number
            case = Case(
                f"case-{number}", shown, "org-1", "OPEN", None, "DEBT", None, at, None, "{}"
            )
            save_case(tx, case, Read(1, tx.now), is_over=False)
        made = [
            Invoice(
                f"inv-{number}",
                "org-1",
                f"F-{min(number, 2)}",
                unique_source_invoice_id=f"erp-{number}",
                case_id="case-1",
            )
            for number in range(1, 4)
        ]
        save_invoices(tx, made, Read(1, tx.now))

    with opened_database(settings_for(redis_url, sqlite_url, tmp_path)) as database:
        database.run(furnish)
    return {
        "AMILI_REDIS_URL": redis_url,
        "AMILI_DATABASE_URL": sqlite_url,
        "AMILI_DATA_DIR": tmp_path,
        "COLUMNS": 300,
    }


class Said:
    """What one command said, on both streams, and its exit code."""

    def __init__(self, code: int, out: str, err: str) -> None:
        assert "Traceback" not in out + err
        self.code, self.out, self.err = code, out, err

    @property
    def last_words(self) -> list[str]:
        """The last column of every line but the header."""
        return [line.split()[-1] for line in self.out.splitlines()[1:]]


def run(given: Given, folder: Path, *lines: str) -> list[Said]:
    """Run commands one after the other."""
    streams = Path(tempfile.mkdtemp(dir=folder))
    done = commands(streams, [(line.split(), given) for line in lines])
    return [Said(each.returncode, each.stdout, each.stderr) for each in done]


def test_pages_of_cases(given: Given, tmp_path: Path) -> None:
    """Cases come newest first; a page that is not the last says how to go on."""
    first, second, one, as_json = run(
        given,
        tmp_path,
        "cases list --limit 3",
        "cases list --limit 3 --after case-2",
        "cases list --number 882",
        "cases list --limit 1 --json",
    )
    assert first.last_words == ["case-4", "case-3", "case-2"]
    assert first.err == "3 shown; more: --after case-2\n"
    assert (second.last_words, second.err) == (["case-1"], "")
    assert one.last_words == ["case-2"]
    assert (json.loads(as_json.out)["next"], as_json.err) == ("case-4", "")


def test_a_case_by_its_number(given: Given, tmp_path: Path) -> None:
    """Wherever a case is named, its number does as well; one that two cases have does not."""
    shown, timeline, paused, held, released, two, none = run(
        given,
        tmp_path,
        "cases show 882",
        "cases timeline 882",
        "cases pause 882 --reason dispute",
        "holds list --case 882 --json",
        "cases resume 882",
        "cases accept-list 883 --no-wait",
        "cases accept-list 88 --no-wait",
    )
    assert json.loads(shown.out)["caseId"] == "case-2"
    assert json.loads(timeline.out) == {"data": [], "next": None}
    (hold,) = json.loads(held.out)["data"]
    assert (hold["holdId"], hold["caseId"]) == (paused.out.strip(), "case-2")
    assert released.out.splitlines()[0] == "Released 1 hold."
    assert (two.code, two.out) == (1, "")
    assert "case-3, case-4" in two.err
    assert (none.code, "There is no case" in none.err) == (1, True)


def test_invoices(given: Given, tmp_path: Path) -> None:
    """An invoice is found by number, by our own id, by its case; two of one number are told."""
    listed, page, source, by_id, by_number, by_source, two, none = run(
        given,
        tmp_path,
        "invoices list --case 881",
        "invoices list --limit 2",
        "invoices list --source erp-3",
        "invoices show inv-2",
        "invoices show F-1",
        "invoices show erp-3",
        "invoices show F-2",
        "invoices show F-9",
    )
    assert listed.last_words == ["inv-1", "inv-2", "inv-3"]
    assert page.err == "2 shown; more: --after inv-2\n"
    assert source.last_words == ["inv-3"]
    found = [json.loads(each.out)["invoiceId"] for each in (by_id, by_number, by_source)]
    assert found == ["inv-2", "inv-1", "inv-3"]
    assert (two.code, "inv-2, inv-3" in two.err) == (1, True)
    assert (none.code, "There is no invoice" in none.err) == (1, True)


def test_what_no_database_compares(given: Given, tmp_path: Path) -> None:
    """A filter that is no text is refused in one line."""
    lists = ("cases list --number", "invoices list --source", "cases list --after")
    for done in run(given, tmp_path, *(f"{words} \udcff" for words in lists)):
        assert done.code == 1
        assert done.err == "amili-events: A filter consists of printable characters.\n"
