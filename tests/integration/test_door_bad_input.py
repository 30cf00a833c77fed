"""What nobody should send: each gets its answer, its count, no row and no traceback."""

from __future__ import annotations

import asyncio
import contextlib
import gzip
import http.client
import json
import socket
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from service.redis import connect
from service.settings import Settings
from service.web.webhooks import Straight
from tests.doors import (
    PATH,
    SECRET,
    DoorProcess,
    DoorThread,
    Knocker,
    Reply,
    drained,
    envelope,
    event,
    migrated,
    rows,
    settings_for,
    signed,
    spooled,
)

GOOD = event(id="the-good-one")
JSON = {"Content-Type": "application/json"}


@dataclass(frozen=True)
class Bad:
    """A request and what must come of it."""

    name: str
    status: int
    outcome: str
    body: bytes = GOOD
    headers: dict[str, str] = field(default_factory=dict)
    method: str = "POST"
    reason: str = ""


def other(body: bytes, **more: str) -> dict[str, str]:
    """Sign a body properly, as JSON."""
    return {**JSON, **signed(body), **more}


def malformed(name: str, body: bytes) -> Bad:
    """Expect 400 for an authentic body."""
    return Bad(name, 400, "malformed", body, other(body), reason="malformed")


def forged(name: str, reason: str, headers: dict[str, str], body: bytes = GOOD) -> Bad:
    """Expect 401, and this reason in the log and the metric."""
    return Bad(name, 401, "bad_signature", body, {**JSON, **headers}, reason=reason)


LARGE = event(id="large", data={"caseId": "c", "filler": "x" * (2 * 1024 * 1024)})
BAD = (
    malformed("empty", b""),
    malformed("spaces", b"  \n"),
    malformed("no JSON", b"{"),
    malformed("invalid UTF-8", b'{"id": "\xff\xfe", "eventType": "CASE_UPDATED"}'),
    malformed("UTF-16", GOOD.decode().encode("utf-16")),
    malformed("gzip", gzip.compress(GOOD)),
    malformed("array", b"[" + GOOD + b"]"),
    malformed("text", b'"CASE_UPDATED"'),
    malformed("null", b"null"),
    malformed("number", b"1e400"),
    malformed("nesting", b'{"id": "n", "data": ' + b"[" * 200_000 + b"]" * 200_000 + b"}"),
    malformed("NaN", b'{"id": "n", "eventType": "CASE_UPDATED", "data": {"amount": NaN}}'),
    malformed("5000 digits", b'{"id": "n", "eventType": "X", "data": {"n": ' + b"9" * 5000 + b"}}"),
    malformed("two documents", GOOD + GOOD),
    malformed("no id", event(id=None)),
    malformed("id null", b'{"id": null, "eventType": "CASE_UPDATED"}'),
    malformed("id a number", event(id=5)),
    malformed("id empty", event(id="")),
    malformed("id too long", event(id="x" * 201)),
    malformed("id with NUL", event(id="a\0b")),
    malformed("id with a lone surrogate", b'{"id": "a\\ud800", "eventType": "CASE_UPDATED"}'),
    malformed("id with a line break", event(id="a\nb")),
    malformed("data a list", event(data=[1])),
    malformed("data a text", event(data="case-1")),
    malformed("data a number", event(data=7)),
    malformed("no type", event(eventType=None)),
    forged("no signature", "no_header", {}),
    forged("not hexadecimal", "undecodable", {"X-Webhook-Signature": "zz"}),
    forged("empty signature", "undecodable", {"X-Webhook-Signature": ""}),
    forged("not ASCII", "undecodable", {"X-Webhook-Signature": "\xe9" * 64}),
    forged("signature of another body", "no_secret_matched", signed(b"{}")),
    forged("signature by another", "no_secret_matched", signed(GOOD, "not the secret")),
    forged("unsigned rubbish", "no_header", {}, b"\xff\0rubbish"),
    Bad("no content type", 415, "not_json", headers=signed(GOOD)),
    Bad("text", 415, "not_json", headers={**signed(GOOD), "Content-Type": "text/plain"}),
    Bad("form", 415, "not_json", headers={**signed(GOOD), "Content-Type": "multipart/form-data"}),
    Bad("large and text", 415, "not_json", LARGE, {**signed(LARGE), "Content-Type": "text/plain"}),
    Bad("too large", 413, "too_large", LARGE, other(LARGE)),
    Bad("too large by one byte", 413, "too_large", b" " * (1024 * 1024 + 1), JSON),
    Bad("wrong method", 405, "wrong_method", headers=other(GOOD), method="PUT"),
    Bad("GET", 405, "wrong_method", b"", method="GET"),
    Bad("DELETE", 405, "wrong_method", b"", method="DELETE"),
    Bad("made-up method", 405, "wrong_method", b"", method="PROPFIND"),
)

