"""The operator's API: who may enter, what it shows, what it changes, and how it refuses."""

from __future__ import annotations

import contextlib
import json
import socket
import uuid
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any
from urllib.parse import quote, quote_from_bytes, urlencode

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from structlog.testing import capture_logs

from service.domain.actions import Action, ActionKind, ActionState
from service.domain.entities import Read
from service.domain.records import Batch, BatchItem, Case, Invoice, Settlement
from service.settings import Settings
from service.store import batches, entities, events, ledger
from service.store.database import Tx
from tests.doors import (
    TOKEN,
    DoorThread,
    Reply,
    drained,
    event,
    eventually,
    migrated,
    opened_database,
    rows,
    settings_for,
)
from tests.integration.store_records import save_case, save_invoices, save_settlement

AT = datetime(2026, 3, 1, 12, 0, 0, 5, tzinfo=UTC)
EVENT = {"eventId", "type", "state", "entity", "receivedAt", "settledAt", "attempts"}
BATCH = {"batchId", "type", "status", "organizationId", "succeeded", "failed"}
INVOICE = {"invoiceId", "invoiceNumber", "status", "caseId", "remainingAmount", "currency"}
CASE = {
    *("caseId", "caseNumber", "organizationId", "type", "status", "subStatus"),
    *("invoices", "holds", "desired"),
}
HOLD = {"holdId", "caseId", "reason", "owner", "placedAt", "until", "releasedAt"}
ACTION = {"actionId", "kind", "state", "caseId", "cause", "attempts"}

LISTS = (*("/events", "/cases", "/actions", "/holds", "/settlements", "/invoices", "/quarantine"),)
SINGLES = (
    *("/events/{}", "/batches/{}", "/invoices/{}", "/settlements/{}"),
    *("/cases/{}", "/cases/{}/timeline", "/actions/{}"),
)

#: Bodies that place no hold.
NO_HOLDS: tuple[Any, ...] = (
    b"",
    b"null",
    b"[]",
    b"{",
    b"\xff",
    b'{"reason": "a", "reason": 5}',
    b'{"reason": "\\ud800"}',
    b'{"reason": "a", "comment": "\\ud800"}',
    b"[" * 60_000,
    {},
    {"reason": ""},
    {"reason": None},
    {"reason": "x" * 201},
    {"reason": "a\0b"},
    {"reason": "a\nb"},
    {"reason": ["dispute"]},
    {"reason": "a", "comment": "a\0b"},
    {"reason": "a", "comment": "x" * 2001},
    {"reason": "a", "comment": 5},
    {"reason": "a", "until": "2030-01-01T00:00:00"},
    {"reason": "a", "until": "2030-01-01"},
    {"reason": "a", "until": "tomorrow"},
    {"reason": "a", "until": "2000-01-01T00:00:00Z"},
    {"reason": "a", "until": "0001-01-01T00:00:00+14:00"},
    {"reason": "a", "until": "9999-12-31T23:59:59-14:00"},
    {"reason": "a", "until": 4102444800},
    {"reason": "a", "until": True},
    {"reason": "a", "untill": "2030-01-01T00:00:00Z"},
)


@dataclass
class Desk:
    """A door and its settings, with a few records in its store."""

    door: DoorThread
    settings: Settings

    def run(self, work: Any) -> Any:
        """Run a transaction in the store."""
        with opened_database(self.settings) as database:
            return database.run(work)


@pytest.fixture
def desk(redis_url: str, database_url: str, tmp_path: Path) -> Iterator[Desk]:
    """Open a door with records, on both databases."""
    with desk_of(redis_url, database_url, tmp_path) as opened:
        yield opened


@pytest.fixture
def lite(redis_url: str, sqlite_url: str, tmp_path: Path) -> Iterator[Desk]:
    """Open a door with records, on SQLite."""
    with desk_of(redis_url, sqlite_url, tmp_path) as opened:
        yield opened


