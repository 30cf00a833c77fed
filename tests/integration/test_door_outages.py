"""What becomes of deliveries while Redis or the database is weak, full, frozen or gone."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import redis
from structlog.testing import capture_logs

from service.domain.deliveries import digest_of
from service.embedded import EmbeddedRedis, free_port
from service.redis import connect
from service.settings import Settings
from service.store import migrating
from tests.doors import (
    DoorProcess,
    DoorThread,
    Knocker,
    drained,
    event,
    eventually,
    migrated,
    opened_database,
    rows,
    settings_for,
    spooled,
)
from tests.servers import PostgresServer


@pytest.fixture
def settings(own_redis: EmbeddedRedis, sqlite_url: str, tmp_path: Path) -> Settings:
    """Name a migrated SQLite and this test's own Redis."""
    migrated(sqlite_url, tmp_path)
    return settings_for(own_redis.url, sqlite_url, tmp_path)


@contextmanager
def hand(server: EmbeddedRedis) -> Iterator[redis.Redis]:
    """Give a client of this server."""
    client = connect(server.url)
    try:
        yield client
    finally:
        client.connection_pool.disconnect()


def in_stream(server: EmbeddedRedis) -> set[bytes]:
    """Return the bodies in the stream."""
    with hand(server) as client:
        found: Any = client.xrange("amili:inbox")
        return {fields[b"body"] for _, fields in found}


def goes_to_redis(door: Knocker, server: EmbeddedRedis) -> bool:
    """Deliver once; tell whether Redis took it."""
    body = event()
    return door.deliver(body).status == 202 and body in in_stream(server)


def grows(answered: list[bytes], by: int) -> None:
    """Wait until this many more deliveries were answered."""
    count = len(answered)
    eventually(lambda: len(answered) > count + by)