#: Odd, but authentic and whole: the door takes them.
ODD = (
    b"\xef\xbb\xbf" + event(id="odd-bom"),
    event(id="odd-nul", data={"caseId": "case-1", "text": "a\0b", "caseNumber": "a\0b"}),
    b'{"id": "odd-surrogate", "eventType": "CASE_UPDATED", '
    b'"data": {"caseId": "c", "x": "\\ud800", "\\udfff": 1}}',
    b'{"id": "odd-number", "eventType": "CASE_UPDATED", '
    b'"data": {"caseId": "c", "a": 1e999999, "b": 123456789012345678901234567890.000000001}}',
    b'{"id": "first", "id": "odd-twice", "eventType": "CASE_UPDATED", "data": {"caseId": "c"}}',
    event(id="odd-no-data", data=None),
    event(id="odd-type", eventType="SOMETHING_NEW", data={"anything": [1]}),
    event(id="odd-type-nul", eventType="NEW\0", data={}),
    event(id="odd-type-kind", eventType=["CASE_UPDATED"], data={}),
    event(id="odd-time", timeStamp="0001-01-01T00:00:00+14:00"),
    event(id="odd-time-kind", timeStamp={"a": 1}),
    event(id="odd-case", data={"caseId": ["not", "a", "text"]}),
    event(id="odd-words", data={"caseId": "\N{SNOWMAN}" * 200, "orgId": "ä" * 200}),
    event(id="odd-' OR 1=1; --", data={"caseId": "'; DROP TABLE events; --"}),
)


@dataclass
class House:
    """A door as a process, with its stores."""

    door: DoorProcess
    settings: Settings


@pytest.fixture
def house(redis_url: str, sqlite_url: str, tmp_path: Path) -> Iterator[House]:
    """Open a door on a clean Redis and SQLite."""
    with house_of(redis_url, sqlite_url, tmp_path) as opened:
        yield opened


@contextlib.contextmanager
def house_of(redis_url: str, database_url: str, tmp_path: Path) -> Iterator[House]:
    """Open a door as a process on these stores."""
    migrated(database_url, tmp_path)
    door = DoorProcess(
        tmp_path,
        AMILI_REDIS_URL=redis_url,
        AMILI_DATABASE_URL=database_url,
        AMILI_DATA_DIR=tmp_path / "data",
        AMILI_WEBHOOK_SECRETS=SECRET,
        AMILI_BODY_TIMEOUT_SECONDS=1,
    )
    with door:
        yield House(door, settings_for(redis_url, database_url, tmp_path / "data"))


def send(door: Knocker, bad: Bad) -> Reply:
    """Send one bad request."""
    return door.ask(bad.method, PATH, bad.body, bad.headers)


def waiting(settings: Settings) -> int:
    """Count what the door has kept, in both stores."""
    client = connect(settings.redis_url)
    try:
        return int(client.xlen("amili:inbox")) + spooled(settings)
    finally:
        client.connection_pool.disconnect()


