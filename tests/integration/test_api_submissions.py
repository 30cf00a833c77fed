"""Handing over through the API: what is taken, what is refused and how, and what became of it."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from decimal import Decimal
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from structlog.testing import capture_logs

from service.desk.handing_over import Handover, NewSubmission, stage, take_back
from service.domain.actions import ActionState
from service.domain.submissions import ItemState, SubmissionKind
from service.queue import Bells
from service.redis import connect
from service.settings import Settings
from service.store import ledger, submissions
from service.store.database import Tx
from service.store.handed import submission_chunks, submission_items
from service.store.handed import submissions as table
from service.store.schema import actions
from service.submitting.examining import examine_body
from service.submitting.giving import read_body
from service.web.api.submissions import LARGEST_BODY
from tests.doors import TOKEN, DoorThread, Reply, migrated, opened_database, settings_for
from tests.servers import PostgresServer, fresh_database

TABLES = (table, submission_chunks, submission_items, actions)
ENDPOINTS = (
    *(("POST", f"/{kind}") for kind in SubmissionKind),
    ("GET", "/submissions"),
    ("GET", "/submissions/x"),
    ("DELETE", "/submissions/x"),
    ("POST", "/submissions/x/resend"),
)


@dataclass
class Desk:
    """A door of one organization, and its settings."""

    door: DoorThread
    settings: Settings

    def run(self, work: Any) -> Any:
        """Run a transaction in the store."""
        with opened_database(self.settings) as database:
            return database.run(work)

    def kept(self) -> tuple[int, ...]:
        """Count the rows of every table that a submission stands in."""
        with opened_database(self.settings) as database, database.read() as tx:
            return tuple(len(tx.execute(each.select()).all()) for each in TABLES)

    def texts(self, submission_id: str) -> list[str]:
        """Return what will be sent of the first chunk."""
        with opened_database(self.settings) as database, database.read() as tx:
            return submissions.bodies(tx, submission_id, 0)


@contextlib.contextmanager
def desk_of(redis_url: str, database_url: str, folder: Path, **more: Any) -> Iterator[Desk]:
    """Open a door that hands over in chunks of three."""
    migrated(database_url, folder)
    given_ = {"organization_ids": "org-1", "submit_chunk_items": 3} | more
    config = settings_for(redis_url, database_url, folder, **given_)
    with DoorThread(config) as door:
        yield Desk(door, config)


@pytest.fixture
def desk(redis_url: str, database_url: str, tmp_path: Path) -> Iterator[Desk]:
    """Open a door, on both databases."""
    with desk_of(redis_url, database_url, tmp_path) as opened:
        yield opened


@pytest.fixture
def lite(redis_url: str, sqlite_url: str, tmp_path: Path) -> Iterator[Desk]:
    """Open a door, on SQLite."""
    with desk_of(redis_url, sqlite_url, tmp_path) as opened:
        yield opened


# --- what is handed over ----------------------------------------------------------


def invoice(number: int, **members: Any) -> dict[str, Any]:
    """Make an invoice of an invented debtor; amounts are whole."""
    return {
        "type": "PAYMENT_REMINDER",
        "uniqueSourceInvoiceId": f"source-{number}",
        "invoiceNumber": f"number-{number}",
        "originalInvoiceAmount": 4500,
        "currency": "NOK",
        "invoiceDate": "2026-01-01",
        "dueDate": "2026-01-15",
        "debtors": [{"type": "PRIVATE", "name": "Kari Prøve", "customerNumber": f"C{number}"}],
        **members,
    }


def payment(number: int) -> dict[str, Any]:
    """Make a payment on an invoice that nobody here knows."""
    return {
        "invoiceId": f"invoice-{number}",
        "type": "DIRECT_PAYMENT",
        "amount": 10,
        "currency": "NOK",
    }


def correction(number: int) -> dict[str, Any]:
    """Make a credit note on an invoice that nobody here knows."""
    return {
        "invoiceId": f"invoice-{number}",
        "amount": 5,
        "currency": "NOK",
        "date": "2026-02-01",
        "description": "credit",
    }


MAKERS = {"invoices": invoice, "payments": payment, "corrections": correction}


def body(kind: str, items: Sequence[Any]) -> bytes:
    """Write a body; an amount of 4500 is written 4500.00."""
    return json.dumps({kind: items}, indent=1).replace(": 4500,", ": 4500.00,").encode()


def invoices(*numbers: int) -> bytes:
    """Write a body of these invoices."""
    return body("invoices", [invoice(n) for n in numbers])


def refuses(reply: Reply, status: int) -> bool:
    """It is a problem with this status."""
    assert reply.status == status, reply.body
    return reply.is_problem


class TestTaken:
    @pytest.mark.parametrize("kind", MAKERS)
    def test_of_each_kind(self, desk: Desk, kind: str) -> None:
        """A good body is 202 with the submission, which is found where Location says."""
        reply = desk.door.post(f"/{kind}", body(kind, [MAKERS[kind](n) for n in range(7)]))
        assert reply.status == 202, reply.body
        made = reply.json
        assert (made["kind"], made["organizationId"], made["state"]) == (kind, "org-1", "sending")
        assert made["items"]["all"] == made["items"]["open"] == 7
        assert [chunk["items"] for chunk in made["chunks"]] == [3, 2, 2]
        assert {chunk["state"] for chunk in made["chunks"]} == {"planned"}
        where = reply.headers["location"]
        assert where == f"/api/v1/submissions/{made['submissionId']}"
        shown = desk.door.get(where.removeprefix("/api/v1"))
        assert shown.json == {name: made[name] for name in made if name != "warnings"}

    def test_to_the_last_digit(self, desk: Desk) -> None:
        """What will be sent has every digit, letter and unknown member of what came."""
        raw = body("invoices", [invoice(1, description="Brød \N{SNOWMAN}", newMember=[1, None])])
        made = desk.door.post("/invoices", raw).json
        (text,) = desk.texts(made["submissionId"])
        assert '"originalInvoiceAmount":4500.00' in text
        sent = json.loads(text)
        assert (sent["description"], sent["newMember"]) == ("Brød \N{SNOWMAN}", [1, None])

    def test_same_key_same_body(self, desk: Desk) -> None:
        """The same key and body are one submission; another body under it is refused."""
        first = desk.door.post("/invoices", invoices(1, 2), key="key-1")
        again = desk.door.post("/invoices", invoices(1, 2), key="key-1")
        assert (first.status, again.status) == (202, 202)
        assert again.json == first.json
        before = desk.kept()
        reply = desk.door.post("/invoices", invoices(3), key="key-1")
        assert refuses(reply, 422)
        assert "Idempotency-Key" in reply.json["detail"]
        assert first.json["submissionId"] in reply.json["detail"]
        assert desk.kept() == before
        # Of another kind, the key is another.
        other = desk.door.post("/payments", body("payments", [payment(1)]), key="key-1")
        assert other.status == 202
        assert other.json["submissionId"] != first.json["submissionId"]

    def test_without_a_key_the_body_is_its_own(self, desk: Desk) -> None:
        """Sent twice without a key it is one submission; payments that are alike may be meant."""
        raw = body("payments", [payment(1)])
        first, again = desk.door.post("/payments", raw), desk.door.post("/payments", raw)
        assert (first.status, first.json) == (again.status, again.json)
        meant = desk.door.post("/payments", raw, key="a second one").json
        assert meant["submissionId"] != first.json["submissionId"]

    def test_many_at_once(self, desk: Desk) -> None:
        """Eight requests with one key at once make one submission, and all are told so."""
        raw = invoices(*range(40))
        with ThreadPoolExecutor(8) as pool:
            asked = [pool.submit(desk.door.post, "/invoices", raw, "key-1") for _ in range(8)]
            replies = [each.result() for each in asked]
        assert {reply.status for reply in replies} == {202}
        assert len({reply.json["submissionId"] for reply in replies}) == 1
        assert desk.kept() == (1, 14, 40, 14)

    def test_dry_run(self, desk: Desk) -> None:
        """A dry run tells count, totals and warnings, and keeps nothing."""
        raw = body("invoices", [invoice(1), invoice(2, currency="EUR", clamis=[])])
        reply = desk.door.post("/invoices?dryRun=true", raw)
        assert reply.status == 200
        told = reply.json
        assert (told["kind"], told["count"]) == ("invoices", 2)
        assert told["totals"] == {"EUR": "4500.00", "NOK": "4500.00"}
        assert [(each["position"], each["field"]) for each in told["warnings"]] == [(1, "clamis")]
        assert desk.kept() == (0, 0, 0, 0)

    def test_warnings_are_told(self, lite: Desk) -> None:
        """What is odd but may be meant is taken, and told with the answer."""
        claims = [{"type": "PRINCIPAL", "remainingAmount": 10}]
        reply = lite.door.post("/invoices", body("invoices", [invoice(1, claims=claims)]))
        assert reply.status == 202
        (warning,) = reply.json["warnings"]
        assert (warning["field"], warning["severity"]) == ("claims", "warning")

    def test_whose(self, redis_url: str, sqlite_url: str, tmp_path: Path) -> None:
        """Of several organizations one must be named, and it must be ours; of none, any."""
        ours = desk_of(redis_url, sqlite_url, tmp_path, organization_ids="org-1,org-2")
        with ours as opened:
            ask = opened.door.post
            assert refuses(ask("/invoices", invoices(1)), 400)
            assert refuses(ask("/invoices?organizationId=org-3", invoices(1)), 400)
            assert opened.kept() == (0, 0, 0, 0)
            made = ask("/invoices?organizationId=org-2", invoices(1)).json
            assert made["organizationId"] == "org-2"
        with desk_of(redis_url, sqlite_url, tmp_path, organization_ids="") as opened:
            assert refuses(opened.door.post("/invoices", invoices(1)), 400)
            for bad in ("", "x" * 201, "a\0b", "a\nb"):
                asked = urlencode({"organizationId": bad})
                assert refuses(opened.door.post(f"/invoices?{asked}", invoices(1)), 400)
            assert opened.door.post("/invoices?organizationId=any", invoices(1)).status == 202


class TestRefused:
    def test_everything_at_once(self, desk: Desk) -> None:
        """Each thing that is wrong is told by line, column, item and member, none by its value."""
        wrong = invoice(2, currency="KRONER", ocrReferenceNumber="12345", dueDate="2025-12-31")
        wrong["debtors"][0]["identificationNumber"] = "01019012345"
        raw = body("invoices", [invoice(1), wrong, invoice(1, invoiceNumber=7)])
        reply = desk.door.post("/invoices", raw)
        assert refuses(reply, 422)
        told = {(each["position"], each["field"]) for each in reply.json["errors"]}
        assert told == {
            (1, "currency"),
            (1, "ocrReferenceNumber"),
            (1, "dueDate"),
            (1, "debtors.0.identificationNumber"),
            (2, "invoiceNumber"),
            (2, "uniqueSourceInvoiceId"),
        }
        assert reply.json["count"] == 6
        lines = raw.decode().splitlines()
        for each in reply.json["errors"]:
            name = each["field"].rpartition(".")[2]
            line = lines[each["line"] - 1]
            assert name in line
            assert line[: each["column"] - 1].endswith(f'"{name}": ')
        for value in ("01019012345", "12345", "KRONER", "Kari"):
            assert value not in reply.body.decode()
        assert desk.kept() == (0, 0, 0, 0)

    def test_files(self, lite: Desk) -> None:
        """What is not called JSON is 415 with the way of files; JSON of any sort is taken."""
        path, named = "/api/v1/invoices?dryRun=1", {"Authorization": f"Bearer {TOKEN}"}
        for kind in ("text/csv", "multipart/form-data; boundary=x", "application/jsonx"):
            reply = lite.door.ask("POST", path, b"x", named | {"Content-Type": kind})
            assert refuses(reply, 415)
            assert "files go by `amili-events`" in reply.json["detail"]
        for kind in ("application/json; charset=utf-8", "Application/JSON", "application/x+json"):
            reply = lite.door.ask("POST", path, invoices(1), named | {"Content-Type": kind})
            assert reply.status == 200, reply.body

    def test_one_error(self, lite: Desk) -> None:
        """One error is counted as one, and no option of the command line is named."""
        reply = lite.door.post("/invoices", b"{}")
        assert refuses(reply, 422)
        assert reply.json["detail"] == "1 error: nothing was sent."
        assert "--" not in reply.body.decode()

    def test_handed_over_before(self, desk: Desk) -> None:
        """An invoice of another submission refuses the whole, by its line and that submission."""
        first = desk.door.post("/invoices", invoices(1, 2)).json
        before = desk.kept()
        raw = invoices(3, 2, 4)
        reply = desk.door.post("/invoices", raw)
        assert refuses(reply, 422)
        detail = reply.json["detail"]
        begins = raw.rindex(b"{", 0, raw.index(b"source-2"))
        line = 1 + raw[:begins].count(b"\n")
        assert f"source-2 is in submission {first['submissionId']}" in detail
        assert f"line {line}: " in detail
        assert desk.kept() == before
        assert desk.door.post("/invoices", invoices(3, 4)).status == 202

    def test_refused_many_times_at_once(self, desk: Desk) -> None:
        """Who is refused beside others with the same key is told so too, and nothing stays."""
        assert desk.door.post("/invoices", invoices(700)).status == 202
        before = desk.kept()
        raw = invoices(*range(1200))
        with ThreadPoolExecutor(6) as pool:
            asked = [pool.submit(desk.door.post, "/invoices", raw, "key-1") for _ in range(6)]
            replies = [each.result() for each in asked]
        assert {reply.status for reply in replies} == {422}
        assert any("source-700" in reply.json["detail"] for reply in replies)
        assert desk.kept() == before

    @pytest.mark.parametrize(
        "raw",
        [
            b"",
            b"null",
            b"{}",
            b"[]",
            b'{"invoices": []}',
            b'{"invoices": {}}',
            b'{"payments": [{}]}',
            b'{"invoices": [null, 1, "x"]}',
            b'{"invoices": [{}], "invoices": []}',
            b'{"invoices": [',
            b"\xff\xfe",
            b'{"invoices": ["\xff"]}',
            b"[" * 100_000,
            b'[{"a":' * 60_000,
            body("invoices", [invoice(1)])[:-3],
            body("invoices", [invoice(1, uniqueSourceInvoiceId="a\0b")]),
            body("invoices", [invoice(1, invoiceNumber="\ud800")]),
            body("invoices", [invoice(1, description="a\0b")]),
            body("invoices", [invoice(1, description="\udfff")]),
            body("invoices", [invoice(1, uniqueSourceInvoiceId="x" * 201)]),
            body("invoices", [invoice(1, originalInvoiceAmount="4500.00")]),
            body("invoices", [invoice(1, originalInvoiceAmount=10**30)]),
            body("invoices", [invoice(1)]).replace(b"4500.00", b"4.5e3"),
            body("invoices", [invoice(1)]).replace(b"4500.00", b"NaN"),
            body("invoices", [invoice(1)]).replace(b"4500.00", b"9" * 5000),
        ],
    )
    def test_what_cannot_be_sent(self, lite: Desk, raw: bytes) -> None:
        """Bodies of every wrong sort are 422 with at least one error, and nothing is kept."""
        for asked in ("/invoices", "/invoices?dryRun=1"):
            reply = lite.door.post(asked, raw)
            assert refuses(reply, 422)
            assert reply.json["count"] == len(reply.json["errors"]) > 0
        assert lite.kept() == (0, 0, 0, 0)

    def test_unknown_members_that_no_database_holds(self, desk: Desk) -> None:
        """A NUL or half a character in an unknown member is kept escaped, or told: never a 5xx."""
        for n, text in enumerate(("a\0b", "\ud800", "\udc00x")):
            cases: list[dict[str, Any]] = [{"more": text}, {"more": {text: 1}}, {text: 1}]
            for m, members in enumerate(cases):
                before = desk.kept()
                raw = body("invoices", [invoice(10 * n + m, **members)])
                reply = desk.door.post("/invoices", raw)
                if reply.status == 422:
                    assert desk.kept() == before
                    continue
                assert reply.status == 202
                (text_sent,) = desk.texts(reply.json["submissionId"])
                assert json.loads(text_sent) == json.loads(raw)["invoices"][0]

    def test_keys(self, lite: Desk) -> None:
        """A key that could not be kept is a bad request; the longest one is kept."""
        for key in ("", "x" * 201, "a\tb"):
            assert refuses(lite.door.post("/invoices", invoices(1), key=key), 400)
        assert lite.kept() == (0, 0, 0, 0)
        assert lite.door.post("/invoices", invoices(1), key="\xe9" * 200).status == 202

    def test_too_large(self, lite: Desk) -> None:
        """A body that is too large is 413, even if it is all right."""
        reply = lite.door.post("/invoices", invoices(1) + b" " * LARGEST_BODY)
        assert refuses(reply, 413)
        assert lite.kept() == (0, 0, 0, 0)

    def test_every_endpoint_wants_a_token(self, lite: Desk) -> None:
        """Without a token nobody hands anything over, or sees what was."""
        for method, path in ENDPOINTS:
            for headers in ({}, {"Authorization": "Bearer wrong"}):
                reply = lite.door.ask(method, f"/api/v1{path}", invoices(1), headers)
                assert refuses(reply, 401), (method, path)
                assert TOKEN not in reply.body.decode()
        assert lite.kept() == (0, 0, 0, 0)


class TestWhatBecameOfIt:
    def test_pages(self, desk: Desk) -> None:
        """Following `next` shows every submission once, newest first, of one kind or of all."""
        made = [desk.door.post("/invoices", invoices(n)).json["submissionId"] for n in range(5)]
        paid = desk.door.post("/payments", body("payments", [payment(1)])).json["submissionId"]
        found: list[str] = []
        after = ""
        while True:
            page = desk.door.get(f"/submissions?limit=2{after}").json
            found += [each["submissionId"] for each in page["data"]]
            if page["next"] is None:
                break
            after = f"&after={page['next']}"
        assert found == [paid, *reversed(made)]
        (only,) = desk.door.get("/submissions?kind=payments").json["data"]
        assert only["submissionId"] == paid
        assert set(only) == {*("submissionId", "kind", "organizationId"), *SHORT}

    def test_bad_questions(self, desk: Desk) -> None:
        """Limits, kinds and ids that none can have are 400 or 404, never a fault."""
        desk.door.post("/invoices", invoices(1))
        for asked in ("limit=0", "limit=x", "kind=%00", "after=%00", "kind=letters"):
            assert refuses(desk.door.get(f"/submissions?{asked}"), 400), asked
        assert refuses(desk.door.get("/submissions?after=nobody"), 404)
        for name in ("none", "%00", "%ff", "x" * 201, "%F0%9F", "a%2Fb"):
            assert refuses(desk.door.get(f"/submissions/{name}"), 404)
            assert refuses(desk.door.delete(f"/submissions/{name}"), 404)
            assert refuses(desk.door.post(f"/submissions/{name}/resend"), 404)

    def test_dry_run_is_a_clear_word(self, lite: Desk) -> None:
        """A word that is neither yes nor no is a bad request: nothing is sent by mistake."""
        for said in ("True", "TRUE", "1"):
            assert lite.door.post(f"/invoices?dryRun={said}", invoices(1)).status == 200
        for said in ("", "yes", "2", "tru"):
            assert refuses(lite.door.post(f"/invoices?dryRun={said}", invoices(1)), 400)
        assert lite.kept() == (0, 0, 0, 0)
        assert lite.door.post("/invoices?dryRun=false", invoices(1)).status == 202

    def test_discard(self, desk: Desk) -> None:
        """What was never completed is forgotten; what is on its way stays."""
        half = self.half_written(desk, invoices(1, 2, 3))
        assert desk.door.get(f"/submissions/{half}").json["state"] == "staging"
        assert refuses(desk.door.post(f"/submissions/{half}/resend"), 422)
        reply = desk.door.delete(f"/submissions/{half}")
        assert (reply.status, reply.body) == (204, b"")
        assert refuses(desk.door.delete(f"/submissions/{half}"), 404)
        made = desk.door.post("/invoices", invoices(1, 2, 3)).json["submissionId"]
        assert refuses(desk.door.delete(f"/submissions/{made}"), 422)
        assert desk.kept() == (1, 1, 3, 1)

    def half_written(self, desk: Desk, raw: bytes, count: int = 1) -> str:
        """Write some rows of a submission, as a process that died would leave them."""
        client = connect(desk.settings.redis_url)
        items = list(read_body(raw, SubmissionKind.INVOICES))
        digest = examine_body(raw, SubmissionKind.INVOICES, {}).digest
        wish = NewSubmission(SubmissionKind.INVOICES, "org-1", "api:half", digest, len(items))
        with opened_database(desk.settings) as database:
            handover = Handover(database, Bells(client), chunk_items=3)
            new = database.run(lambda tx: submissions.open_(tx, handover._new(wish, tx)))
            database.run(lambda tx: stage(tx, new, 0, items[:count]))
        client.close()
        return str(new.submission_id)

    def test_what_another_completed_is_not_taken_back(self, desk: Desk) -> None:
        """Who was refused takes nothing back once the same was completed by somebody else."""
        first = desk.door.post("/invoices", invoices(1)).json["submissionId"]
        raw = invoices(1, 2)
        half = self.half_written(desk, raw, 2)
        (refused, _) = read_body(raw, SubmissionKind.INVOICES)

        def fail(tx: Tx) -> None:
            (item,) = submissions.items_of(tx, first, 0)
            submissions.save_items(tx, first, [replace(item, state=ItemState.FAILED)], tx.now)

        desk.run(fail)  # so that its invoice may come again
        assert desk.door.post("/invoices", raw, key="half").json["submissionId"] == half
        before = desk.kept()
        with opened_database(desk.settings) as database, database.read() as tx:
            submission = submissions.get(tx, half)
        assert submission is not None
        assert submission.state == "ready"
        assert desk.run(lambda tx: take_back(tx, submission, [refused])) is None
        assert desk.kept() == before

    def test_resend(self, desk: Desk) -> None:
        """Only what was looked up in vain is sent again: the same call, planned anew, once."""
        made = desk.door.post("/invoices", invoices(1)).json
        path = f"/submissions/{made['submissionId']}"
        assert refuses(desk.door.post(f"{path}/resend"), 422)

        def lose(tx: Tx) -> None:
            action = ledger.lock(tx, made["chunks"][0]["actionId"])
            assert action is not None
            words = "CreateInvoices: the connection was lost"
            lost = replace(action, state=ActionState.UNCERTAIN, closed_at=tx.now, error=words)
            ledger.save(tx, [lost])

        desk.run(lose)
        shown = desk.door.get(path).json
        assert (shown["state"], shown["chunks"][0]["state"]) == ("uncertain", "uncertain")
        assert shown["chunks"][0]["error"] == "CreateInvoices: the connection was lost"
        reply = desk.door.post(f"{path}/resend")
        assert reply.status == 202
        assert reply.json["state"] == "sending"
        assert reply.json["chunks"][0]["actionId"] == made["chunks"][0]["actionId"]
        assert refuses(desk.door.post(f"{path}/resend"), 422)


SHORT = ("state", "createdAt", "items")


def test_database_away(own_postgres: PostgresServer, redis_url: str, tmp_path: Path) -> None:
    """Without a database every call is 503 with Retry-After; the same call later is taken once."""
    with contextlib.ExitStack() as stack:
        url = stack.enter_context(fresh_database(own_postgres.url))
        stack.callback(own_postgres.start)
        desk = stack.enter_context(desk_of(redis_url, url, tmp_path))
        first = desk.door.post("/invoices", invoices(1), key="key-1").json["submissionId"]
        own_postgres.stop()
        asked = [("POST", "/invoices"), ("POST", "/payments"), ("GET", "/submissions")]
        asked += [
            ("GET", f"/submissions/{first}"),
            ("DELETE", f"/submissions/{first}"),
            ("POST", f"/submissions/{first}/resend"),
        ]
        for method, path in asked:
            kind = path.removeprefix("/")
            raw = body(kind, [MAKERS[kind](2)]) if kind in MAKERS else b""
            headers = {"Authorization": f"Bearer {TOKEN}"}
            reply = desk.door.ask(method, f"/api/v1{path}", raw, headers)
            assert refuses(reply, 503), (method, path)
            assert int(reply.headers["retry-after"]) > 0
        # What is wrong with a body is told all the same, and a dry run needs no database.
        assert refuses(desk.door.post("/invoices", b"{}"), 422)
        assert desk.door.post("/invoices?dryRun=1", invoices(2)).status == 200
        own_postgres.start()
        assert desk.door.post("/invoices", invoices(2), key="key-2").status == 202
        assert desk.kept() == (2, 2, 2, 2)


# --- anything at all ------------------------------------------------------------

words = st.text(max_size=12) | st.sampled_from(["a\0b", "\ud800", "\udc00", "1e5", "2026-01-01"])
numbers = st.integers() | st.decimals(allow_nan=True).map(Decimal)
values = st.recursive(
    st.none() | st.booleans() | words | numbers,
    lambda inside: st.lists(inside, max_size=3) | st.dictionaries(words, inside, max_size=3),
    max_leaves=6,
)


def text_of(value: Any) -> str:
    """Write a value as something like JSON; decimals as they are, NaN too."""
    if isinstance(value, Decimal):
        return str(value)
    if isinstance(value, list):
        return f"[{','.join(map(text_of, value))}]"
    if isinstance(value, dict):
        pairs = (f"{json.dumps(name)}:{text_of(each)}" for name, each in value.items())
        return f"{{{','.join(pairs)}}}"
    return json.dumps(value)


def test_no_body_breaks_it(redis_url: str, database_url: str, tmp_path: Path) -> None:
    """Whatever body comes: taken as a whole or refused as a whole, never a 5xx or half of it."""
    members = st.dictionaries(st.sampled_from(list(invoice(1))) | words, values, max_size=3)
    items = st.tuples(st.sampled_from(sorted(MAKERS)), st.integers(0, 3), members).map(
        lambda made: {**MAKERS[made[0]](made[1]), **made[2]}
    )
    written = st.tuples(st.sampled_from(sorted(MAKERS)), st.lists(items | values, max_size=3)).map(
        lambda made: text_of({made[0]: made[1]}).encode()
    )
    raws = written | st.binary(max_size=60) | values.map(lambda made: text_of(made).encode())
    cut = st.tuples(raws, st.integers(0, 400)).map(lambda made: made[0][: made[1]])

    @settings(
        max_examples=150, deadline=None, suppress_health_check=list(HealthCheck), database=None
    )
    @given(st.sampled_from(sorted(MAKERS)), raws | cut, words)
    def hand_over(kind: str, raw: bytes, key: str) -> None:
        before = opened.kept()
        named = key if key.isprintable() and key.isascii() and key.strip() == key != "" else None
        reply = opened.door.post(f"/{kind}", raw, key=named)
        assert reply.status in (202, 422), (reply.status, raw)
        if reply.status == 202:
            made = reply.json
            # All of it, in a complete submission, or what was there before.
            assert made["items"]["all"] == made["items"]["open"] > 0
            assert made["chunks"]
            return
        assert reply.is_problem
        assert opened.kept() == before

    with capture_logs() as logs, desk_of(redis_url, database_url, tmp_path) as opened:
        hand_over()
    assert not [line for line in logs if line["log_level"] == "error"]
