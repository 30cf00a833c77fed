"""Redis is flushed, forgets its scripts, or begins anew; PostgreSQL restarts; both are away."""

from __future__ import annotations

import contextlib
import shutil
import threading
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psutil
import pytest
import redis

from service.domain.deliveries import digest_of
from service.embedded import EmbeddedRedis, free_port
from service.errors import StoreUnavailable
from service.redis import connect
from service.sandbox.harness import SandboxServer
from service.settings import Settings
from tests.doors import (
    SECRET,
    DoorProcess,
    DoorThread,
    drained,
    event,
    eventually,
    migrated,
    rows,
    settings_for,
    spooled,
)
from tests.e2e.conftest import sandbox
from tests.e2e.house import House, Webhook, batch_completed
from tests.servers import PostgresServer


@pytest.fixture
def amili() -> Iterator[SandboxServer]:
    """Play Amili."""
    with sandbox() as server:
        yield server


@contextlib.contextmanager
def raised(
    folder: Path, redis_url: str, database_url: str, amili: SandboxServer
) -> Iterator[House]:
    """Start door and worker; at the end they are the same processes, and nobody started anew."""
    folder = folder / "house"
    with House(folder, redis_url=redis_url, database_url=database_url, amili=amili) as house:
        house.start()
        yield house
        assert [part.popen.poll() for part in house.parts] == [None, None]
        assert "worker_ended" not in house.logs(1_000_000)


def told(amili: SandboxServer, count: int) -> list[Webhook]:
    """Let Amili finish batches, and return what it says of them."""
    control = amili.control
    made = [control.register_batch()["batchId"] for _ in range(count)]
    done = [control.complete_batch(batch_id, status="SUCCESS") for batch_id in made]
    return [Webhook.of(batch_completed(each)) for each in done]


@pytest.mark.timeout(180)
@pytest.mark.parametrize("what", ["flushall", "script_flush", "group", "restart", "empty"])
def test_redis_forgets(
    what: str, own_redis: EmbeddedRedis, sqlite_url: str, amili: SandboxServer, tmp_path: Path
) -> None:
    """Between and during deliveries Redis forgets: no restart, and each event is settled once."""
    with raised(tmp_path, own_redis.url, sqlite_url, amili) as house:
        webhooks = told(amili, 120)
        said = house.deliver(webhooks[:20])
        house.until_settled(20)
        # What is due in SQL only, while Redis forgets: nobody but the sweeper knows of it then.
        amili.control.add_fault("*", status=503, rate=1.0)
        said += house.deliver(webhooks[20:40])
        house.until(lambda: len(house.events("retrying")) == 20)
        forget(what, own_redis)
        amili.control.clear_faults()
        said += house.deliver(webhooks[40:])
        assert set(said) == {202}
        house.until_settled(120)
        house.until(lambda: house.ask("GET", "/readyz").body["parts"]["redis"] == "ok")
        assert house.rows("SELECT count(*), count(DISTINCT digest) FROM events") == [(120, 120)]
        assert {event["attempts"] for event in house.events("settled")} == {1}
        # Whom Redis has forgotten SQL knows: nothing is worked on a second time.
        again = house.deliver(webhooks)
        assert set(again) <= {200, 202}
        house.until(lambda: house.metric("amili_inbox_entries") == 0)
        assert house.rows("SELECT count(*) FROM events") == [(120,)]
        assert {event["attempts"] for event in house.events("settled")} == {1}


def forget(what: str, server: EmbeddedRedis) -> None:
    """Have Redis forget everything, its scripts, its group, or nothing but its connections."""
    client = connect(server.url)
    if what == "flushall":
        client.flushall()
    elif what == "script_flush":
        client.script_flush()
    elif what == "group":
        client.xgroup_destroy("amili:inbox", "workers")
    else:
        server.kill()
        if what == "empty":
            shutil.rmtree(server.directory / "appendonlydir")
        server.start()
    client.close()


def test_demoted_and_back(own_redis: EmbeddedRedis, sqlite_url: str, tmp_path: Path) -> None:
    """A Redis that became a replica is left for the spool, named so, and taken again after."""
    migrated(sqlite_url, tmp_path)
    settings = settings_for(own_redis.url, sqlite_url, tmp_path)
    client, pooled = connect(own_redis.url), connect(own_redis.url)
    with DoorThread(settings) as door:
        assert door.deliver(event()).status == 202
        assert pooled.set("mine", "1")
        client.replicaof("127.0.0.1", str(free_port()))
        assert {door.deliver(event()).status for _ in range(5)} == {202}
        assert spooled(settings) == 5
        with pytest.raises(redis.ConnectionError, match="READONLY"):
            pooled.set("mine", "2")
        eventually(lambda: "replica" in " ".join(door.ready()[1]["notes"]))
        client.replicaof("NO", "ONE")
        assert pooled.set("mine", "3")
        eventually(lambda: door.ready()[1]["parts"]["redis"] == "ok")
        assert door.deliver(event()).status == 202
        assert spooled(settings) == 5
    client.close()
    pooled.close()