@contextlib.contextmanager
def desk_of(redis_url: str, database_url: str, tmp_path: Path) -> Iterator[Desk]:
    """Open a door with records."""
    migrated(database_url, tmp_path)
    config = settings_for(redis_url, database_url, tmp_path)
    with DoorThread(config) as door:
        opened = Desk(door, config)
        opened.run(furnish)
        yield opened


def furnish(tx: Tx) -> None:
    """Write one record of each kind."""
    read = Read(1, AT)
    for number in (1, 2, 3):
        save_case(tx, case_of(f"case-{number}"), read, is_over=False)
    amount = Decimal("1234567890123.10")
    invoice = Invoice("inv-1", "org-1", "F-1", case_id="case-1", status="OPEN", currency="NOK")
    save_invoices(tx, [replace(invoice, remaining_amount=amount, paid_amount=Decimal(0))], read)
    items = (
        BatchItem(True, invoice_id="inv-1", invoice_number="F-1"),
        BatchItem(False, invoice_number="F-2", errors='["too old"]'),
    )
    batches.save(
        tx, Batch("batch-1", "org-1", "INVOICE", "PARTIAL", AT, None, items, raw="{}"), read
    )
    raw = '{"amount":10.50,"note":"\\ud800"}'
    save_settlement(tx, Settlement("set-1", "org-1", "8811", "DEBT", "NOK", "ref", raw), read)
    ledger.plan(
        tx,
        Action(
            action_id="action-1",
            kind=ActionKind.PAUSE_CASE,
            target="case-1",
            organization_id="org-1",
            cause="level:1",
            state=ActionState.PLANNED,
            planned_at=AT.replace(microsecond=0),
        ),
    )


def case_of(case_id: str) -> Case:
    """Make a case as read."""
    number = f"881{case_id[-1]}"
    return Case(case_id, number, "org-1", "OPEN", None, "DEBT", None, AT, None, raw="{}")


def refuses(reply: Reply, status: int) -> bool:
    """It is a problem with this status."""
    assert reply.status == status, reply.body
    return reply.is_problem


class TestTokens:
    def test_every_endpoint_wants_one(self, lite: Desk) -> None:
        """Without a known token every endpoint is 401, whatever exists behind it."""
        asked = [("GET", path) for path in LISTS]
        asked += [("GET", path.format("case-1")) for path in SINGLES]
        asked += [
            ("POST", "/cases/case-1/holds"),
            ("DELETE", "/cases/case-1/holds/x"),
            ("POST", "/events/x/replay"),
            ("POST", "/events/replay"),
            ("POST", "/quarantine/x/replay"),
        ]
        wrong: tuple[str, ...] = ("", "Bearer", "Bearer ", "Bearer wrong", f"Basic {TOKEN}", TOKEN)
        wrong += (f"Bearer {TOKEN} {TOKEN}", f"Bearer {TOKEN},", "Bearer \xe9", f"Bearer{TOKEN}")
        for method, path in asked:
            for header in wrong:
                reply = lite.door.ask(
                    method, f"/api/v1{path}", b"{}", {"Authorization": header} if header else {}
                )
                assert refuses(reply, 401), (method, path, header)
                assert reply.headers["www-authenticate"] == "Bearer"
                assert TOKEN not in reply.body.decode()

    @pytest.mark.parametrize("scheme", ["Bearer", "bearer", "BEARER"])
    def test_scheme_in_any_case(self, lite: Desk, scheme: str) -> None:
        """`bearer` is one word, however it is written."""
        header = {"Authorization": f"{scheme} {TOKEN}"}
        assert lite.door.ask("GET", "/api/v1/events", headers=header).status == 200

    def test_several(self, redis_url: str, sqlite_url: str, tmp_path: Path) -> None:
        """Each of several tokens opens, also one that is not ASCII."""
        migrated(sqlite_url, tmp_path)
        config = settings_for(redis_url, sqlite_url, tmp_path)
        config = Settings(**{**config.model_dump(), "api_tokens": " one , tw\xf6 "})
        with DoorThread(config) as door:
            assert door.get("/events", "one").status == 200
            assert door.get("/events", "tw\xf6".encode().decode("latin-1")).status == 200
            assert door.get("/events", "three").status == 401

    def test_none_set(self, redis_url: str, sqlite_url: str, tmp_path: Path) -> None:
        """Without tokens in the settings nobody enters, and the answer says why."""
        migrated(sqlite_url, tmp_path)
        config = settings_for(redis_url, sqlite_url, tmp_path)
        config = Settings(**{**config.model_dump(), "api_tokens": ""})
        with DoorThread(config) as door:
            for token in ("", "x", TOKEN):
                reply = door.get("/events", token)
                assert refuses(reply, 401)
                assert "AMILI_API_TOKENS" in reply.json["detail"]
            assert door.deliver(event()).status == 202


