"""Files handed over by the real command through a whole house: all of it, once, whatever dies.

The long form, AMILI_E2E_LONG=1, hands 10,000 invoices over.
"""

from __future__ import annotations

import json
import threading
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from urllib.parse import urlsplit

import psutil
import pytest

from service.sandbox.harness import SandboxServer
from service.sandbox.server import bind, build
from service.store import submissions
from service.store.database import Database
from tests.e2e.conftest import RaiseHouse, on
from tests.e2e.house import CLIENT_ID, CLIENT_SECRET, SECRET, House, Part

ORGANIZATION = "org-of-the-files"
MOST_BYTES = 200_000_000
#: Batches that could not be read just now; it counts as no attempt.
FAILED_READS = (
    "SELECT count(*) FROM entities WHERE kind = 'batch' AND failures > 0 AND attempts = 0"
)
HEADER = (
    "uniqueSourceInvoiceId,invoiceNumber,type,originalInvoiceAmount,currency,invoiceDate,dueDate,"
    "debtor.type,debtor.name,debtor.customerNumber"
)


def write(path: Path, count: int, *, first: int = 0, number: str = "number") -> Path:
    """Write a CSV file of invoices, ten of each invented debtor."""
    with path.open("w", encoding="utf-8") as file:
        file.write(f"{HEADER}\n")
        for n in range(first, first + count):
            file.write(
                f"source-{n},{number}-{n},PAYMENT_REMINDER,{n % 900 + 100}.50,NOK,2026-01-01,"
                f"2026-01-15,PRIVATE,Kari Prøve,C{n // 10}\n"
            )
    return path


def created(amili: SandboxServer) -> Counter[str]:
    """Count by the creditor's own ids the invoices of the calls that had an effect at Amili."""
    calls = amili.control.calls("CreateInvoices")
    taken = [call["body"]["invoices"] for call in calls if call["effect"] == "queued"]
    return Counter(each["uniqueSourceInvoiceId"] for items in taken for each in items)


def submit(house: House, path: Path, *words: str, kind: str = "invoices") -> Part:
    """Start the command."""
    return house.run("cli", "service.cli", kind, "submit", str(path), *words)


def ended(house: House, part: Part, seconds: float = 120) -> int:
    """Wait for the end of a command and return its exit code."""
    code = part.popen.wait(seconds)
    house.parts.remove(part)
    return code


def only(house: House) -> dict[str, Any]:
    """Return the one submission."""
    (row,) = house.get("/submissions")["data"]
    shown: dict[str, Any] = house.get(f"/submissions/{row['submissionId']}")
    return shown


class Memory:
    """Watches how much memory each process of a house ever held; a context manager."""

    def __init__(self, house: House) -> None:
        self._house = house
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        #: By what a process is: the most bytes that one of them held.
        self.peaks: Counter[str] = Counter()

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._end.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._end.wait(0.25):
            for part in list(self._house.parts):
                for process in self._house.tree(part):
                    self._note(part, process)

    def _note(self, part: Part, process: psutil.Process) -> None:
        try:
            words = process.cmdline()
            status = Path(f"/proc/{process.pid}/status").read_text()
        except (OSError, psutil.Error):
            return
        (peak,) = [line.split()[1] for line in status.splitlines() if "VmHWM" in line] or ["0"]
        name = f"{part.name} {words[-1]}" if "workers.child" in words else part.name
        self.peaks[name] = max(self.peaks[name], int(peak) * 1024)


def cut_in_half(house: House, path: Path) -> None:
    """Kill the command while it writes its rows: all of a sudden, with a part of them written."""
    part = submit(house, path)
    database = Database(house.database_url.replace("postgresql:", "postgresql+psycopg:"), pool=1)
    try:
        patience = time.monotonic() + 60
        while not (found := begun(database)):
            assert part.popen.poll() is None, house.logs()
            assert time.monotonic() < patience
        with database.begin() as tx:
            submissions.lock(tx, found)  # it can go no further
            house.kill(part)
    finally:
        database.close()