class TestDurability:
    def test_always_is_ok(self, settings: Settings, own_redis: EmbeddedRedis) -> None:
        """A Redis that syncs each write takes the deliveries, and all parts are ok."""
        with DoorThread(settings) as door:
            status, said = door.ready()
            assert status == 200
            assert said["parts"] == {"redis": "ok", "database": "ok", "spool": "ok"}
            assert (said["status"], said["durability"], said["notes"]) == ("ready", "ok", [])
            assert goes_to_redis(door, own_redis)
        assert spooled(settings) == 0

    @pytest.mark.parametrize(
        ("name", "value"),
        [
            ("appendfsync", "everysec"),
            ("appendfsync", "no"),
            ("appendonly", "no"),
            ("no-appendfsync-on-rewrite", "yes"),
        ],
    )
    def test_too_weak(
        self, settings: Settings, own_redis: EmbeddedRedis, name: str, value: str
    ) -> None:
        """A Redis that may lose what it answered gets nothing: the spool does; /readyz says it."""
        with hand(own_redis) as client:
            client.config_set(name, value)
        with DoorThread(settings) as door:
            assert door.deliver(event()).status == 202
            assert door.deliver(event()).status == 202
            status, said = door.ready()
            assert status == 200
            assert said["parts"] == {"redis": "degraded", "database": "ok", "spool": "ok"}
            assert said["durability"] == "too weak"
            assert "AMILI_ACK_DURABILITY" in said["notes"][0]
            assert door.counted("amili_spooled_total", reason="too_weak") == 2
        assert in_stream(own_redis) == set()
        assert spooled(settings) == 2
        assert drained(settings) == 2

    def test_unreadable_setting(self, settings: Settings, own_redis: EmbeddedRedis) -> None:
        """A password that is no UTF-8 hides nothing: what is too weak is never written to."""
        with hand(own_redis) as client:
            client.config_set("appendfsync", "everysec")
            client.config_set("masterauth", b"p\xe4ss")
        with DoorThread(settings) as door:
            assert [door.deliver(event()).status for _ in range(4)] == [202] * 4
            assert door.ready()[1]["durability"] == "too weak"
        assert in_stream(own_redis) == set()
        assert spooled(settings) == 4

    def test_memory_accepts_everysec(
        self, own_redis: EmbeddedRedis, sqlite_url: str, tmp_path: Path
    ) -> None:
        """Who asks for `memory` only is given Redis with `everysec`."""
        with hand(own_redis) as client:
            client.config_set("appendfsync", "everysec")
        migrated(sqlite_url, tmp_path)
        settings = settings_for(own_redis.url, sqlite_url, tmp_path, ack_durability="memory")
        with DoorThread(settings) as door:
            assert goes_to_redis(door, own_redis)
            assert door.ready()[1]["durability"] == "ok"

    def test_config_forbidden(
        self, own_redis: EmbeddedRedis, sqlite_url: str, tmp_path: Path
    ) -> None:
        """Where CONFIG is forbidden the door is ready, unverified, and warns once."""
        with hand(own_redis) as client:
            client.acl_setuser(
                "door", enabled=True, passwords=["+pw"], keys=["*"], commands=["+@all", "-config"]
            )
        migrated(sqlite_url, tmp_path)
        url = f"redis://door:pw@127.0.0.1:{own_redis.port}/0"
        settings = settings_for(url, sqlite_url, tmp_path)
        with capture_logs() as logs, DoorThread(settings) as door:
            assert goes_to_redis(door, own_redis)
            with hand(own_redis) as client:
                client.execute_command("CLIENT", "KILL", "USER", "door")  # type: ignore[no-untyped-call]
            eventually(lambda: goes_to_redis(door, own_redis))
            status, said = door.ready()
        assert status == 200
        assert said["durability"] == "unverified"
        assert said["parts"]["redis"] == "ok"
        assert "unverified" in said["notes"][0]
        assert [line["event"] for line in logs].count("redis_durability_unverified") == 1

    def test_script_forbidden(
        self, own_redis: EmbeddedRedis, sqlite_url: str, tmp_path: Path
    ) -> None:
        """A Redis that lets us run no script gets nothing; the spool does."""
        with hand(own_redis) as client:
            client.acl_setuser(
                "door", enabled=True, passwords=["+pw"], keys=["*"], commands=["+@all", "-evalsha"]
            )
        migrated(sqlite_url, tmp_path)
        url = f"redis://door:pw@127.0.0.1:{own_redis.port}/0"
        settings = settings_for(url, sqlite_url, tmp_path)
        with DoorThread(settings) as door:
            assert door.deliver(event()).status == 202
        assert spooled(settings) == 1

    def test_weaker_after_a_restart(
        self, settings: Settings, own_redis: EmbeddedRedis, tmp_path: Path
    ) -> None:
        """A Redis that comes back weaker is noticed at the new connection, mended too."""
        with DoorThread(settings) as door:
            assert goes_to_redis(door, own_redis)
            own_redis.stop()
            with EmbeddedRedis(own_redis.directory, durable=False, port=own_redis.port) as weak:
                eventually(lambda: door.ready()[1]["durability"] == "too weak")
                body = event()
                assert door.deliver(body).status == 202
                assert body not in in_stream(weak)
                assert door.ready()[0] == 200
            own_redis.start()
            eventually(lambda: goes_to_redis(door, own_redis))
            assert door.ready()[1]["parts"]["redis"] == "ok"

    def test_full_redis(self, settings: Settings, own_redis: EmbeddedRedis) -> None:
        """A Redis out of memory refuses, the spool takes, and all is well once there is room."""
        with DoorThread(settings) as door:
            assert goes_to_redis(door, own_redis)
            with hand(own_redis) as client:
                client.config_set("maxmemory", "1")
                for _ in range(3):
                    assert door.deliver(event()).status == 202
                assert spooled(settings) == 3
                assert door.ready()[0] == 200
                assert door.ready()[1]["parts"]["redis"] == "down"
                client.config_set("maxmemory", "0")
            eventually(lambda: goes_to_redis(door, own_redis))

    def test_replica(self, settings: Settings, own_redis: EmbeddedRedis) -> None:
        """A Redis that became a read-only replica gets nothing; the spool does."""
        with DoorThread(settings) as door, hand(own_redis) as client:
            assert goes_to_redis(door, own_redis)
            client.replicaof("127.0.0.1", str(free_port()))
            assert door.deliver(event()).status == 202
            assert spooled(settings) == 1
            client.replicaof("NO", "ONE")
            eventually(lambda: goes_to_redis(door, own_redis))

    def test_wrong_password(
        self, own_redis: EmbeddedRedis, sqlite_url: str, tmp_path: Path
    ) -> None:
        """A Redis that does not let us in is one that is down; its password is in no log."""
        migrated(sqlite_url, tmp_path)
        url = f"redis://:wrong-password@127.0.0.1:{own_redis.port}/0"
        with capture_logs() as logs, DoorThread(settings_for(url, sqlite_url, tmp_path)) as door:
            assert door.deliver(event()).status == 202
            status, said = door.ready()
        assert (status, said["parts"]["redis"]) == (200, "down")
        assert "wrong-password" not in str(logs)