def raw(door: Knocker, request: bytes, more: bytes = b"", pause: float = 0) -> bytes:
    """Send bytes as they are, and read until the door says something whole or hangs up."""
    with socket.create_connection(("127.0.0.1", door.port), timeout=20) as line:
        line.sendall(request)
        if more:
            time.sleep(pause)
            with contextlib.suppress(OSError):
                line.sendall(more)
        answer = http.client.HTTPResponse(line)
        answer.begin()
        return str(answer.status).encode() + b" " + answer.read()


def head(body: bytes, *lines: str, length: int | None = None) -> bytes:
    """Write the head of a signed POST by hand."""
    fixed = [
        f"POST {PATH} HTTP/1.1",
        "Host: door",
        "Content-Type: application/json",
        f"X-Webhook-Signature: {signed(body)['X-Webhook-Signature']}",
        *([] if length is None else [f"Content-Length: {length}"]),
        *lines,
    ]
    return "\r\n".join(fixed).encode() + b"\r\n\r\n"


def chunked(body: bytes, size: int = 60_000) -> bytes:
    """Write a body in chunks."""
    parts = [body[at : at + size] for at in range(0, len(body), size)]
    return b"".join(b"%x\r\n%s\r\n" % (len(part), part) for part in parts) + b"0\r\n\r\n"


def refused(house: House, bad: Bad) -> None:
    """See one bad request refused and counted, its reason kept to ourselves."""
    door = house.door
    before = door.counted("amili_webhooks_total", outcome=bad.outcome)
    told = door.counted("amili_signature_failures_total", reason=bad.reason)
    reply = send(door, bad)
    assert (bad.name, reply.status) == (bad.name, bad.status)
    assert reply.is_problem, bad.name
    assert SECRET.encode() not in reply.body
    now = door.counted("amili_webhooks_total", outcome=bad.outcome)
    assert (bad.name, now) == (bad.name, before + 1)
    if bad.status == 401:
        after = door.counted("amili_signature_failures_total", reason=bad.reason)
        assert (bad.name, after) == (bad.name, told + 1)
        assert bad.reason.encode() not in reply.body
        assert reply.headers["www-authenticate"]
    if bad.status == 405:
        assert reply.headers["allow"] == "POST"


def welcomed(house: House) -> None:
    """See what is odd but whole accepted, and a good one after it."""
    for body in ODD:
        reply = house.door.deliver(body)
        assert (reply.status, reply.json["status"]) == (202, "accepted"), body[:60]
    assert house.door.deliver(GOOD).json == {"status": "accepted", "eventId": "the-good-one"}
    assert waiting(house.settings) == len(ODD) + 1


def kept(house: House) -> None:
    """See each of them in SQL, and nothing of their content in the log."""
    assert drained(house.settings) == len(ODD) + 1
    assert waiting(house.settings) == 0
    found = {row.event_id: row for row in rows(house.settings)}
    assert len(found) == len(ODD) + 1
    assert found["the-good-one"].state == "received"
    assert found["odd-twice"].entity == "case:c"
    assert found["odd-type"].outcome == "unknown_type"
    assert found["odd-case"].state == "dead"
    said = house.door.said
    assert "Traceback" not in said
    assert '"reason": "no_secret_matched"' in said
    assert GOOD.decode() not in said
    assert "case-1" not in said