def begun(database: Database) -> str | None:
    """Name a submission of which some rows are written."""
    with database.read() as tx:
        rows = submissions.listed(tx, limit=1)
        return (
            rows[0].submission_id if rows and submissions.sizes(tx, rows[0].submission_id) else None
        )


def hand_over_while_all_die(house: House, amili: SandboxServer, path: Path) -> None:
    """Let the command end well, though a worker and a job die, and answers and webhooks are lost.

    Whatever is sent and not yet answered when its sender dies has arrived: two calls at once,
    both held back.
    """
    control = amili.control
    control.add_fault("CreateInvoices", delay_seconds=8.0, times=2)
    cli = submit(house, path)
    worker = house.start_worker()
    house.until(lambda: len(control.calls("CreateInvoices")) == 2)
    house.kill(worker)
    control.add_fault("CreateInvoices", delay_seconds=8.0, times=2)
    worker = house.start_worker()
    house.until(lambda: len(control.calls("CreateInvoices")) == 4)
    house.until(lambda: house.horse(worker, "actions")).kill()
    control.clear_faults()
    control.add_fault("CreateInvoices", cut=True, after_effect=True, rate=0.3, times=3)
    control.set_behaviour(webhooks_on=True, webhook_loss_rate=0.3)
    assert ended(house, cli, 600) == 0, house.logs()