class TestKilled:
    def test_what_was_answered_is_there(self, settings: Settings, own_redis: EmbeddedRedis) -> None:
        """A Redis killed under load has after its restart all that was answered and not spooled."""
        answered: list[bytes] = []
        enough = threading.Event()

        def knock(door: Knocker) -> None:
            while not enough.is_set():
                body = event()
                if door.deliver(body).status == 202:
                    answered.append(body)

        with DoorThread(settings) as door, ThreadPoolExecutor(8) as senders:
            running = [senders.submit(knock, door) for _ in range(8)]
            for _ in range(2):
                grows(answered, 60)
                own_redis.kill()
                grows(answered, 20)
                own_redis.start()
                eventually(lambda: in_stream(own_redis))
            eventually(lambda: goes_to_redis(door, own_redis))
            enough.set()
            for each in running:
                each.result()
        own_redis.kill()
        own_redis.start()
        drained(settings)
        stored = {bytes(row.digest) for row in rows(settings)}
        assert {digest_of(body) for body in answered} <= stored
        assert spooled(settings) == 0

    def test_killed_door(self, own_redis: EmbeddedRedis, sqlite_url: str, tmp_path: Path) -> None:
        """A door killed under load has stored whatever it answered; its successor goes on."""
        migrated(sqlite_url, tmp_path)
        settings = settings_for(own_redis.url, sqlite_url, tmp_path)
        answered: list[bytes] = []

        def knock(door: Knocker) -> None:
            while True:
                body = event()
                try:
                    if door.deliver(body).status == 202:
                        answered.append(body)
                except OSError:
                    return

        process = DoorProcess(
            tmp_path,
            AMILI_REDIS_URL=own_redis.url,
            AMILI_DATABASE_URL=sqlite_url,
            AMILI_DATA_DIR=tmp_path / "data",
            AMILI_WEBHOOK_SECRETS="secret-of-the-tests",
        )
        with process as door, ThreadPoolExecutor(4) as senders:
            running = [senders.submit(knock, door) for _ in range(4)]
            eventually(lambda: len(answered) > 50)
            door.process.kill()
            for each in running:
                assert isinstance(each.exception(), (type(None), Exception))
        drained(settings)
        stored = {bytes(row.digest) for row in rows(settings)}
        assert {digest_of(body) for body in answered} <= stored


class TestRedisGone:
    def test_stopped_and_back(
        self, own_redis: EmbeddedRedis, database_url: str, tmp_path: Path
    ) -> None:
        """Without Redis deliveries wait in the spool; with it again they go there, no restart."""
        migrated(database_url, tmp_path)
        settings = settings_for(own_redis.url, database_url, tmp_path)
        with DoorThread(settings) as door:
            assert goes_to_redis(door, own_redis)
            own_redis.stop()
            for _ in range(5):
                assert door.deliver(event()).status == 202
            status, said = door.ready()
            assert (status, said["parts"]["redis"], said["parts"]["spool"]) == (200, "down", "ok")
            assert spooled(settings) == 5
            assert door.counted("amili_spooled_total", reason="redis_down") == 5
            assert door.counted("amili_spool_entries") == 5
            own_redis.start()
            eventually(lambda: goes_to_redis(door, own_redis))
            assert door.ready()[1]["parts"]["redis"] == "ok"
        drained(settings)
        assert spooled(settings) == 0
        assert len(rows(settings)) >= 7

    def test_down_from_the_start(self, sqlite_url: str, tmp_path: Path) -> None:
        """A door that starts without Redis serves, from the spool."""
        migrated(sqlite_url, tmp_path)
        settings = settings_for(f"redis://127.0.0.1:{free_port()}/0", sqlite_url, tmp_path)
        with DoorThread(settings) as door:
            assert door.deliver(event()).status == 202
            assert door.ready()[0] == 200
            assert door.ask("GET", "/metrics").status == 200
            assert door.post("/cases/none/holds", {"reason": "dispute"}).status == 404
        assert spooled(settings) == 1

    def test_frozen(self, settings: Settings, own_redis: EmbeddedRedis) -> None:
        """A Redis that hangs costs some a wait, none its delivery; thawed it mixes nothing up."""
        with DoorThread(settings) as door:
            assert goes_to_redis(door, own_redis)
            own_redis.pause()
            bodies = [event() for _ in range(40)]
            with ThreadPoolExecutor(20) as senders:
                replies = list(senders.map(door.deliver, bodies))
            assert {reply.status for reply in replies} == {202}
            assert door.ready()[0] == 200
            assert door.ask("GET", "/livez").status == 200
            assert spooled(settings) == 40
            own_redis.resume()
            eventually(lambda: goes_to_redis(door, own_redis))
            unknown = event(id="unknown", eventType="NOBODY_KNOWS")
            assert door.deliver(unknown).json["status"] == "accepted"
            drained(settings)
            assert door.deliver(unknown).json == {"status": "duplicate", "eventId": "unknown"}
            assert door.deliver(bodies[0]).json["status"] == "accepted"
        stored = [bytes(row.digest) for row in rows(settings)]
        assert {digest_of(body) for body in bodies} <= set(stored)
        assert len(stored) == len(set(stored))


