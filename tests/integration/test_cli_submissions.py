"""Handing over from the command line: good files, bad files, and what became of them."""

from __future__ import annotations

import codecs
import csv
import hashlib
import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from service.desk.handing_over import Handover, NewSubmission, stage
from service.domain.actions import ActionState
from service.domain.submissions import SubmissionKind
from service.queue import Bells
from service.redis import connect
from service.sandbox.behaviour import Behaviour
from service.sandbox.harness import SandboxServer
from service.settings import Settings
from service.store import ledger, submissions
from service.store.database import Database, Tx
from service.store.handed import submission_chunks, submission_items
from service.store.handed import submissions as table
from service.store.schema import actions
from service.submitting.giving import read_body
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

#: Every command is a process of its own, and each takes seconds on a busy machine.
pytestmark = pytest.mark.timeout(300)

TABLES = (table, submission_chunks, submission_items, actions)
ORGANIZATION = "org-1"
HEADER = (
    *("uniqueSourceInvoiceId", "invoiceNumber", "type", "originalInvoiceAmount", "currency"),
    *("invoiceDate", "dueDate", "debtor.type", "debtor.name", "debtor.customerNumber"),
)
#: FILE, where in it, and what is wrong: one line for each problem.
PROBLEM = re.compile(
    r"(?P<file>\S+): (warning: )?(line (?P<line>\d+)(, column (?P<column>\d+))?"
    r"(, (?P<field>[\w.…]+))?: )?(?P<message>.+)"
)


def row(number: int, **cells: str) -> list[str]:
    """Make a row of an invented debtor."""
    made = [f"source-{number}", f"number-{number}", "PAYMENT_REMINDER", "4500.00", "NOK"]
    made += ["2026-01-01", "2026-01-15", "PRIVATE", "Kari Prøve", f"C{number}"]
    return [cells.get(name, cell) for name, cell in zip(HEADER, made, strict=True)]


def written(rows: Sequence[Sequence[str]], delimiter: str = ",", end: str = "\n") -> str:
    """Write rows below the header; no cell needs quotation marks."""
    return "".join(f"{delimiter.join(cells)}{end}" for cells in [HEADER, *rows])