class TestShapes:
    def test_event(self, desk: Desk) -> None:
        """An event has its members, from its id through to its state."""
        desk.door.deliver(event(id="event-1"))
        drained(desk.settings)
        shown = desk.door.get("/events/event-1").json
        assert set(shown) >= EVENT | {"variants"}
        assert (shown["state"], shown["type"]) == ("received", "CASE_UPDATED")
        assert shown["entity"] == "case:case-1"
        assert (shown["attempts"], shown["settledAt"], shown["variants"]) == (0, None, [])
        assert datetime.fromisoformat(shown["receivedAt"]).utcoffset() == timedelta(0)
        (listed,) = desk.door.get("/events").json["data"]
        assert shown.pop("waiting") is None
        assert listed == {name: shown[name] for name in shown if name != "variants"}

    def test_records(self, desk: Desk) -> None:
        """Batch, invoice, case, settlement and action have their members, amounts as texts."""
        batch = desk.door.get("/batches/batch-1").json
        assert set(batch) >= BATCH
        assert batch["succeeded"] == [{"invoiceId": "inv-1", "invoiceNumber": "F-1"}]
        assert batch["failed"] == [{"invoiceNumber": "F-2", "errors": ["too old"]}]
        invoice = desk.door.get("/invoices/inv-1").json
        assert set(invoice) >= INVOICE
        assert invoice["remainingAmount"] == "1234567890123.10"
        assert invoice["paidAmount"] == "0"
        case = desk.door.get("/cases/case-1").json
        assert set(case) >= CASE
        assert (case["desired"], case["holds"]) == ("running", [])
        assert [each["invoiceId"] for each in case["invoices"]] == ["inv-1"]
        settlement = desk.door.get("/settlements/set-1")
        assert settlement.status == 200
        assert settlement.json["settlementId"] == "set-1"
        assert settlement.json["record"]["amount"] == "10.50"
        action = desk.door.get("/actions/action-1").json
        assert set(action) >= ACTION
        assert (action["kind"], action["state"]) == ("pauseCase", "planned")

    def test_lists(self, lite: Desk) -> None:
        """Every list is `data` and `next`."""
        for path in LISTS:
            reply = lite.door.get(path)
            assert reply.status == 200
            assert set(reply.json) == {"data", "next"}
        assert set(lite.door.get("/actions").json["data"][0]) >= ACTION
        assert set(lite.door.get("/cases").json["data"][0]) >= CASE

    def test_timeline_in_order_of_time(self, lite: Desk) -> None:
        """A timeline goes by moments: a whole second comes before its fractions."""
        lite.door.deliver(event())
        drained(lite.settings)
        lite.door.post("/cases/case-1/holds", {"reason": "dispute"})
        shown = lite.door.get("/cases/case-1/timeline").json
        assert set(shown) == {"data", "next"}
        kinds = [each["kind"] for each in shown["data"]]
        assert kinds == ["action", "event", "hold"]
        moments = [datetime.fromisoformat(each["at"]) for each in shown["data"]]
        assert moments == sorted(moments)

        def second_action(tx: Tx) -> None:
            (first,) = ledger.of_cases(tx, ["case-1"])["case-1"]
            ledger.save(tx, [replace(first, state=ActionState.CONFIRMED)])
            later = replace(first, action_id="action-2", cause="level:2", planned_at=AT)
            ledger.plan(tx, later)

        lite.run(second_action)
        steps = lite.door.get("/cases/case-1/timeline").json["data"]
        ids = [each["action"]["actionId"] for each in steps if each["kind"] == "action"]
        assert ids == ["action-1", "action-2"]

    def test_ids_of_any_form(self, lite: Desk) -> None:
        """An event whose id has slashes, spaces and quotes is found under it, and replayed."""
        for name in ("a/b", "a b?c#d", "%2F", "ä\N{SNOWMAN}", "x/replay", "' OR 1=1", "."):
            lite.door.deliver(event(id=name))
            drained(lite.settings)
            shown = lite.door.get(f"/events/{quote(name, safe='')}")
            assert shown.json["eventId"] == name
            assert lite.door.post(f"/events/{quote(name, safe='')}/replay").status == 202