class TestEachHasItsAnswer:
    def test_all_of_them_then_a_good_one(
        self, redis_url: str, database_url: str, tmp_path: Path
    ) -> None:
        """Each bad request has its status, its count and its reason; then a good one goes well."""
        with house_of(redis_url, database_url, tmp_path) as house:
            for bad in BAD:
                refused(house, bad)
            assert waiting(house.settings) == 0
            welcomed(house)
            kept(house)

    def test_two_signature_headers(self, house: House) -> None:
        """Two signatures prove nothing, even when both are right."""
        line = f"X-Webhook-Signature: {signed(GOOD)['X-Webhook-Signature']}"
        answer = raw(house.door, head(GOOD, line, length=len(GOOD)) + GOOD)
        assert answer.startswith(b"401 ")
        assert b"ambiguous" not in answer
        assert house.door.counted("amili_signature_failures_total", reason="ambiguous") == 1
        assert waiting(house.settings) == 0

    def test_large_body_in_chunks(self, house: House) -> None:
        """Without a Content-Length the bound holds as well, also for a body without an end."""
        start = head(LARGE, "Transfer-Encoding: chunked")
        assert raw(house.door, start + chunked(LARGE)).startswith(b"413 ")
        endless = chunked(b"x" * (6 * 1024 * 1024))[: -len(b"0\r\n\r\n")]
        assert raw(house.door, start, endless).startswith(b"413 ")
        assert waiting(house.settings) == 0
        assert house.door.counted("amili_webhooks_total", outcome="too_large") == 2

    def test_good_body_in_chunks(self, house: House) -> None:
        """A good body may come in many small pieces."""
        answer = raw(house.door, head(GOOD, "Transfer-Encoding: chunked") + chunked(GOOD, 3))
        assert answer.startswith(b"202 ")

    def test_slow_body(self, house: House) -> None:
        """A body that does not arrive is answered 408, and the door still listens."""
        answer = raw(house.door, head(GOOD, length=len(GOOD)) + GOOD[:20])
        assert answer.startswith(b"408 ")
        assert json.loads(answer[4:])["status"] == 408
        assert house.door.counted("amili_webhooks_total", outcome="too_slow") == 1
        assert house.door.deliver(GOOD).status == 202

    def test_sender_hangs_up(self, house: House) -> None:
        """Who hangs up in the middle is counted, and leaves neither a row nor a traceback."""
        with socket.create_connection(("127.0.0.1", house.door.port)) as line:
            line.sendall(head(GOOD, length=len(GOOD)) + GOOD[:20])
        door = house.door
        assert door.deliver(event()).status == 202
        until = time.monotonic() + 10
        while not door.counted("amili_webhooks_total", outcome="disconnected"):
            assert time.monotonic() < until
        assert waiting(house.settings) == 1
        assert "Traceback" not in door.said

    def test_expect_100(self, house: House) -> None:
        """A sender that asks first is told to go on."""
        with socket.create_connection(("127.0.0.1", house.door.port), timeout=20) as line:
            line.sendall(head(GOOD, "Expect: 100-continue", length=len(GOOD)))
            assert line.recv(100).startswith(b"HTTP/1.1 100 ")
            line.sendall(GOOD)
            assert line.recv(1000).startswith(b"HTTP/1.1 202 ")

    def test_broken_http(self, house: House) -> None:
        """What is not HTTP at all is answered 400, and the door still listens."""
        for request in (
            b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n",
            b"POST /webhooks/amili HTTP/1.1\r\nHost: a\r\nContent-Length: \xb2\r\n\r\n",
            b"POST /webhooks/amili HTTP/1.1\r\nHost: a\r\nContent-Length: -5\r\n\r\n",
        ):
            assert raw(house.door, request).startswith(b"400 ")
        assert house.door.deliver(GOOD).status == 202
        assert "Traceback" not in house.door.said