@on("postgresql")
@pytest.mark.timeout(900)
def test_every_invoice_once_whoever_dies(
    database_url: str,
    amili: SandboxServer,
    raise_house: RaiseHouse,
    tmp_path: Path,
    is_long: bool,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """The command, a worker, a job killed, answers and webhooks lost: each invoice once."""
    count, together = (10_000, 500) if is_long else (600, 50)
    house = raise_house(
        database_url, amili, organization_ids=ORGANIZATION, submit_chunk_items=str(together)
    )
    control = amili.control
    control.set_webhook(url=f"http://127.0.0.1:{house.port}/webhooks/amili")
    control.set_behaviour(webhooks_on=False)
    house.start(worker=False)
    path = write(tmp_path / "invoices.csv", count)

    with Memory(house) as memory:
        cut_in_half(house, path)
        half = only(house)
        assert half["state"] == "staging"
        assert half["items"]["open"] > 0
        assert half["chunks"] == []
        assert control.calls("CreateInvoices") == []

        began = time.monotonic()
        hand_over_while_all_die(house, amili, path)
        seconds = time.monotonic() - began
        house.until(lambda: house.rows("SELECT count(*) FROM invoices") == [(count,)], seconds=300)
        read_back = time.monotonic() - began

    assert created(amili) == {f"source-{n}": 1 for n in range(count)}
    shown = only(house)
    assert (shown["submissionId"], shown["state"]) == (half["submissionId"], "succeeded")
    assert shown["items"]["succeeded"] == count
    assert {each["state"] for each in shown["chunks"]} == {"confirmed"}
    assert house.events("dead") == []
    told = house.rows("SELECT count(*) FROM submission_items WHERE body IS NOT NULL")
    assert told == [(0,)]  # what is about people is gone
    sums = house.rows("SELECT count(*) FROM invoices WHERE invoice_number LIKE 'number-%'")
    assert sums == [(count,)]
    assert memory.peaks["cli"] > 0
    assert {name: peak for name, peak in memory.peaks.items() if peak > MOST_BYTES} == {}
    with capsys.disabled():
        calls = Counter(call["operation"] for call in control.calls())
        peaks = {name: f"{peak / 1e6:.0f} MB" for name, peak in sorted(memory.peaks.items())}
        figures = (f"{count} invoices in {seconds:.1f} s, read back in {read_back:.1f} s", calls)
        print("", *figures, peaks, sep="\n")  # noqa: T201


class ReturningAmili(SandboxServer):
    """An Amili that can go away and come back with all it knows."""

    def go(self) -> None:
        """Stop to listen."""
        self.__exit__(None, None, None)

    def come_back(self) -> None:
        """Listen again where it was."""
        self._server = build(self.world)
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._listener = bind("127.0.0.1", urlsplit(self.url).port or 0)
        self._thread.start()
        while not self._server.started:
            assert self._thread.is_alive()
            time.sleep(0.01)


@pytest.fixture
def returning() -> Iterator[ReturningAmili]:
    """Play an Amili that can go away."""
    with ReturningAmili(
        client_id=CLIENT_ID, client_secret=CLIENT_SECRET, webhook_secret=SECRET
    ) as server:
        yield server


@on("sqlite")
def test_amili_away_for_a_while(
    database_url: str, returning: ReturningAmili, raise_house: RaiseHouse, tmp_path: Path
) -> None:
    """What is to be sent and what is to be followed waits without a count, and ends after all."""
    house = raise_house(
        database_url,
        returning,
        organization_ids=ORGANIZATION,
        submit_chunk_items="20",
        max_attempts="2",
    )
    returning.control.set_behaviour(batch_delay_seconds=4.0, webhooks_on=False)
    house.start()
    first = submit(house, write(tmp_path / "a.csv", 60), "--no-wait")
    assert ended(house, first) == 0, house.logs()
    house.until(lambda: only(house)["state"] == "tracking")
    returning.go()
    second = submit(house, write(tmp_path / "b.csv", 60, first=60))
    house.until(lambda: len(house.get("/submissions")["data"]) == 2)
    names = [row["submissionId"] for row in house.get("/submissions")["data"]]

    def all_wait() -> bool:
        chunks = house.get(f"/submissions/{names[0]}")["chunks"]
        told = {(each["state"], each["attempts"], each["error"] is None) for each in chunks}
        return told == {("planned", 0, False)}

    house.until(all_wait)  # each was tried, and counts no attempt
    # The batches of the first are due meanwhile, and cannot be read.
    house.until(lambda: house.rows(FAILED_READS) != [(0,)])
    assert house.get(f"/submissions/{names[0]}")["state"] == "sending"
    assert second.popen.poll() is None
    returning.come_back()
    assert ended(house, second) == 0, house.logs()
    house.until(lambda: {s["state"] for s in house.get("/submissions")["data"]} == {"succeeded"})
    house.until(lambda: house.rows("SELECT count(*) FROM invoices") == [(120,)])
    assert created(returning) == {f"source-{n}": 1 for n in range(120)}
    assert house.events("dead") == []


@on("postgresql")
def test_what_amili_does_not_take(
    database_url: str, amili: SandboxServer, raise_house: RaiseHouse, tmp_path: Path
) -> None:
    """PARTIAL and a chunk refused as a whole: told by item on the command, in the API, counted."""
    house = raise_house(
        database_url,
        amili,
        organization_ids=ORGANIZATION,
        submit_chunk_items="10",
        checks="amount=off",
    )
    amili.control.set_webhook(url=f"http://127.0.0.1:{house.port}/webhooks/amili")
    house.start()
    assert ended(house, submit(house, write(tmp_path / "a.csv", 20))) == 0, house.logs()
    # Three of these have numbers that Amili knows.
    again = write(tmp_path / "b.csv", 20, first=100)
    text = again.read_text().replace("number-104,", "number-4,").replace("number-115,", "number-5,")
    again.write_text(text.replace("number-116,", "number-6,"))
    assert ended(house, submit(house, again)) == 1
    [partial] = [row for row in house.get("/submissions")["data"] if row["state"] == "partial"]
    shown = house.get(f"/submissions/{partial['submissionId']}")
    assert [chunk["batchStatus"] for chunk in shown["chunks"]] == ["PARTIAL", "PARTIAL"]
    failed = {each["uniqueSourceInvoiceId"]: each for each in shown["failed"]}
    assert sorted(failed) == ["source-104", "source-115", "source-116"]
    assert failed["source-104"]["line"] == 6
    assert failed["source-104"]["errors"][0]["code"] == "DUPLICATE"
    assert "line 6: source-104: failed (DUPLICATE invoiceNumber " in house.logs(100_000)
    told = {"kind": "createInvoices"}
    house.until(lambda: house.metric("amili_submission_items_total", outcome="failed", **told) == 3)
    taken = house.metric("amili_submission_items_total", outcome="succeeded", **told)
    assert taken == 20 + 17

    # A payment of nothing, which Amili refuses with all that stands beside it.
    amili.control.set_behaviour(refuses_invalid_submissions=True)
    names = [row[0] for row in house.rows("SELECT invoice_id FROM invoices ORDER BY 1 LIMIT 12")]
    amounts = ["0.10"] * 11 + ["0.00"]
    body = ",".join(
        f'{{"invoiceId":"{name}","type":"DIRECT_PAYMENT","amount":{amount},"currency":"NOK"}}'
        for name, amount in zip(names, amounts, strict=True)
    )
    (tmp_path / "p.json").write_text(f'{{"payments":[{body}]}}')
    assert ended(house, submit(house, tmp_path / "p.json", kind="payments")) == 1
    [paid] = house.get("/submissions?kind=payments")["data"]
    assert (paid["state"], paid["items"]["refused"], paid["items"]["succeeded"]) == (
        "partial",
        6,
        6,
    )
    [refusal] = [
        chunk
        for chunk in house.get(f"/submissions/{paid['submissionId']}")["chunks"]
        if chunk["state"] == "refused"
    ]
    assert "HTTP 422" in refusal["error"]
    assert "HTTP 422" in house.logs(100_000)
    told = {"kind": "createPayments", "outcome": "refused"}
    assert house.metric("amili_submission_items_total", **told) == 6


@on("sqlite")
def test_payments_and_credit_notes(
    database_url: str, amili: SandboxServer, raise_house: RaiseHouse, tmp_path: Path
) -> None:
    """Reported by file and by API, each is at Amili once, and the invoices show it here."""
    house = raise_house(database_url, amili, organization_ids=ORGANIZATION, submit_chunk_items="10")
    amili.control.set_webhook(url=f"http://127.0.0.1:{house.port}/webhooks/amili")
    house.start()
    assert ended(house, submit(house, write(tmp_path / "a.csv", 12))) == 0, house.logs()
    house.until(lambda: house.rows("SELECT count(*) FROM invoices") == [(12,)])
    names = [row[0] for row in house.rows("SELECT invoice_id FROM invoices ORDER BY 1")]
    rows = "".join(f"{name},DIRECT_PAYMENT,10.25,NOK\n" for name in names)
    (tmp_path / "p.csv").write_text(f"invoiceId,type,amount,currency\n{rows}")
    assert ended(house, submit(house, tmp_path / "p.csv", kind="payments")) == 0, house.logs()
    notes = [
        {"invoiceId": name, "amount": 5, "currency": "NOK", "date": "2026-02-01"} for name in names
    ]
    for _ in range(2):
        answer = house.ask("POST", "/api/v1/corrections", {"corrections": notes})
        assert answer.status == 202
    where = f"/submissions/{answer.body['submissionId']}"
    house.until(lambda: house.get(where)["state"] == "succeeded")
    assert len(amili.control.calls("CreatePayments")) == 2
    assert len(amili.control.calls("CreateCorrections")) == 2
    asked = "SELECT count(*) FROM invoices WHERE paid_amount = '{}' AND credited_amount = '{}'"
    house.until(lambda: house.rows(asked.format("10.25", "5.00")) == [(12,)])
    house.until_no_action_is_open()
    assert house.events("dead") == []
    held = json.dumps(house.get("/holds?all=1"))
    assert "payment_reported" in held