class TestPaging:
    def test_events(self, lite: Desk) -> None:
        """Following `next` shows every event once, newest first."""
        for number in range(5):
            lite.door.deliver(event(id=f"event-{number}"))
        drained(lite.settings)
        assert pages(lite, "/events", "eventId") == [f"event-{n}" for n in (4, 3, 2, 1, 0)]

    def test_cases(self, lite: Desk) -> None:
        """Following `next` shows every case once; those of one moment have an order, too."""
        assert pages(lite, "/cases", "caseId") == ["case-3", "case-2", "case-1"]

    def test_filters(self, lite: Desk) -> None:
        """State and status choose; one that is nobody's chooses none."""
        lite.door.deliver(event())
        lite.door.deliver(event(eventType="NOBODY_KNOWS"))
        drained(lite.settings)
        assert len(lite.door.get("/events?state=settled").json["data"]) == 1
        assert lite.door.get("/events?state=nonsense").json == {"data": [], "next": None}
        assert len(lite.door.get("/cases?status=OPEN").json["data"]) == 3
        assert len(lite.door.get("/actions?caseId=case-1&state=planned").json["data"]) == 1
        assert lite.door.get("/actions?caseId=case-2").json["data"] == []

    def test_limit_bounds(self, lite: Desk) -> None:
        """A limit that is no number from 1 to 200 is a bad request, on every list."""
        limits = ["0", "-1", "201", "1.5", "abc", "", "²", "٣", "1e2", " 5", "0x5", "9" * 30]
        for limit in [*limits, "000000200999", "000000100" + "0" * 5000]:
            for path in LISTS:
                reply = lite.door.get(f"{path}?{urlencode({'limit': limit})}")
                assert refuses(reply, 400), (path, limit)
        assert lite.door.get("/events?limit=1").status == 200
        assert lite.door.get("/events?limit=200").status == 200

    def test_after_of_events(self, lite: Desk) -> None:
        """An `after` that no page gave is a bad request."""
        for after in ("x", "-1", "²", "1" * 19, "1.0", " 1", "\0"):
            reply = lite.door.get(f"/events?{urlencode({'after': after})}")
            assert refuses(reply, 400), after
        assert lite.door.get(f"/events?after={'9' * 18}").status == 200

    def test_nul_in_a_filter(self, desk: Desk) -> None:
        """A filter with a NUL is a bad request, and no fault of the database."""
        asked = ("/events?state", "/cases?status", "/cases?after", "/actions?caseId")
        others = ("/holds?after", "/settlements?after", "/invoices?invoiceNumber", "/holds?caseId")
        for question in (*asked, *others):
            assert refuses(desk.door.get(f"{question}=%00x"), 400), question


