"""The store epoch on real stores: after a restore nothing that Amili repeats is left out."""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import redis

from service.desk.epoch import Finding, keep_in_step
from service.domain.deliveries import digest_of
from service.inbox import epoch as in_redis
from service.inbox import keys
from service.redis import connect
from service.settings import Settings
from service.store import epoch as in_sql
from service.store import schema
from service.store.database import Database
from tests.doors import (
    DoorThread,
    drained,
    event,
    migrated,
    opened_database,
    rows,
    settings_for,
    worker,
)
from workers.drain import drain, drain_stream
from workers.sweeping import Sweeper


@pytest.fixture
def client(redis_url: str) -> Iterator[redis.Redis]:
    """Give a client of the clean Redis."""
    made = connect(redis_url)
    yield made
    made.connection_pool.disconnect()


@pytest.fixture
def settings(redis_url: str, database_url: str, tmp_path: Path) -> Settings:
    """Name both stores, the database on either kind."""
    migrated(database_url, tmp_path)
    return settings_for(redis_url, database_url, tmp_path)


def look(settings: Settings, client: redis.Redis) -> Finding:
    """Compare both sides once."""
    with opened_database(settings) as database:
        return keep_in_step(database, client)


def lose(settings: Settings, digests: list[bytes]) -> None:
    """Let the database be as it was before these bodies came, as a restore does."""
    with opened_database(settings) as database, database.begin() as tx:
        for digest in digests:
            for table in (schema.events, schema.event_keys):
                tx.execute(table.delete().where(table.c.digest == digest))


def epochs(settings: Settings, client: redis.Redis) -> tuple[str | None, str | None]:
    """Return the ids of SQL and of Redis."""
    with opened_database(settings) as database, database.read() as tx:
        return in_sql.current(tx), in_redis.read(client).epoch


def deliver(settings: Settings, *bodies: bytes) -> list[int]:
    """Deliver through a real door, and drain; return the statuses."""
    with DoorThread(settings) as door:
        statuses = [door.deliver(body).status for body in bodies]
    drained(settings)
    return statuses


def test_both_sides_have_one_epoch(settings: Settings, client: redis.Redis) -> None:
    """The first drain makes the epoch on both sides; looking then changes nothing."""
    assert deliver(settings, event(), event()) == [202, 202]
    in_database, in_cache = epochs(settings, client)
    assert in_database
    assert in_database == in_cache
    assert look(settings, client) == Finding()
    assert epochs(settings, client) == (in_database, in_database)


def test_the_first_look_makes_it(settings: Settings, client: redis.Redis) -> None:
    """Without a drain the first look writes the epoch on both sides."""
    assert look(settings, client) == Finding(is_adopted=True)
    in_database, in_cache = epochs(settings, client)
    assert in_database
    assert in_database == in_cache


def test_a_restored_sqlite_file(redis_url: str, sqlite_url: str, tmp_path: Path) -> None:
    """After an older copy of the file is put back, the same body is stored again, not left out."""
    migrated(sqlite_url, tmp_path)
    settings = settings_for(redis_url, sqlite_url, tmp_path)
    file, copy = tmp_path / "amili.db", tmp_path / "copy.db"
    first, second = event(), event()
    deliver(settings, first)
    checkpoint(file)
    shutil.copy(file, copy)
    deliver(settings, second)
    checkpoint(file)
    for path in tmp_path.glob("amili.db*"):
        path.unlink()
    shutil.copy(copy, file)
    with worker(settings) as parts:
        assert Sweeper(parts).sweep()
        counted = parts.metrics.page().decode()
    assert 'amili_epoch_repairs_total{reason="lost_events"} 1.0' in counted
    deliver(settings, first, second)
    assert [bytes(row.digest) for row in rows(settings)] == [digest_of(first), digest_of(second)]


def checkpoint(file: Path) -> None:
    """Move what is in SQLite's log into its file, so that the file alone is a copy."""
    connection = sqlite3.connect(file)
    connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    connection.close()


def test_lost_rows_are_seen(settings: Settings, client: redis.Redis) -> None:
    """A database that lacks what Redis saw committed is told, though its id is the same."""
    kept, gone = event(), event()
    deliver(settings, kept)
    deliver(settings, gone)
    before, _ = epochs(settings, client)
    lose(settings, [digest_of(gone)])
    newer = event()  # its row takes the number of the lost one
    commit_unseen(settings, newer)
    found = look(settings, client)
    assert (found.reason, found.cleared) == ("lost_events", 3)
    after, in_cache = epochs(settings, client)
    assert after == in_cache != before
    assert not client.keys(keys.SEEN_PATTERN)
    assert look(settings, client) == Finding()
    deliver(settings, kept, gone, newer)
    assert {bytes(row.digest) for row in rows(settings)} == {
        digest_of(body) for body in (kept, gone, newer)
    }


