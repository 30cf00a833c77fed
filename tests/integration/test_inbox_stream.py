"""The inbox in Redis, against a real one: what was answered does not get lost."""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import redis
from redis.exceptions import ResponseError

from service.domain.deliveries import Delivery, digest_of
from service.embedded import EmbeddedRedis
from service.inbox import keys, stream
from service.inbox.appending import Appended, Appender
from service.inbox.stream import Stream
from service.redis import connect
from service.settings import Settings
from service.store import spool
from tests.doors import DoorThread, drained, event, migrated, rows, settings_for, worker
from workers.drain import drain

AT = datetime(2026, 3, 1, 12, tzinfo=UTC)


def delivery(body: bytes) -> Delivery:
    """Make a delivery of this body."""
    return Delivery(digest_of(body), body, {"user-agent": "test"}, AT)


def append(url: str, *bodies: bytes) -> Appended:
    """Append one group, as the door does."""

    async def run() -> Appended:
        appender = Appender(url, demand="disk")
        try:
            return await appender.append([delivery(body) for body in bodies])
        finally:
            await appender.close()

    return asyncio.run(run())


@pytest.fixture
def client(redis_url: str) -> Iterator[redis.Redis]:
    """Give a client of the clean Redis."""
    made = connect(redis_url)
    yield made
    made.connection_pool.disconnect()


@pytest.fixture
def sqlite(redis_url: str, sqlite_url: str, tmp_path: Path) -> Settings:
    """Migrate a SQLite and name both stores."""
    migrated(sqlite_url, tmp_path)
    return settings_for(redis_url, sqlite_url, tmp_path)


def pending(client: redis.Redis) -> int:
    """Count the entries in somebody's hands."""
    summary: Any = client.xpending(keys.STREAM, keys.GROUP)
    return int(summary["pending"])