def pages(desk: Desk, path: str, name: str) -> list[str]:
    """Follow `next` with two on a page."""
    found: list[str] = []
    after = ""
    for _ in range(10):
        page = desk.door.get(f"{path}?limit=2{after}").json
        assert len(page["data"]) <= 2
        found += [each[name] for each in page["data"]]
        if page["next"] is None:
            return found
        after = f"&after={quote(page['next'])}"
    raise AssertionError("the pages have no end")


class TestNotFound:
    def test_unknown_records(self, desk: Desk) -> None:
        """An id that is not known, or that none can have, is a 404."""
        wish = {"reason": "dispute"}
        for name in ("none", "%00", "a%00b", "%ff", "x" * 201, "%0A", "%F0%9F"):
            for path in SINGLES:
                assert refuses(desk.door.get(path.format(name)), 404), path
            assert refuses(desk.door.post(f"/cases/{name}/holds", wish), 404)
            assert refuses(desk.door.delete(f"/cases/{name}/holds/x"), 404)
            assert refuses(desk.door.delete(f"/cases/case-1/holds/{name}"), 404)
            assert refuses(desk.door.post(f"/events/{name}/replay"), 404)

    def test_unknown_paths_and_methods(self, lite: Desk) -> None:
        """What is nowhere is a 404 and what is not done a 405, both as problems."""
        for path in ("/", "/nothing", "/api/v1/", "/api/v1/nothing", "/api/v1/cases/a/b", "/%00"):
            assert refuses(lite.door.ask("GET", path), 404), path
        reply = lite.door.ask("DELETE", "/api/v1/events")
        assert refuses(reply, 405)
        assert "GET" in reply.headers["allow"]
        assert refuses(lite.door.ask("POST", "/livez"), 405)