def commit_unseen(settings: Settings, *bodies: bytes) -> None:
    """Commit each body as a group of its own, in a worker that compared before the restore."""
    with DoorThread(settings) as door, worker(settings) as parts:
        with parts.database.read() as tx:
            parts.stream.epoch = in_sql.current(tx) or ""
        for body in bodies:
            door.deliver(body)
            assert drain_stream(parts) == 1


def test_a_drain_compares_before_it_marks(settings: Settings, client: redis.Redis) -> None:
    """However much is drained after a restore before a sweeper looks, the loss is seen first."""
    kept, gone = event(), event()
    deliver(settings, kept)
    deliver(settings, gone)
    before, _ = epochs(settings, client)
    lose(settings, [digest_of(gone)])
    client.delete(keys.SPACED_WITNESSES)
    newer = event()
    with DoorThread(settings) as door, worker(settings) as parts:
        door.deliver(newer)
        assert drain(parts) == 1
        counted = parts.metrics.page().decode()
    assert 'amili_epoch_repairs_total{reason="lost_events"} 1.0' in counted
    assert epochs(settings, client)[0] != before
    assert client.keys(keys.SEEN_PATTERN) == [keys.seen(digest_of(newer)).encode()]
    deliver(settings, gone)
    assert digest_of(gone) in {bytes(row.digest) for row in rows(settings)}


def test_a_witness_of_each_hour_stays(settings: Settings, client: redis.Redis) -> None:
    """A loss is still seen when the newest witnesses all came after the restore."""
    gone = event()
    deliver(settings, gone)
    lose(settings, [digest_of(gone)])
    commit_unseen(settings, *(event() for _ in range(keys.MOST_WITNESSES)))
    assert digest_of(gone) not in client.lrange(keys.WITNESSES, 0, -1)
    assert client.lrange(keys.SPACED_WITNESSES, 0, -1) == [digest_of(gone)]
    assert look(settings, client).reason == "lost_events"


def test_witnesses_of_the_hours_cover_the_keys(settings: Settings, client: redis.Redis) -> None:
    """One is added each hour, and as many are kept as the door's keys live."""
    assert keys.MOST_SPACED * keys.SPACE_MS >= keys.SEEN_MS
    with worker(settings) as parts:
        parts.stream.epoch = parts.database.run(in_sql.ensure)
        for number in range(keys.MOST_SPACED + 5):
            client.delete(keys.SPACE)  # an hour is over
            parts.stream.mark_settled([digest_of(b"%d" % number)])
            parts.stream.mark_settled([digest_of(b"%d again" % number)])
    spaced = client.lrange(keys.SPACED_WITNESSES, 0, -1)
    newest = [digest_of(b"%d" % n) for n in range(5, keys.MOST_SPACED + 5)]
    assert spaced == newest[::-1]
    assert 0 < client.pttl(keys.SPACED_WITNESSES) <= keys.SEEN_MS
    assert 0 < client.pttl(keys.SPACE) <= keys.SPACE_MS


def test_another_database(
    redis_url: str, settings: Settings, client: redis.Redis, tmp_path: Path
) -> None:
    """A new database behind the same Redis gets what the old one had, when it comes again."""
    body = event()
    deliver(settings, body)
    url = f"sqlite:///{tmp_path / 'another.db'}"
    migrated(url, tmp_path)
    other = settings_for(redis_url, url, tmp_path)
    found = look(other, client)
    assert (found.reason, found.cleared) == ("other_database", 1)
    deliver(other, body)
    assert [bytes(row.digest) for row in rows(other)] == [digest_of(body)]


def test_a_flushed_redis_is_told(settings: Settings, client: redis.Redis) -> None:
    """A Redis that lost everything is only told the epoch."""
    deliver(settings, event())
    before, _ = epochs(settings, client)
    client.flushdb()
    assert look(settings, client) == Finding(is_adopted=True)
    assert epochs(settings, client) == (before, before)


def test_old_events_may_go(settings: Settings, client: redis.Redis) -> None:
    """Deleting old events is no restore: the bodies' digests stay."""
    deliver(settings, event())
    with opened_database(settings) as database, database.begin() as tx:
        tx.execute(schema.events.delete())
    assert look(settings, client) == Finding()