@dataclass
class Shop:
    """An operator's terminal: settings of a store and of an Amili, and a folder for files."""

    settings: Settings
    amili: SandboxServer
    folder: Path
    chunk_items: int = 3

    @property
    def given(self) -> dict[str, object]:
        """Name the settings as variables."""
        return {
            "AMILI_REDIS_URL": self.settings.redis_url,
            "AMILI_DATABASE_URL": self.settings.database_url,
            "AMILI_DATA_DIR": self.settings.data_dir,
            "AMILI_ORGANIZATION_IDS": ORGANIZATION,
            "AMILI_API_BASE_URL": self.amili.base_url,
            "AMILI_TOKEN_URL": self.amili.token_url,
            "AMILI_CLIENT_ID": "c",
            "AMILI_CLIENT_SECRET": "s",
            "AMILI_SUBMIT_CHUNK_ITEMS": self.chunk_items,
        }

    def file(self, name: str, content: str | bytes) -> Path:
        """Write a file."""
        path = self.folder / name
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return path

    def invoices(self, name: str, *numbers: int) -> Path:
        """Write a CSV file of these invoices."""
        return self.file(name, written([row(n) for n in numbers]))

    def run(self, *words: object) -> subprocess.CompletedProcess[str]:
        """Run one command."""
        return command(*map(str, words), **self.given)

    def many(self, *asked: str) -> list[subprocess.CompletedProcess[str]]:
        """Run several commands one after the other."""
        return commands(self.folder, [(words.split(), self.given) for words in asked])

    def begun(self, *words: object) -> subprocess.Popen[str]:
        """Start a command and leave it running."""
        return subprocess.Popen(
            [sys.executable, "-m", "service.cli", *map(str, words)],
            cwd=CHECKOUT,
            env=environment(**self.given),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def kept(self) -> tuple[int, ...]:
        """Count the rows of every table that a submission stands in."""
        with opened_database(self.settings) as database, database.read() as tx:
            return tuple(len(tx.execute(each.select()).all()) for each in TABLES)

    def created(self) -> list[str]:
        """List the creditor's own ids of the invoices that reached Amili."""
        calls = self.amili.control.calls("CreateInvoices")
        return [
            each["uniqueSourceInvoiceId"] for call in calls for each in call["body"]["invoices"]
        ]


@pytest.fixture
def shop(redis_url: str, sqlite_url: str, tmp_path: Path) -> Iterator[Shop]:
    """Open a terminal beside an empty store and an empty Amili."""
    migrated(sqlite_url, tmp_path)
    behaviour = Behaviour(batch_delay_seconds=0)
    with SandboxServer(client_id="c", client_secret="s", behaviour=behaviour) as amili:
        yield Shop(settings_for(redis_url, sqlite_url, tmp_path), amili, tmp_path)


@pytest.fixture
def worker(shop: Shop) -> Iterator[None]:
    """Let a worker run beside the terminal."""
    with running_worker(shop):
        yield


class running_worker:  # noqa: N801 - reads as what it does
    """A worker with its processes; a context manager."""

    def __init__(self, shop: Shop) -> None:
        self._shop = shop

    def __enter__(self) -> None:
        with open(self._shop.folder / "worker.log", "ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "workers"],
                cwd=CHECKOUT,
                env=environment(**self._shop.given),
                stdout=log,
                stderr=log,
            )

    def __exit__(self, *_: object) -> None:
        self._process.terminate()
        self._process.wait(60)


def refused(done: subprocess.CompletedProcess[str], path: Path) -> list[Mapping[str, str | None]]:
    """See a file refused with exit code 1 and each problem on a line; return the problems."""
    assert (done.returncode, done.stdout) == (1, ""), done.stderr
    assert "Traceback" not in done.stderr
    *problems, last = done.stderr.splitlines()
    assert re.fullmatch(rf"amili-events: \d+ errors? in {path}: nothing was sent\.", last), last
    told = [PROBLEM.fullmatch(line) for line in problems]
    assert all(told), done.stderr
    assert {each["file"] for each in told if each} == {str(path)}
    return [each.groupdict() for each in told if each]


EMPTY_LINE = written([row(1), row(2)]).replace("\nsource-2", "\n\nsource-2")
#: name → (file name, content, line, column, field, words of the message)
BAD: dict[str, tuple[str, bytes, tuple[str | None, str | None, str | None], str]] = {
    "wrong encoding": (
        "a.csv",
        written([row(1)]).encode("windows-1252"),
        ("2", "85", None),
        "--encoding windows-1252",
    ),
    "byte order mark": (
        "a.csv",
        codecs.BOM_UTF8 + written([row(1)]).encode(),
        ("1", "1", None),
        "--encoding utf-8-sig",
    ),
    "utf-16": ("a.csv", written([row(1)]).encode("utf-16"), ("1", "1", None), "utf-16"),
    "semicolons": (
        "a.csv",
        written([row(1)], ";").encode(),
        ("1", "1", None),
        "--delimiter semicolon",
    ),
    "decimal comma": (
        "a.csv",
        written([row(1, originalInvoiceAmount='"4500,00"')]).encode(),
        ("2", "4", "originalInvoiceAmount"),
        "--decimal-comma",
    ),
    "empty line": ("a.csv", EMPTY_LINE.encode(), ("3", None, None), "--skip-empty-lines"),
    "duplicate id": (
        "a.csv",
        written([row(1), row(2), row(1)]).encode(),
        ("4", "1", "uniqueSourceInvoiceId"),
        "'source-1' is in line 2 already",
    ),
    "one long line": ("a.csv", b"x" * 40_000_000, ("1", "1", None), "longer than"),
    "one long line after a good one": (
        "a.csv",
        written([row(1)]).encode() + b"y" * 40_000_000,
        ("3", "1", None),
        "longer than",
    ),
    "an open quotation mark": (
        "a.csv",
        written([row(1, invoiceNumber='"12'), row(2)]).encode(),
        ("2", None, None),
        "quotation mark",
    ),
    "too few cells": (
        "a.csv",
        written([row(1)]).encode() + b"a,b\n",
        ("3", None, None),
        "fewer than the 10 columns",
    ),
    "no header": (
        "a.csv",
        (",".join(row(1)) + "\n").encode(),
        ("1", "1", None),
        "add a header",
    ),
    "a misspelt column": (
        "a.csv",
        written([row(1)]).replace("debtor.name", "debtor.nmae").encode(),
        ("1", "9", None),
        "is 'debtor.name' meant?",
    ),
    "empty file": ("a.csv", b"", (None, None, None), "no invoices"),
    "only a header": ("a.csv", written([]).encode(), (None, None, None), "no invoices"),
    "an unknown ending": ("a.txt", b"x", (None, None, None), "--format"),
    "broken JSON": ("a.json", b'{"invoices": [\n {"type": }]}', ("2", "11", None), "no JSON"),
    "NDJSON as JSON": ("a.json", b'{"type": "x"}\n{"type": "y"}\n', ("1", "2", None), "ndjson"),
    "a broken line": ("a.ndjson", b'{"type" 1}\n', ("1", "9", None), "no JSON"),
    "a NUL": ("a.ndjson", b'{"type": "\0"}\n', ("1", "11", None), "NUL"),
    "half a letter": (
        "a.json",
        b'[{"description": "\xc3"}]',
        ("1", "19", None),
        "--encoding windows-1252",
    ),
}


class TestBadFiles:
    def test_each_sort(self, shop: Shop) -> None:
        """Each sort of bad file is told by line, column and member; nothing is kept or sent."""
        folders = {}
        for n, (name, (file_name, content, _, _)) in enumerate(BAD.items()):
            (shop.folder / f"bad-{n}").mkdir()
            folders[name] = shop.file(f"bad-{n}/{file_name}", content)
        done = shop.many(*(f"invoices submit {path}" for path in folders.values()))
        for each, (name, path) in zip(done, folders.items(), strict=True):
            _, _, (line, column, field), words = BAD[name]
            first = refused(each, path)[0]
            assert (first["line"], first["column"], first["field"]) == (line, column, field), name
            assert words in (first["message"] or ""), (name, first)
        assert shop.kept() == (0, 0, 0, 0)
        assert shop.amili.control.calls() == []

    def test_what_is_no_file(self, shop: Shop) -> None:
        """A file that is missing, a directory and a pipe are told, and nobody waits for them."""
        os.mkfifo(shop.folder / "pipe.csv")
        (shop.folder / "folder.csv").mkdir()
        names = {"none.csv": "cannot be read", "folder.csv": "directory", "pipe.csv": "no plain"}
        paths = {shop.folder / name: words for name, words in names.items()}
        done = shop.many(*(f"invoices submit {path}" for path in paths))
        for each, (path, words) in zip(done, paths.items(), strict=True):
            (told,) = refused(each, path)
            assert words in (told["message"] or "")
        assert shop.kept() == (0, 0, 0, 0)

    def test_every_problem_at_once(self, shop: Shop) -> None:
        """All that is wrong with a file is told in one run, and no value about a person."""
        rows = [
            row(1, originalInvoiceAmount="0"),
            row(2, currency="KRONER", dueDate="15.01.2026"),
            row(3, **{"debtor.name": ""}),
        ]
        path = shop.file("a.csv", written(rows))
        done = shop.run("invoices", "submit", path)
        told = refused(done, path)
        assert "Kari" not in done.stderr
        assert [(each["line"], each["column"], each["field"]) for each in told] == [
            ("2", "4", "originalInvoiceAmount"),
            ("3", "5", "currency"),
            ("3", "7", "dueDate"),
            ("4", None, "debtors.0"),
        ]

    def test_of_thousands_the_first_hundred(self, shop: Shop) -> None:
        """Of very many problems the first are told, and how many more there are."""
        path = shop.file("a.csv", written([row(n, currency="kr") for n in range(1500)]))
        done = shop.run("invoices", "submit", path)
        lines = done.stderr.splitlines()
        assert len(lines) == 102
        assert lines[-2] == f"{path}: … and 1400 more"
        assert "1500 errors" in lines[-1]

    def test_bad_options(self, shop: Shop) -> None:
        """An option or an id that makes no sense is told in a line or two, without a traceback."""
        path = shop.invoices("a.csv", 1)
        asked = [
            f"invoices submit {path} --no-wait --delimiter x",
            f"invoices submit {path} --no-wait --encoding klingon",
            f"invoices submit {path} --no-wait --map nonsense",
            f"invoices submit {path} --no-wait --map a=type",
            f"invoices submit {path} --no-wait --format xml",
            f"invoices submit {path} --no-wait --organization org-2",
            f"invoices submit {path} --no-wait --key {'x' * 400}",
            f"invoices submit {path} --no-wait --key a\udcff",
            f"invoices submit {path}\udcff.csv",
            "batches show nonsense",
            "batches show \udcff",
            f"batches retry-failed nonsense {shop.folder}/new.csv",
            f"batches retry-failed nonsense {shop.folder}/new.xml",
            f"batches retry-failed nonsense {path}",
            "batches resend nonsense",
            "batches discard nonsense",
            "batches list --kind letters",
        ]
        for words, done in zip(asked, shop.many(*asked), strict=True):
            assert done.returncode in (1, 2), (words, done.stdout, done.stderr)
            assert "Traceback" not in done.stderr, (words, done.stderr)
            assert done.stderr
        assert shop.kept() == (0, 0, 0, 0)

    def test_handed_over_before(self, shop: Shop) -> None:
        """A file with an invoice of another submission is refused by its line, as a whole."""
        first = shop.invoices("a.csv", 1, 2)
        assert shop.run("invoices", "submit", first, "--no-wait").returncode == 0
        before = shop.kept()
        done = shop.run("invoices", "submit", shop.invoices("b.csv", 7, 8, 2), "--no-wait")
        assert done.returncode == 1
        assert "Traceback" not in done.stderr
        assert "line 4: uniqueSourceInvoiceId source-2 is in submission" in done.stderr
        assert shop.kept() == before


class TestReading:
    def test_dry_run(self, shop: Shop) -> None:
        """A dry run says what the file holds, needs no database, and keeps and sends nothing."""
        path = shop.file("a.csv", written([row(1), row(2, currency="EUR")]))
        given = shop.given | {"AMILI_DATABASE_URL": "postgresql://u:p@127.0.0.1:1/d"}
        done = command("invoices", "submit", str(path), "--dry-run", **given)
        assert done.returncode == 0, done.stderr
        assert done.stdout == (
            "2 invoices, 4500.00 EUR, 4500.00 NOK. Nothing was sent (--dry-run).\n"
        )
        assert shop.kept() == (0, 0, 0, 0)
        assert shop.amili.control.calls() == []

    def test_excel_and_other_headers(self, shop: Shop) -> None:
        """A Norwegian Excel's file with headers of its own is read with `--excel` and `--map`."""
        rows = [row(n, originalInvoiceAmount="4500,50") for n in (1, 2)]
        text = written(rows, ";", "\r\n").replace("invoiceNumber", "Fakturanr")
        text = text.replace("debtor.name", "Kundens navn") + ";;;;;;;;;\r\n"
        path = shop.file("a.csv", codecs.BOM_UTF8 + text.encode())
        maps = ["--map", "Fakturanr=invoiceNumber", "--map", "Kundens navn=debtor.name"]
        done = shop.run("invoices", "submit", path, "--excel", *maps, "--no-wait")
        assert done.returncode == 0, done.stderr
        assert done.stdout.startswith("2 invoices, 9001.00 NOK. Submission ")
        with opened_database(shop.settings) as database, database.read() as tx:
            (made,) = submissions.listed(tx)
            texts = submissions.bodies(tx, made.submission_id, 0)
        assert all('"originalInvoiceAmount":4500.50' in text for text in texts)
        sent = json.loads(texts[1])
        assert (sent["invoiceNumber"], sent["debtors"][0]["name"]) == ("number-2", "Kari Prøve")

    def test_excel_of_other_habits(self, shop: Shop) -> None:
        """Beside `--excel` other options win; without them windows-1252 is found out."""
        cells = row(1, originalInvoiceAmount="4 500,5", invoiceDate="01.01.2026")
        lines = shop.file("map.txt", "Beløp=originalInvoiceAmount\n")
        for delimiter, more in ((";", ""), ("\t", " --delimiter tab --encoding windows-1252")):
            text = written([cells], delimiter).replace("originalInvoiceAmount", "Beløp")
            path = shop.file("a.csv", text.encode("windows-1252"))
            asked = f"invoices submit {path} --excel --map @{lines} --dry-run{more}"
            done = shop.run(*asked.split())
            assert done.stdout.startswith("1 invoice, 4500.50 NOK. "), done.stderr

    @pytest.mark.parametrize("kind", list(SubmissionKind))
    def test_columns_are_what_a_file_may_have(self, shop: Shop, kind: str) -> None:
        """Every column that is listed is taken in a header; those required are marked."""
        done = shop.run(kind, "columns", "--json")
        listed = json.loads(done.stdout)
        assert {"column", "type", "required", "meaning"} == set(listed[0])
        assert any(each["required"] for each in listed)
        header = ",".join(each["column"] for each in listed)
        path = shop.file("a.csv", f"{header}\n")
        (told,) = refused(shop.run(kind, "submit", path), path)
        assert told["message"] == f"There are no {kind} in it."
        assert all(each["column"] in shop.run(kind, "columns").stdout for each in listed[:3])


class TestFollowing:
    def test_to_its_end(self, shop: Shop, worker: None) -> None:
        """All taken is exit code 0; the same file again is the same submission, not sent again."""
        path = shop.invoices("a.csv", *range(7))
        done = shop.run("invoices", "submit", path)
        assert done.returncode == 0, done.stderr
        first, last = done.stdout.splitlines()
        name = first.rpartition(" ")[2].rstrip(".")
        assert first == f"7 invoices, 31500.00 NOK. Submission {name}."
        assert last == f"{name} succeeded: 7 succeeded of 7"
        again, listed, shown, waited, batch, nothing = shop.many(
            f"invoices submit {path}",
            "batches list --json",
            f"batches show {name} --json",
            f"batches show {name} --wait",
            f"batches show {shop.amili.control.calls('CreateInvoices')[0]['target']}",
            f"batches retry-failed {name} {shop.folder}/new.csv",
        )
        assert (again.returncode, again.stdout) == (0, done.stdout)
        assert sorted(shop.created()) == [f"source-{n}" for n in range(7)]
        (only,) = json.loads(listed.stdout)["data"]
        assert (only["submissionId"], only["items"]["succeeded"]) == (name, 7)
        chunks = json.loads(shown.stdout)["chunks"]
        assert [each["batchStatus"] for each in chunks] == ["SUCCESS"] * 3
        assert (waited.returncode, waited.stdout) == (0, f"{last}\n")
        # The id of a batch at Amili names the submission too.
        assert (batch.returncode, batch.stdout) == (0, f"{last}\n")
        assert nothing.stdout == "There is nothing to correct.\n"
        assert not (shop.folder / "new.csv").exists()

    def test_payments_and_corrections(self, shop: Shop, worker: None) -> None:
        """Payments from NDJSON and credit notes from CSV reach Amili with their exact amounts."""
        case = shop.amili.control.create_case(
            organizationId=ORGANIZATION, invoices=[{"amount": "100.00"}]
        )
        invoice_id = case["invoices"][0]["invoiceId"]
        paid = {"invoiceId": invoice_id, "type": "DIRECT_PAYMENT", "currency": "NOK"}
        lines = json.dumps(paid)[:-1] + ', "amount": 10.50}\n'
        table = f"invoiceId,amount,currency,date\n{invoice_id},0.25,NOK,2026-02-01\n"
        done = shop.many(
            f"payments submit {shop.file('a.ndjson', lines * 2)}",
            f"corrections submit {shop.file('b.csv', table)}",
        )
        assert [each.returncode for each in done] == [0, 0], done
        # Two payments that are alike may be meant so: a warning, and both are sent.
        assert re.search(r"a\.ndjson: warning: line 2.*line 1 already", done[0].stderr)
        truth = shop.amili.control.get_case(case["caseId"])["case"]["invoices"][0]
        assert (str(truth["paidAmount"]), str(truth["creditedAmount"])) == ("21.00", "0.25")

    @pytest.mark.parametrize("ending", ["csv", "ndjson", "json"])
    def test_what_failed_is_corrected_and_sent_again(
        self, shop: Shop, worker: None, ending: str
    ) -> None:
        """`retry-failed` writes what was not taken, in every form, so that it is taken anew."""
        shop.amili.control.set_behaviour(item_failure_rate=1.0)
        done = shop.run("invoices", "submit", shop.invoices("first.csv", *range(4)))
        assert done.returncode == 1
        name = done.stdout.splitlines()[0].rpartition(" ")[2].rstrip(".")
        assert f"{name} failed: 4 failed of 4" in done.stdout
        told = "  line 2: source-0: failed (REFUSED refused by chance)"
        assert told in done.stdout.splitlines()
        path = shop.folder / f"again.{ending}"
        retry = f"batches retry-failed {name} {path}"
        wrote, twice, forced = shop.many(retry, retry, f"{retry} --force")
        assert (wrote.returncode, forced.returncode) == (0, 0), wrote.stderr
        assert wrote.stdout.startswith(f"4 invoices written to {path}.")
        assert twice.returncode == 1
        assert "--force" in twice.stderr
        assert path.stat().st_mode & 0o077 == 0
        assert path.read_text().count("REFUSED refused by chance") == 4
        if ending == "csv":
            (_, *rows) = csv.reader(path.read_text().splitlines())
            assert [each[:4] for each in rows] == [row(n)[:4] for n in range(4)]
        shop.amili.control.set_behaviour(item_failure_rate=0.0)
        again = shop.run("invoices", "submit", path)
        assert again.returncode == 0, again.stdout + again.stderr
        assert "4 succeeded of 4" in again.stdout

    def test_partial(self, shop: Shop, worker: None) -> None:
        """Of a file that is taken in part, exactly the rest is told with reasons and written."""
        rows = [row(1), row(2, invoiceNumber="number-1"), row(3)]
        done = shop.run("invoices", "submit", shop.file("a.csv", written(rows)))
        assert done.returncode == 1
        assert "partial: 2 succeeded, 1 failed of 3" in done.stdout
        assert "line 3: source-2: failed (DUPLICATE invoiceNumber " in done.stdout
        name = done.stdout.splitlines()[0].rpartition(" ")[2].rstrip(".")
        path = shop.folder / "again.csv"
        assert shop.run("batches", "retry-failed", name, path).returncode == 0
        path.write_text(path.read_text().replace("number-1,", "number-2,"))
        again = shop.run("invoices", "submit", path)
        assert (again.returncode, "1 succeeded of 1" in again.stdout) == (0, True)
        assert sorted(shop.created()) == ["source-1", "source-2", "source-2", "source-3"]

    def test_nobody_works(self, shop: Shop) -> None:
        """Without a worker it says so; Ctrl-C ends only the following, and a worker goes on."""
        begun = shop.begun("invoices", "submit", shop.invoices("a.csv", 1, 2))
        assert begun.stdout is not None
        assert begun.stderr is not None
        name = begun.stdout.readline().rpartition(" ")[2].strip().rstrip(".")
        assert "does a worker run (amili-events worker)" in begun.stderr.readline()
        begun.send_signal(signal.SIGINT)
        _, said = begun.communicate(timeout=60)
        assert begun.returncode == 130
        assert said == (
            f"It goes on without this command: amili-events batches show --wait {name}\n"
        )
        assert shop.kept() == (1, 1, 2, 1)
        assert shop.created() == []
        with running_worker(shop):
            waited = shop.run("batches", "show", "--wait", name)
        assert (waited.returncode, waited.stderr) == (0, "")
        assert waited.stdout == f"{name} succeeded: 2 succeeded of 2\n"

    def test_two_at_once(self, shop: Shop, worker: None) -> None:
        """Four processes that submit the same file at once make one submission, sent once."""
        path = shop.invoices("a.csv", *range(1100))
        wide = replace(shop, chunk_items=200)
        begun = [wide.begun("invoices", "submit", path, "--no-wait") for _ in range(4)]
        said = [each.communicate(timeout=100) for each in begun]
        assert [each.returncode for each in begun] == [0] * 4, said
        assert len({out for out, _ in said}) == 1
        name = said[0][0].rpartition(" ")[2].strip().rstrip(".")
        eventually(lambda: len(shop.created()) >= 1100, seconds=90)
        assert sorted(shop.created()) == sorted(f"source-{n}" for n in range(1100))
        assert shop.run("batches", "show", "--wait", name).returncode == 0
        assert len(shop.created()) == 1100
        assert len(shop.amili.control.calls("CreateInvoices")) == 6


class TestByHand:
    def test_discard(self, shop: Shop) -> None:
        """A half-written submission is forgotten; one that is on its way is not."""
        half = self.placed(shop, is_whole=False)
        shown, discarded, again = shop.many(
            f"batches show {half}", f"batches discard {half}", f"batches discard {half}"
        )
        assert " staging: " in shown.stdout
        assert f"forget it: amili-events batches discard {half}" in shown.stdout
        assert (discarded.returncode, discarded.stdout) == (0, "Forgotten.\n")
        assert again.returncode == 1
        assert shop.kept() == (0, 0, 0, 0)
        whole = self.placed(shop, is_whole=True)
        refused_ = shop.run("batches", "discard", whole)
        assert refused_.returncode == 1
        assert "on its way" in refused_.stderr
        assert shop.kept() == (1, 1, 2, 1)

    def test_resend(self, shop: Shop) -> None:
        """What nobody knows of is exit code 3 and says what to do; it is sent again once asked."""
        name = self.placed(shop, is_whole=True)

        def lose(tx: Tx) -> None:
            (chunk,) = submissions.chunks_of(tx, name)
            action = ledger.lock(tx, chunk.action_id)
            assert action is not None
            lost = replace(action, state=ActionState.UNCERTAIN, closed_at=tx.now, error="cut")
            ledger.save(tx, [lost])

        with opened_database(shop.settings) as database:
            database.run(lose)
        waited, sent, again = shop.many(
            f"batches show --wait {name}", f"batches resend {name}", f"batches resend {name}"
        )
        assert waited.returncode == 3
        assert "chunk 0: uncertain: cut" in waited.stdout
        assert f"amili-events batches resend {name}" in waited.stdout
        assert (sent.returncode, sent.stdout) == (0, "1 chunk will be sent again.\n")
        assert again.returncode == 1
        with running_worker(shop):
            assert shop.run("batches", "show", "--wait", name).returncode == 0
        assert shop.created() == ["source-1", "source-2"]

    def placed(self, shop: Shop, *, is_whole: bool) -> str:
        """Write a submission of two invoices, or the first row of it only."""
        items = [json.dumps(each).replace("4500", "4500.00") for each in map(record, (1, 2))]
        raw = f'{{"invoices": [{",".join(items)}]}}'.encode()
        read = list(read_body(raw, SubmissionKind.INVOICES))
        digest = hashlib.sha256(raw).digest()
        wish = NewSubmission(SubmissionKind.INVOICES, ORGANIZATION, "key", digest, len(read))
        client = connect(shop.settings.redis_url)
        try:
            with opened_database(shop.settings) as database:
                handover = Handover(database, Bells(client), chunk_items=3)
                if is_whole:
                    return handover.place(wish, read).submission_id
                return half_written(database, handover, wish, read)
        finally:
            client.close()


def half_written(
    database: Database, handover: Handover, wish: NewSubmission, items: Sequence[Any]
) -> str:
    """Write one row, as a process that died would leave it."""
    new = database.run(lambda tx: submissions.open_(tx, handover._new(wish, tx)))
    database.run(lambda tx: stage(tx, new, 0, items[:1]))
    return str(new.submission_id)


def record(number: int) -> dict[str, Any]:
    """Make an invoice of an invented debtor."""
    return {
        "type": "PAYMENT_REMINDER",
        "uniqueSourceInvoiceId": f"source-{number}",
        "invoiceNumber": f"number-{number}",
        "originalInvoiceAmount": 4500,
        "currency": "NOK",
        "invoiceDate": "2026-01-01",
        "dueDate": "2026-01-15",
        "debtors": [{"type": "PRIVATE", "name": "Kari Prøve", "customerNumber": f"C{number}"}],
    }