class TestDatabaseGone:
    def test_stopped_and_back(
        self, own_postgres: PostgresServer, redis_url: str, tmp_path: Path
    ) -> None:
        """Without the database Redis takes all, and the door is ready; the API says 503."""
        migrated(own_postgres.url, tmp_path)
        settings = settings_for(redis_url, own_postgres.url, tmp_path)
        with DoorThread(settings) as door:
            own_postgres.stop()
            assert door.deliver(event()).status == 202
            status, said = door.ready()
            assert status == 200
            assert said["parts"] == {"redis": "ok", "database": "down", "spool": "down"}
            reply = door.get("/events")
            assert (reply.status, reply.is_problem) == (503, True)
            assert reply.headers["retry-after"]
            assert door.counted("amili_inbox_entries") == 1
            own_postgres.start()
            assert door.get("/events").status == 200
            assert door.ready()[1]["parts"]["database"] == "ok"
        assert drained(settings) == 1

    def test_frozen(self, own_postgres: PostgresServer, redis_url: str, tmp_path: Path) -> None:
        """A database that hangs keeps no delivery waiting, and health and metrics still answer."""
        migrated(own_postgres.url, tmp_path)
        settings = settings_for(redis_url, own_postgres.url, tmp_path)
        with DoorThread(settings) as door:
            assert door.get("/events").status == 200
            own_postgres.pause()
            try:
                assert door.deliver(event()).status == 202
                with ThreadPoolExecutor(12) as probes:  # more than asyncio has threads here
                    for status, said in probes.map(lambda _: door.ready(), range(12)):
                        assert (status, said["parts"]["database"]) == (200, "down")
                assert door.counted("amili_webhooks_total", outcome="accepted") == 1
                assert door.deliver(event()).status == 202
            finally:
                own_postgres.resume()
            eventually(lambda: door.ready()[1]["parts"]["database"] == "ok")


class TestBothGone:
    def test_both_and_back(
        self,
        own_redis: EmbeddedRedis,
        own_postgres: PostgresServer,
        tmp_path: Path,
    ) -> None:
        """Without both the answer is 503 with Retry-After; both return without a restart."""
        migrated(own_postgres.url, tmp_path)
        settings = settings_for(own_redis.url, own_postgres.url, tmp_path)
        with capture_logs() as logs, DoorThread(settings) as door:
            own_redis.stop()
            own_postgres.stop()
            with ThreadPoolExecutor(16) as senders:
                replies = list(senders.map(door.deliver, [event() for _ in range(64)]))
            assert {reply.status for reply in replies} == {503}
            assert all(reply.is_problem for reply in replies)
            assert all(int(reply.headers["retry-after"]) > 0 for reply in replies)
            assert door.counted("amili_webhooks_total", outcome="unavailable") == 64
            status, said = door.ready()
            assert (status, said["status"]) == (503, "not ready")
            assert said["parts"] == {"redis": "down", "database": "down", "spool": "down"}
            own_postgres.start()
            eventually(lambda: door.deliver(event()).status == 202)
            assert door.ready()[0] == 200
            own_redis.start()
            eventually(lambda: goes_to_redis(door, own_redis))
            assert door.ready()[1]["parts"] == {"redis": "ok", "database": "ok", "spool": "ok"}
        assert not [line for line in logs if line["event"] == "unexpected_fault"]
        downs = [line["store"] for line in logs if line["event"] == "store_down"]
        assert sorted(set(downs)) == ["redis", "spool"]
        assert len(downs) < 6  # said once for each outage, not for each delivery

    def test_both_frozen(
        self,
        own_redis: EmbeddedRedis,
        own_postgres: PostgresServer,
        tmp_path: Path,
    ) -> None:
        """When both hang everybody is answered in the end, most at once, and all returns."""
        migrated(own_postgres.url, tmp_path)
        settings = settings_for(own_redis.url, own_postgres.url, tmp_path)
        with DoorThread(settings) as door:
            assert goes_to_redis(door, own_redis)
            own_redis.pause()
            own_postgres.pause()
            try:
                with ThreadPoolExecutor(30) as senders:
                    replies = list(senders.map(door.deliver, [event() for _ in range(90)]))
                assert {reply.status for reply in replies} == {503}
            finally:
                own_redis.resume()
                own_postgres.resume()
            eventually(lambda: goes_to_redis(door, own_redis))

    def test_unreadable_database_url_in_a_door_of_its_own(self, tmp_path: Path) -> None:
        """A SQLite file that is none, and no Redis: 503 and not ready, no traceback."""
        (tmp_path / "rubbish.db").write_bytes(b"this is no database" * 100)
        door = DoorProcess(
            tmp_path,
            AMILI_REDIS_URL=f"redis://127.0.0.1:{free_port()}/0",
            AMILI_DATABASE_URL=f"sqlite:///{tmp_path / 'rubbish.db'}",
            AMILI_DATA_DIR=tmp_path / "data",
            AMILI_WEBHOOK_SECRETS="secret-of-the-tests",
        )
        with door:
            reply = door.deliver(event())
            assert (reply.status, reply.is_problem) == (503, True)
            assert door.ready()[0] == 503
            assert door.ask("GET", "/metrics").status == 200
            assert "Traceback" not in door.said