class TestHeaders:
    @pytest.mark.parametrize(
        "kind",
        [
            "application/json",
            "application/json; charset=utf-8",
            "APPLICATION/JSON",
            "application/cloudevents+json",
        ],
    )
    def test_json_by_other_names(
        self, kind: str, redis_url: str, sqlite_url: str, tmp_path: Path
    ) -> None:
        """Every spelling of JSON's content type is JSON."""
        migrated(sqlite_url, tmp_path)
        with DoorThread(settings_for(redis_url, sqlite_url, tmp_path)) as door:
            assert door.deliver(GOOD, Content_Type=kind).status == 202

    def test_event_header_by_another_name(
        self,
        redis_url: str,
        sqlite_url: str,
        tmp_path: Path,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        """Where Amili calls its headers otherwise, the settings say so; drain and door agree."""
        monkeypatch.setenv("AMILI_EVENT_HEADER", "X-Other-Event")
        monkeypatch.setenv("AMILI_IDEMPOTENCY_HEADER", "X-Other-Key")
        migrated(sqlite_url, tmp_path)
        settings = settings_for(redis_url, sqlite_url, tmp_path)
        body = event(eventType=None)
        with DoorThread(settings) as door:
            reply = door.deliver(body, X_Other_Event="CASE_CREATED", X_Other_Key="key-1")
            assert reply.status == 202
        assert drained(settings) == 1
        (row,) = rows(settings)
        assert (row.type, row.idempotency_key, row.state) == ("CASE_CREATED", "key-1", "received")

    def test_odd_headers_are_cleaned(
        self, redis_url: str, database_url: str, tmp_path: Path
    ) -> None:
        """Headers too long or not printable harm neither the door nor the drain."""
        migrated(database_url, tmp_path)
        settings = settings_for(redis_url, database_url, tmp_path)
        with DoorThread(settings) as door:
            reply = door.deliver(GOOD, IdempotencyKey="\xa0\xad" + "k" * 5000, User_Agent="\xff")
            assert reply.status == 202
        assert drained(settings) == 1
        (row,) = rows(settings)
        assert row.state == "received"
        assert row.idempotency_key == "??" + "k" * 198


json_values: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)


def test_no_authentic_body_breaks_the_house(
    redis_url: str, database_url: str, tmp_path: Path
) -> None:
    """Whatever an authentic body says: 202 and a row, or 400 and none; never anything else."""
    migrated(database_url, tmp_path)
    config = settings_for(redis_url, database_url, tmp_path)
    accepted: set[bytes] = set()
    members = st.fixed_dictionaries(
        {},
        optional={
            "id": json_values,
            "type": json_values,
            "eventType": st.sampled_from(["CASE_UPDATED", "BATCH_COMPLETED"]) | json_values,
            "timeStamp": json_values,
            "data": st.dictionaries(
                st.sampled_from(["caseId", "batchId", "orgId", "caseNumber", "invoices", "status"])
                | st.text(),
                json_values,
                max_size=6,
            )
            | json_values,
        },
    )

    @settings(
        max_examples=120, deadline=None, suppress_health_check=list(HealthCheck), database=None
    )
    @given(st.binary(max_size=60) | members)
    def knock(made: bytes | dict[str, Any]) -> None:
        body = made if isinstance(made, bytes) else json.dumps(envelope(**made)).encode()
        reply = door.deliver(body)
        assert reply.status in (202, 400)
        if reply.status == 202:
            accepted.add(body)
        else:
            assert reply.is_problem

    with DoorThread(config) as door:
        knock()
    drained(config)
    assert len(rows(config)) == len(accepted)
    assert waiting(config) == 0


@pytest.mark.parametrize(
    ("scope", "straight"),
    [
        ({"type": "http", "path": PATH, "root_path": ""}, True),
        ({"type": "http", "path": f"/sub{PATH}", "root_path": "/sub"}, True),
        ({"type": "http", "path": f"/sub{PATH}", "root_path": ""}, False),
        ({"type": "http", "path": f"{PATH}/", "root_path": ""}, False),
        ({"type": "websocket", "path": PATH, "root_path": ""}, False),
        ({"type": "lifespan"}, False),
    ],
)
def test_what_goes_straight_to_the_door(scope: dict[str, str], straight: bool) -> None:
    """Webhooks only, under whatever root path a server was told; the rest goes to the router."""
    went = []

    async def endpoint(*_: Any) -> None:
        went.append("endpoint")

    async def router(*_: Any) -> None:
        went.append("router")

    async def nothing(*_: Any) -> Any:
        return {}

    asyncio.run(Straight(router, endpoint)(scope, nothing, nothing))
    assert went == ["endpoint" if straight else "router"]