class TestHolds:
    def test_place_and_release(self, desk: Desk) -> None:
        """A hold is 201 with its shape, pauses the case's wish, and ends with 204, twice."""
        until = datetime.now(UTC) + timedelta(days=1)
        reply = desk.door.post(
            "/cases/case-1/holds",
            {"reason": "dispute", "until": until.isoformat(), "comment": "said by phone\n\tä"},
        )
        assert reply.status == 201
        hold = reply.json
        assert set(hold) >= HOLD
        assert (hold["caseId"], hold["reason"], hold["owner"]) == ("case-1", "dispute", "api")
        assert datetime.fromisoformat(hold["until"]) == until
        assert hold["releasedAt"] is None
        case = desk.door.get("/cases/case-1").json
        assert (case["desired"], case["holds"]) == ("paused", [hold])
        assert desk.door.get("/holds").json["data"] == [hold]
        for _ in range(2):
            reply = desk.door.delete(f"/cases/case-1/holds/{hold['holdId']}")
            assert (reply.status, reply.body) == (204, b"")
        case = desk.door.get("/cases/case-1").json
        assert case["desired"] == "running"
        assert case["holds"][0]["releasedAt"] is not None
        assert desk.door.get("/holds").json["data"] == []
        assert len(desk.door.get("/holds?all=true").json["data"]) == 1
        assert self.due(desk) == ["case:case-1"]

    def due(self, desk: Desk) -> list[str]:
        """Name the entities that a worker would look at."""
        with opened_database(desk.settings) as database, database.read() as tx:
            found = tx.connection.exec_driver_sql("SELECT entity FROM entities WHERE wanted > done")
            return [row[0] for row in found]

    def test_same_key_same_hold(self, desk: Desk) -> None:
        """The same request under the same key places one hold, however often it comes."""
        until = (datetime.now(UTC) + timedelta(days=1)).isoformat()
        wish = {"reason": "court", "until": until, "comment": "x"}
        first = desk.door.post("/cases/case-1/holds", wish, key="key-1")
        again = desk.door.post("/cases/case-1/holds", wish, key="key-1")
        assert (first.status, again.status) == (201, 201)
        assert first.json == again.json
        assert len(desk.door.get("/cases/case-1").json["holds"]) == 1
        for other in (
            {"reason": "dispute", "until": until, "comment": "x"},
            {"reason": "court", "comment": "x"},
            {"reason": "court", "until": until, "comment": "another"},
            {"reason": "court", "until": until},
        ):
            assert refuses(desk.door.post("/cases/case-1/holds", other, key="key-1"), 422)
        assert len(desk.door.get("/cases/case-1").json["holds"]) == 1
        assert desk.door.post("/cases/case-1/holds", wish, key="key-2").json != first.json
        assert desk.door.post("/cases/case-2/holds", wish, key="key-1").json["caseId"] == "case-2"

    def test_same_key_after_its_end(self, lite: Desk) -> None:
        """Who asks again for a hold whose time has passed hears of that hold, not of an error."""
        soon = datetime.now(UTC) + timedelta(seconds=1)
        wish = {"reason": "court", "until": soon.isoformat()}
        first = lite.door.post("/cases/case-1/holds", wish, key="key-1")
        assert first.status == 201
        eventually(lambda: datetime.now(UTC) > soon)
        again = lite.door.post("/cases/case-1/holds", wish, key="key-1")
        assert (again.status, again.json) == (201, first.json)

    def test_without_a_key_two_holds(self, lite: Desk) -> None:
        """Without a key every request is a hold of its own."""
        ids = {
            lite.door.post("/cases/case-1/holds", {"reason": "x"}).json["holdId"] for _ in range(2)
        }
        assert len(ids) == 2

    @pytest.mark.parametrize("key", ["", "x" * 201, "a\tb"])
    def test_bad_key(self, lite: Desk, key: str) -> None:
        """A key that could not be kept is a bad request."""
        assert refuses(lite.door.post("/cases/case-1/holds", {"reason": "x"}, key=key), 400)

    def test_what_is_no_hold(self, lite: Desk) -> None:
        """A body that is no hold is 422, told without its values, and places none."""
        for body in NO_HOLDS:
            reply = lite.door.post("/cases/case-1/holds", body)
            assert (body, reply.status, reply.is_problem) == (body, 422, True)
            assert "xxxxx" not in reply.body.decode()
        assert lite.door.get("/holds?all=1").json["data"] == []

    def test_big_body(self, lite: Desk) -> None:
        """A body too large is 413, even if its beginning would do."""
        body = b'{"reason": "dispute"}' + b" " * 200_000
        assert refuses(lite.door.post("/cases/case-1/holds", body), 413)
        assert lite.door.get("/holds").json["data"] == []

    def test_unknown_reason_is_kept(self, lite: Desk) -> None:
        """A reason of somebody's own is kept, and counted as `other`."""
        reply = lite.door.post("/cases/case-1/holds", {"reason": "our own"})
        assert reply.json["reason"] == "our own"
        assert lite.door.counted("amili_holds_active", reason="other") == 1

    def test_hold_of_another_case(self, lite: Desk) -> None:
        """A hold is released under its own case only."""
        hold = lite.door.post("/cases/case-1/holds", {"reason": "x"}).json["holdId"]
        assert refuses(lite.door.delete(f"/cases/case-2/holds/{hold}"), 404)
        assert refuses(lite.door.delete(f"/cases/case-1/holds/{uuid.uuid4()}"), 404)
        assert lite.door.get("/cases/case-1").json["desired"] == "paused"

    def test_sender_hangs_up(self, lite: Desk) -> None:
        """Who hangs up in the middle of a request places nothing, and leaves no traceback."""
        head = (
            "POST /api/v1/cases/case-1/holds HTTP/1.1\r\nHost: a\r\nContent-Length: 100\r\n"
            f"Authorization: Bearer {TOKEN}\r\n\r\n"
        )
        with socket.create_connection(("127.0.0.1", lite.door.port)) as line:
            line.sendall(head.encode() + b'{"reason"')
        assert lite.door.get("/holds").json["data"] == []