class TestSchema:
    def test_empty_database(self, redis_url: str, database_url: str, tmp_path: Path) -> None:
        """Before the migration a door is not ready, and after it is, without a restart."""
        settings = settings_for(redis_url, database_url, tmp_path)
        with DoorThread(settings) as door:
            status, said = door.ready()
            assert status == 503
            assert said["parts"]["spool"] == "down"
            assert any("migrate" in note for note in said["notes"])
            assert door.deliver(event()).status == 202  # Redis has it
            reply = door.get("/events")
            assert (reply.status, reply.is_problem) == (503, True)
            assert "migrate" in reply.json["detail"]
            assert door.ask("GET", "/metrics").status == 200
            migrated(database_url, tmp_path)
            assert door.ready()[0] == 200
        assert drained(settings) == 1

    def test_newer_database(self, redis_url: str, database_url: str, tmp_path: Path) -> None:
        """A schema newer than this code takes no door out of service, and says so."""
        migrated(database_url, tmp_path)
        settings = settings_for(redis_url, database_url, tmp_path)
        with opened_database(settings) as database:
            with database.begin() as tx:
                tx.connection.exec_driver_sql("UPDATE alembic_version SET version_num = '9999'")
            assert migrating.standing(database) == "newer"
        with DoorThread(settings) as door:
            status, said = door.ready()
            assert status == 200
            assert said["parts"]["database"] == "degraded"
            assert any("newer" in note for note in said["notes"])
            assert door.deliver(event()).status == 202


@dataclass(frozen=True)
class Sizes:
    """How much memory a process has used at its height, in KiB."""

    peak: int

    @classmethod
    def of(cls, pid: int) -> Sizes:
        """Read it from the kernel."""
        for line in Path(f"/proc/{pid}/status").read_text().splitlines():
            if line.startswith("VmHWM"):
                return cls(int(line.split()[1]))
        raise AssertionError("no VmHWM")


def test_memory_is_bounded_while_redis_hangs(own_redis: EmbeddedRedis, tmp_path: Path) -> None:
    """With both stores hanging, what waits is bounded in bytes: the rest is told 503 at once."""
    if not Path("/proc/self/status").exists():
        pytest.skip("needs /proc")
    listener = SilentListener()
    door = DoorProcess(
        tmp_path,
        AMILI_REDIS_URL=own_redis.url,
        AMILI_DATABASE_URL=f"postgresql://u:p@127.0.0.1:{listener.port}/d",
        AMILI_DATA_DIR=tmp_path / "data",
        AMILI_WEBHOOK_SECRETS="secret-of-the-tests",
    )
    with listener, door:
        assert door.deliver(event()).status == 202
        before = Sizes.of(door.process.pid).peak
        own_redis.pause()
        body = event(data={"caseId": "c", "filler": "x" * 1_000_000})
        with ThreadPoolExecutor(80) as senders:
            replies = list(senders.map(lambda _: door.deliver(body), range(80)))
        assert {reply.status for reply in replies} == {503}
        assert Sizes.of(door.process.pid).peak - before < 350 * 1024
        own_redis.resume()
        eventually(lambda: door.deliver(event()).status == 202)


class SilentListener:
    """Accepts connections and never says a word: a database that hangs."""

    def __init__(self) -> None:
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.port = self._socket.getsockname()[1]

    def __enter__(self) -> None:
        """Listen."""

    def __exit__(self, *_: object) -> None:
        """Stop listening."""
        self._socket.close()