class TestAppending:
    def test_states_and_bell(self, redis_url: str, client: redis.Redis) -> None:
        """New, seen, stored and settled are told apart in one group, and the bell rings once."""
        stored, settled = digest_of(b"stored"), digest_of(b"settled")
        client.set(keys.seen(stored), "stored", px=1000)
        client.set(keys.seen(settled), "settled", px=1000)
        assert append(redis_url, b"a", b"a", b"stored", b"settled") == Appended(
            ("new", "seen", "stored", "settled"), ring=True
        )
        assert append(redis_url, b"b") == Appended(("new",), ring=False)
        assert client.xlen(keys.STREAM) == 3
        assert client.pttl(keys.seen(stored)) > 1_000_000  # every path writes

    def test_nothing_to_append_rings_nobody(self, redis_url: str, client: redis.Redis) -> None:
        """Duplicates of what is stored ring no bell."""
        client.set(keys.seen(digest_of(b"stored")), "stored")
        assert append(redis_url, b"stored") == Appended(("stored",), ring=False)
        assert not client.exists(keys.BELL, keys.STREAM)

    def test_bytes_survive(self, redis_url: str, client: redis.Redis) -> None:
        """Bodies are bytes: NUL, line ends and broken UTF-8 come back as they were."""
        body = bytes(range(256)) + b"\r\n\0"
        append(redis_url, body)
        (entry,) = Stream(client, "one").take(10)
        assert entry.delivery is not None
        assert entry.delivery == delivery(body)

    def test_script_is_loaded_again(self, redis_url: str, client: redis.Redis) -> None:
        """A Redis that forgot its scripts gets them again on the same connection."""

        async def run() -> tuple[str, ...]:
            appender = Appender(redis_url, demand="disk")
            await appender.append([delivery(b"a")])
            client.script_flush()
            client.flushall()
            done = await appender.append([delivery(b"a")])
            await appender.close()
            return done.states

        assert asyncio.run(run()) == ("new",)
        assert client.xlen(keys.STREAM) == 1

    def test_check_that_breaks(
        self, redis_url: str, client: redis.Redis, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Whatever error the check of a new connection ends with, nothing is written over it."""

        async def broken(*words: Any) -> Any:
            raise LookupError

        monkeypatch.setattr(Appender, "_read_config", broken)

        async def run() -> None:
            appender = Appender(redis_url, demand="disk")
            for _ in range(4):
                with pytest.raises(LookupError):
                    await appender.append([delivery(b"a")])
                with pytest.raises(LookupError):
                    await appender.probe()
            await appender.close()

        asyncio.run(run())
        assert client.keys() == []

    def test_most_of_a_group(self, redis_url: str, client: redis.Redis) -> None:
        """A full group of 128 goes in one step, in its order."""
        bodies = [b"%d" % number for number in range(128)]
        assert append(redis_url, *bodies).states == ("new",) * 128
        taken = Stream(client, "one").take(500)
        assert [e.delivery.body for e in taken if e.delivery] == bodies


class TestTaking:
    def test_group_is_made_again(self, redis_url: str, client: redis.Redis) -> None:
        """Without a group, also one that vanished, everything is read from the start."""
        one = Stream(client, "one")
        assert one.take(10) == []
        append(redis_url, b"a")
        client.xgroup_destroy(keys.STREAM, keys.GROUP)
        assert len(one.take(10)) == 1
        client.flushall()
        append(redis_url, b"b")
        assert [e.delivery.body for e in one.take(10) if e.delivery] == [b"b"]

    def test_unfinished_first(self, redis_url: str, client: redis.Redis) -> None:
        """What a consumer was given and never finished comes to it again, before anything new."""
        one = Stream(client, "one")
        append(redis_url, b"a")
        assert len(one.take(10)) == 1
        append(redis_url, b"b")
        again = Stream(client, "one").take(10)
        assert [e.delivery.body for e in again if e.delivery] == [b"a"]
        one.done(again, [])
        assert [e.delivery.body for e in one.take(10) if e.delivery] == [b"b"]

    def test_dead_consumer(
        self, redis_url: str, client: redis.Redis, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Entries of a consumer that is gone are claimed by another, not before their time."""
        append(redis_url, b"a")
        assert len(Stream(client, "dead").take(10)) == 1
        heir = Stream(client, "heir")
        assert heir.take(10) == []
        monkeypatch.setattr(stream, "IDLE_MS", 0)
        (claimed,) = heir.take(10)
        heir.done([claimed], [])
        assert (client.xlen(keys.STREAM), pending(client)) == (0, 0)

    def test_stray(
        self, redis_url: str, client: redis.Redis, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """An old entry that the group has passed by is found by its id."""
        append(redis_url, b"a")
        client.xgroup_create(keys.STREAM, keys.GROUP, id="$")
        one = Stream(client, "one")
        assert one.take(10) == []
        monkeypatch.setattr(stream, "STRAY_MS", -1000)
        found = one.take(10)
        assert [e.delivery.body for e in found if e.delivery] == [b"a"]
        one.done(found, [])
        assert one.take(10) == []

    def test_deleted_while_pending(self, redis_url: str, client: redis.Redis) -> None:
        """An entry deleted under a consumer's hands is let go, and holds up nothing."""
        append(redis_url, b"a", b"b")
        one = Stream(client, "one")
        first, _ = one.take(10)
        client.xdel(keys.STREAM, first.id)
        again = one.take(10)
        assert [entry.delivery is None for entry in again] == [True, False]
        one.done(again, [])
        assert (client.xlen(keys.STREAM), pending(client)) == (0, 0)

    def test_two_consumers_share(self, redis_url: str, client: redis.Redis) -> None:
        """Two consumers never get the same new entry."""
        append(redis_url, *(b"%d" % number for number in range(20)))
        one, two = Stream(client, "one").take(15), Stream(client, "two").take(15)
        assert len(one) == 15
        assert len(two) == 5
        assert not {e.id for e in one} & {e.id for e in two}

    def test_wrong_kind_of_key_is_told(self, client: redis.Redis) -> None:
        """A stream's name taken by something else is an error, not an empty stream."""
        client.set(keys.STREAM, "text")
        with pytest.raises(ResponseError, match="WRONGTYPE"):
            Stream(client, "one").take(10)


class TestLettingGo:
    def test_keys_tell_what_became_of_it(self, redis_url: str, client: redis.Redis) -> None:
        """After the commit an entry is gone for good and its key says how far it got."""
        append(redis_url, b"a", b"b")
        one = Stream(client, "one")
        one.done(one.take(10), [digest_of(b"b")])
        assert client.get(keys.seen(digest_of(b"a"))) == b"stored"
        assert client.get(keys.seen(digest_of(b"b"))) == b"settled"
        assert append(redis_url, b"a", b"b").states == ("stored", "settled")
        assert client.xlen(keys.STREAM) == 0

    def test_consumer_with_entries_stays(
        self, redis_url: str, client: redis.Redis, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Only a consumer that holds nothing is forgotten; the other's entry is still claimed."""
        append(redis_url, b"a")
        Stream(client, "holds").take(10)
        one = Stream(client, "idle")
        one.take(10)
        one.forget_consumers(idle_ms=-1)
        names = {consumer["name"] for consumer in client.xinfo_consumers(keys.STREAM, keys.GROUP)}
        assert names == {b"holds"}
        monkeypatch.setattr(stream, "IDLE_MS", 0)
        assert len(Stream(client, "heir").take(10)) == 1

    def test_nothing_to_forget(self, client: redis.Redis) -> None:
        """Without stream or group there is nothing to forget, and no error."""
        Stream(client, "one").forget_consumers(idle_ms=-1)

    def test_backlog(self, redis_url: str, client: redis.Redis) -> None:
        """The backlog counts entries that are given out but not in SQL."""
        one = Stream(client, "one")
        assert one.backlog() == (0, 0.0)
        append(redis_url, b"a", b"b")
        one.take(1)
        count, age = one.backlog()
        assert count == 2
        assert 0 <= age < 60

    def test_full_redis_is_emptied(
        self, own_redis: EmbeddedRedis, sqlite_url: str, tmp_path: Path
    ) -> None:
        """A Redis that is full refuses new keys, but what it holds still gets out, into SQL."""
        migrated(sqlite_url, tmp_path)
        settings = settings_for(own_redis.url, sqlite_url, tmp_path)
        append(own_redis.url, *(event() for _ in range(5)))
        client = connect(own_redis.url)
        client.xgroup_create(keys.STREAM, keys.GROUP, id="0")  # as a running worker has done
        client.config_set("maxmemory", "1")
        assert drained(settings) == 5
        assert client.xlen(keys.STREAM) == 0
        assert len(rows(settings)) == 5
        client.connection_pool.disconnect()


FOREIGN: list[dict[Any, Any]] = [{"hello": "world"}, {"headers": "{}", "at": AT.isoformat()}]
#: A body, with what another version of the door may have put beside it.
STRANGE: list[dict[Any, Any]] = [
    {"body": "x"},
    {"body": "x", "headers": "[]", "at": AT.isoformat()},
    {"body": "x", "headers": '{"idempotencykey": 5}', "at": AT.isoformat()},
    {"body": "x", "headers": '{"idempotencykey": "a\\u0000b"}', "at": AT.isoformat()},
    {"body": "x", "headers": "[" * 100_000, "at": AT.isoformat()},
    {"body": "x", "headers": "{}", "at": "yesterday"},
    {"body": "x", "headers": "{}", "at": b"\xff\xff"},
    {"body": "x", "headers": "{}", "at": "0001-01-01T00:00:00+14:00"},
    {"body": "", "headers": b"\xff", "at": ""},
]


def test_foreign_entries_are_let_go(redis_url: str, database_url: str, tmp_path: Path) -> None:
    """What others write into the stream is let go, and holds up none of the door's."""
    migrated(database_url, tmp_path)
    settings = settings_for(redis_url, database_url, tmp_path)
    client = connect(redis_url)
    for fields in FOREIGN + STRANGE:
        client.xadd(keys.STREAM, fields)
    append(redis_url, event(id="ours"))
    assert drained(settings) == len(FOREIGN) + len(STRANGE) + 1
    # No body is let go of: each different one is a row, though nobody can read it.
    found = {row.event_id: row.state for row in rows(settings)}
    unreadable = {hashlib.sha256(body).hexdigest() for body in (b"x", b"")}
    assert found == {"ours": "received"} | dict.fromkeys(unreadable, "dead")
    assert (client.xlen(keys.STREAM), pending(client)) == (0, 0)
    client.connection_pool.disconnect()


def test_unreadable_body_is_kept(redis_url: str, database_url: str, tmp_path: Path) -> None:
    """A body that this version cannot read was answered 202 by another: it is kept, as dead."""
    migrated(database_url, tmp_path)
    settings = settings_for(redis_url, database_url, tmp_path)
    append(redis_url, b"\0not json", event(id="ours"))
    assert drained(settings) == 2
    assert {(row.type, row.state) for row in rows(settings)} == {
        ("UNREADABLE", "dead"),
        ("CASE_UPDATED", "received"),
    }


class TestDedup:
    def test_before_and_after(self, sqlite: Settings) -> None:
        """A duplicate is 202 until its event is settled, and then 200, with one row throughout."""
        body = event(id="twice")
        unknown = event(id="settled-at-once", eventType="NOBODY_KNOWS")
        with DoorThread(sqlite) as door:
            assert [door.deliver(body).status for _ in range(3)] == [202, 202, 202]
            assert drained(sqlite) == 3  # what is only seen is appended again
            reply = door.deliver(body)
            assert (reply.status, reply.json) == (202, {"status": "accepted", "eventId": "twice"})
            assert drained(sqlite) == 0  # what is stored is not
            assert door.deliver(unknown).status == 202
            drained(sqlite)
            reply = door.deliver(unknown)
            assert reply.status == 200
            assert reply.json == {"status": "duplicate", "eventId": "settled-at-once"}
            assert door.counted("amili_webhooks_total", outcome="duplicate") == 1
            assert door.counted("amili_webhooks_total", outcome="accepted") == 5
        assert len(rows(sqlite)) == 2

    def test_redis_forgets_and_sql_judges(self, sqlite: Settings, client: redis.Redis) -> None:
        """After FLUSHALL a duplicate is appended, judged by SQL, and its key tells the truth."""
        body = event(id="settled-at-once", eventType="NOBODY_KNOWS")
        with DoorThread(sqlite) as door:
            door.deliver(body)
            drained(sqlite)
            client.flushall()
            assert door.deliver(body).status == 202
            assert drained(sqlite) == 1
            assert door.deliver(body).status == 200
        assert len(rows(sqlite)) == 1

    def test_flushed_while_running(self, sqlite: Settings, client: redis.Redis) -> None:
        """FLUSHALL under a running door and worker: script, group and keys come back."""
        with DoorThread(sqlite) as door, worker(sqlite) as parts:
            for number in range(3):
                assert door.deliver(event(id=f"event-{number}")).status == 202
                assert drain(parts) == 1
                client.flushall()
            assert door.ready()[0] == 200
        assert len(rows(sqlite)) == 3

    def test_seen_but_not_stored(self, sqlite: Settings, client: redis.Redis) -> None:
        """A key without its entry must never swallow a delivery."""
        body = event()
        client.set(keys.seen(digest_of(body)), "seen")
        with DoorThread(sqlite) as door:
            assert door.deliver(body).status == 202
        assert drained(sqlite) == 1

    def test_variants(self, redis_url: str, database_url: str, tmp_path: Path) -> None:
        """The same id or key with another body: a row of its own, flagged and listed."""
        migrated(database_url, tmp_path)
        settings = settings_for(redis_url, database_url, tmp_path)
        bodies = [event(id="same", timeStamp=f"2026-03-01T12:00:0{n}Z") for n in range(3)]
        with DoorThread(settings) as door:
            assert door.deliver(bodies[0], IdempotencyKey="key").status == 202
            drained(settings)
            for body in bodies[1:]:
                assert door.deliver(body).status == 202
            assert door.deliver(event(id="other"), IdempotencyKey="key").status == 202
            drained(settings)
            shown = door.get("/events/same").json
            assert shown["eventId"] == "same"
            assert shown["isVariant"] is False
            assert shown["digest"] == digest_of(bodies[0]).hex()
            told = {variant["digest"] for variant in shown["variants"]}
            assert told == {digest_of(body).hex() for body in bodies[1:]}
            assert all(variant["isVariant"] for variant in shown["variants"])
            assert door.get("/events/other").json["isVariant"] is True
        assert len(rows(settings)) == 4

    def test_same_in_spool_and_stream(self, sqlite: Settings) -> None:
        """A delivery that reached both stores, since one was slow to say so, is one row."""
        body = event()
        append(sqlite.redis_url, body)
        with worker(sqlite) as parts:
            from_spool = delivery(body)
            parts.database.run(lambda tx: spool.add(tx, [from_spool]))
            assert drain(parts) == 2
        assert len(rows(sqlite)) == 1


def test_headers_are_json(redis_url: str, client: redis.Redis) -> None:
    """An entry is body, headers and time, each readable without this code."""
    append(redis_url, b"a")
    found: Any = client.xrange(keys.STREAM)
    ((_, fields),) = found
    assert fields[b"body"] == b"a"
    assert json.loads(fields[b"headers"]) == {"user-agent": "test"}
    assert datetime.fromisoformat(fields[b"at"].decode()) == AT