class TestReplay:
    def test_settled_event(self, lite: Desk) -> None:
        """A settled event that is replayed waits again, and its entity is due."""
        lite.door.deliver(event(id="event-1"))
        drained(lite.settings)

        def settle(tx: Tx) -> None:
            (row,) = events.by_id(tx, "event-1")
            events.settle(tx, [row.seq], "looked")
            tx.connection.exec_driver_sql("UPDATE entities SET done = wanted")

        lite.run(settle)
        assert lite.door.get("/events/event-1").json["state"] == "settled"
        reply = lite.door.post("/events/event-1/replay")
        assert (reply.status, reply.json) == (202, {"replayed": 1})
        shown = lite.door.get("/events/event-1").json
        assert (shown["state"], shown["settledAt"], shown["outcome"]) == ("received", None, None)
        with opened_database(lite.settings) as database, database.read() as tx:
            assert entities.due_count(tx) == 1

    def test_event_without_an_entity(self, lite: Desk) -> None:
        """An event that names nothing cannot be looked at: 422, and nothing changes."""
        lite.door.deliver(event(id="event-1", eventType="NOBODY_KNOWS"))
        drained(lite.settings)
        assert refuses(lite.door.post("/events/event-1/replay"), 422)
        (row,) = rows(lite.settings)
        assert row.state == "settled"


words = st.text(max_size=20) | st.binary(max_size=12).map(lambda raw: raw.decode("latin-1"))


def test_no_question_breaks_it(redis_url: str, database_url: str, tmp_path: Path) -> None:
    """Whatever is asked, however it is asked: no 5xx, problems in one form, nothing in the log."""
    segment = st.binary(min_size=1, max_size=12).map(lambda raw: quote_from_bytes(raw, safe=""))
    query = st.dictionaries(
        st.sampled_from(["limit", "after", "state", "status", "caseId", "all"]) | words,
        words | st.integers().map(str),
        max_size=3,
    )
    hold = st.binary(max_size=40) | st.dictionaries(
        st.sampled_from(["reason", "until", "comment"]) | words,
        st.none() | words | st.integers() | st.datetimes().map(lambda at: f"{at.isoformat()}Z"),
        max_size=4,
    ).map(lambda made: json.dumps(made).encode())

    @settings(
        max_examples=120, deadline=None, suppress_health_check=list(HealthCheck), database=None
    )
    @given(st.sampled_from([*LISTS, *SINGLES]), segment, query, hold, words)
    def ask(path: str, part: str, asked: dict[str, str], body: bytes, key: str) -> None:
        options = urlencode(asked, errors="surrogatepass")
        replies = [
            door.get(f"{path.format(part)}?{options}"),
            door.post("/cases/case-1/holds", body, key=quote(key, errors="surrogatepass")),
            door.post(f"/cases/{part}/holds", body),
            door.delete(f"/cases/case-1/holds/{part}"),
            door.post(f"/events/{part}/replay", body, key=quote(key, errors="surrogatepass")),
            door.post("/events/replay", body, key=quote(key, errors="surrogatepass")),
            door.post(f"/quarantine/{part}/replay", body),
            door.post("/cases/case-1/withdraw", body, key=quote(key, errors="surrogatepass")),
            door.post(f"/cases/{part}/eviction-request/accept", body),
            door.post(f"/cases/{part}/resume", body),
            door.post(f"/actions/{part}/cancel", body),
            door.post(f"/actions/{part}/resend", body),
        ]
        for reply in replies:
            assert reply.status < 500, (path, part, asked, body)
            assert reply.status < 400 or reply.is_problem

    with capture_logs() as logs, desk_of(redis_url, database_url, tmp_path) as opened:
        door = opened.door
        ask()
    assert not [line for line in logs if line["log_level"] == "error"]