def test_late_marks_of_lost_rows_are_refused(settings: Settings, client: redis.Redis) -> None:
    """Who committed before the restore and marks after the clearing does not hide the loss."""
    first, late = event(), event()
    deliver(settings, first)
    with DoorThread(settings) as door:
        door.deliver(late)
    with worker(settings) as slow:
        commit = slow.database.run
        finding: list[Finding] = []

        def restored_in_between(work: Callable[..., object], tries: int = 5) -> object:
            done = commit(work, tries)
            lose(settings, [digest_of(first), digest_of(late)])
            finding.append(look(settings, client))
            return done

        object.__setattr__(slow.database, "run", restored_in_between)
        drain(slow, most=1)
    assert finding[0].reason == "lost_events"
    assert not client.exists(keys.seen(digest_of(late)))
    assert deliver(settings, late, first) == [202, 202]
    assert len(rows(settings)) == 2


def test_clearing_is_finished_by_the_next(settings: Settings, client: redis.Redis) -> None:
    """A process that died while it cleared leaves the rest to whoever looks next."""
    deliver(settings, event(), event())
    with opened_database(settings) as database:
        epoch = database.run(in_sql.ensure)
    next(in_redis.clear(client, epoch))
    client.set(keys.seen(digest_of(b"left")), "stored")
    found = look(settings, client)
    assert found.reason == "unfinished"
    assert not client.keys(keys.SEEN_PATTERN)
    assert in_redis.read(client) == in_redis.Known(epoch, False, ())


def test_a_drain_during_the_clearing(settings: Settings, client: redis.Redis) -> None:
    """What is committed under the new epoch while the keys go is marked, and witnessed."""
    deliver(settings, event())
    with opened_database(settings) as database:
        steps = in_redis.clear(client, database.run(in_sql.ensure))
        next(steps)
        body = event()
        commit_unseen(settings, body)
        assert client.get(keys.seen(digest_of(body))) == b"stored"
        list(steps)
    assert look(settings, client) == Finding()


def test_two_look_at_once(settings: Settings, client: redis.Redis) -> None:
    """Of two that see the same difference one renews; the other's look changes nothing more."""
    deliver(settings, event())
    with opened_database(settings) as database:
        epoch = database.run(in_sql.ensure)
        made = database.run(lambda tx: in_sql.renew(tx, epoch))
        assert made
        assert database.run(lambda tx: in_sql.renew(tx, epoch)) is None
    assert look(settings, client).reason == "other_database"
    assert look(settings, client) == Finding()


def test_only_the_last_groups_are_witnesses(settings: Settings, client: redis.Redis) -> None:
    """The list of witnesses is bounded, and ends with the keys themselves."""
    with worker(settings) as parts:
        parts.stream.epoch = parts.database.run(in_sql.ensure)
        for number in range(keys.MOST_WITNESSES + 10):
            parts.stream.mark_settled([digest_of(b"%d" % number)])
    assert client.llen(keys.WITNESSES) == keys.MOST_WITNESSES
    assert 0 < client.pttl(keys.WITNESSES) <= keys.SEEN_MS


def test_clearing_leaves_the_rest(settings: Settings, client: redis.Redis) -> None:
    """Only the door's keys go, however many: the stream and the queues stay."""
    deliver(settings, event())
    with client.pipeline() as pipe:
        for number in range(5_000):
            pipe.set(keys.seen(digest_of(b"%d" % number)), "stored")
        pipe.execute()
    client.xadd(keys.STREAM, {"body": b"x"})
    client.set("rq:queue:x", "1")
    client.set(keys.EPOCH, "of-another-database")
    found = look(settings, client)
    assert (found.reason, found.cleared) == ("other_database", 5_001)
    assert client.xlen(keys.STREAM) == 1
    assert client.exists("rq:queue:x")


def test_the_sweeper_survives_a_redis_that_is_away(
    sqlite_url: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Without Redis a round of the sweeper is done all the same."""
    migrated(sqlite_url, tmp_path)
    with worker(settings_for("redis://127.0.0.1:1/0", sqlite_url, tmp_path)) as parts:
        assert Sweeper(parts).sweep()
        assert leases_held(parts.database) == 1


def leases_held(database: Database) -> int:
    """Count the leases."""
    with database.read() as tx:
        return len(tx.execute(schema.leases.select()).all())