def test_postgres_restarts(
    own_postgres: PostgresServer, own_redis: EmbeddedRedis, amili: SandboxServer, tmp_path: Path
) -> None:
    """After each way for PostgreSQL to end, pooled connections are made anew by themselves."""
    with raised(tmp_path, own_redis.url, own_postgres.url, amili) as house:
        said: Counter[int] = Counter()
        for end in (own_postgres.stop, own_postgres.kill):
            said += house.deliver(told(amili, 20))
            house.until_settled(said[202])
            # Every thread of the door has a connection of the old server now.
            with ThreadPoolExecutor(6) as askers:
                list(askers.map(lambda _: house.get("/events"), range(12)))
            end()
            said += house.deliver(told(amili, 20))
            own_postgres.start()
            # The first question to the new server is answered, not the second.
            assert house.ask("GET", "/api/v1/events").status == 200
            house.until_settled(said[202])
        assert set(said) == {202}
        assert len(house.rows("SELECT batch_id FROM batches")) == said[202]


def test_spool_finds_the_new_server(
    own_postgres: PostgresServer, own_redis: EmbeddedRedis, tmp_path: Path
) -> None:
    """The spool's own connection too is made anew, while Redis is away."""
    migrated(own_postgres.url, tmp_path)
    settings = settings_for(own_redis.url, own_postgres.url, tmp_path)
    with DoorThread(settings) as door:
        own_redis.kill()
        assert door.deliver(event()).status == 202
        own_postgres.kill()
        own_postgres.start()
        assert door.deliver(event()).status == 202
    assert spooled(settings) == 2


class TestBothAway:
    def test_load(
        self, own_redis: EmbeddedRedis, own_postgres: PostgresServer, tmp_path: Path
    ) -> None:
        """64 senders without a store: only 503, memory does not grow, all is well at its return."""
        migrated(own_postgres.url, tmp_path)
        settings = settings_for(own_redis.url, own_postgres.url, tmp_path)
        with own_door(settings, tmp_path) as door:
            assert door.deliver(event()).status == 202
            own_redis.kill()
            own_postgres.kill()
            eventually(lambda: door.deliver(event()).status == 503)
            knock(door, 640)  # threads, buffers and caches have their size after these
            before = memory(door)
            said = knock(door, 6400)
            assert said == Counter({(503, True): 6400})
            assert memory(door) - before < 16 * 1024 * 1024
            assert door.ask("GET", "/livez").status == 200
            own_postgres.start()
            eventually(lambda: door.deliver(event()).status == 202)
            own_redis.start()
            eventually(lambda: door.ready()[1]["parts"]["redis"] == "ok")
            body = event()
            assert door.deliver(body).status == 202
        drained(settings)
        assert digest_of(body) in {bytes(row.digest) for row in rows(settings)}

    def test_hanging(
        self, own_redis: EmbeddedRedis, own_postgres: PostgresServer, tmp_path: Path
    ) -> None:
        """When both hang, only who comes first waits for them; all others are told at once."""
        migrated(own_postgres.url, tmp_path)
        settings = settings_for(own_redis.url, own_postgres.url, tmp_path)
        with own_door(settings, tmp_path) as door:
            assert door.deliver(event()).status == 202
            own_redis.pause()
            own_postgres.pause()
            try:
                assert door.deliver(event()).status == 503
                waited = door.counted("amili_webhook_seconds_sum")
                said = knock(door, 640)
                assert said == Counter({(503, True): 640})
                # Ten groups that try both stores would have kept all 64 waiting each time.
                assert door.counted("amili_webhook_seconds_sum") - waited < 640 * 3.0
            finally:
                own_redis.resume()
                own_postgres.resume()
            eventually(lambda: door.deliver(event()).status == 202)
            eventually(lambda: door.ready()[1]["parts"]["redis"] == "ok")

    def test_database_alone(
        self, own_redis: EmbeddedRedis, own_postgres: PostgresServer, tmp_path: Path
    ) -> None:
        """Without the database Redis keeps everything; a drain that fails takes nothing away."""
        migrated(own_postgres.url, tmp_path)
        settings = settings_for(own_redis.url, own_postgres.url, tmp_path)
        bodies = [event() for _ in range(50)]
        with DoorThread(settings) as door:
            own_postgres.kill()
            assert {door.deliver(body).status for body in bodies} == {202}
            for _ in range(3):
                with pytest.raises(StoreUnavailable):
                    drained(settings)
            own_postgres.start()
        assert drained(settings) == 50
        stored = {bytes(row.digest) for row in rows(settings)}
        assert stored == {digest_of(body) for body in bodies}


def own_door(settings: Settings, folder: Path) -> DoorProcess:
    """Make a door process of these stores."""
    return DoorProcess(
        folder,
        AMILI_REDIS_URL=settings.redis_url,
        AMILI_DATABASE_URL=settings.database_url,
        AMILI_DATA_DIR=folder / "data",
        AMILI_WEBHOOK_SECRETS=SECRET,
    )


def knock(door: DoorProcess, count: int) -> Counter[tuple[int, bool]]:
    """Deliver by 64 senders; count (status, whether it said when to come again)."""
    said: Counter[tuple[int, bool]] = Counter()
    lock = threading.Lock()

    def deliver(_: int) -> None:
        reply = door.deliver(event(data={"caseId": "c", "filler": "x" * 10_000}))
        with lock:
            said[reply.status, "retry-after" in reply.headers] += 1

    with ThreadPoolExecutor(64) as senders:
        list(senders.map(deliver, range(count)))
    return said


def memory(door: DoorProcess) -> int:
    """Return how many bytes the door's process has in memory."""
    return int(psutil.Process(door.process.pid).memory_info().rss)
