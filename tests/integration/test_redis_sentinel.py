"""A master behind Sentinels: killed, frozen, demoted, replaced by one that is less durable."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections import Counter
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from types import FrameType
from typing import Any

import pytest
import redis

from service.domain.deliveries import digest_of
from service.redis import connect, connect_async, described
from service.sandbox.harness import SandboxServer
from tests.doors import (
    SECRET,
    DoorThread,
    command,
    drained,
    event,
    eventually,
    migrated,
    rows,
    settings_for,
    spooled,
)
from tests.e2e.conftest import sandbox
from tests.e2e.house import House, Webhook, batch_completed, in_background
from tests.sentinels import PASSWORD, SENTINEL_PASSWORD, SERVICE, Node, Replicated, quoted

SECRETS = (PASSWORD, quoted(PASSWORD), SENTINEL_PASSWORD)


@pytest.fixture(scope="module")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Replicated]:
    """Give the five processes: use `replicated`, where all of them are well."""
    with Replicated(tmp_path_factory.mktemp("replicated") / "redis") as started:
        yield started


@pytest.fixture
def replicated(servers: Replicated) -> Iterator[Replicated]:
    """Give an empty master, its replica and their Sentinels."""
    servers.master.asks(lambda client: client.flushall())
    yield servers
    servers.heal()


def took_it(door: DoorThread, node: Node) -> bool:
    """Deliver once; tell whether this server took it."""
    body = event()
    assert door.deliver(body).status == 202
    found: Any = node.asks(lambda client: client.xrange("amili:inbox")) or []
    return body in {fields[b"body"] for _, fields in found}


@pytest.mark.timeout(180)
def test_master_killed(replicated: Replicated, sqlite_url: str, tmp_path: Path) -> None:
    """Door and workers go on with the promoted replica; all is settled, no password is told."""
    with (
        sandbox() as amili,
        House(
            tmp_path / "house", redis_url=replicated.url, database_url=sqlite_url, amili=amili
        ) as house,
    ):
        house.start()
        said = house.deliver(finished_batches(amili, 20))
        house.until_settled(20)
        eventually(replicated.is_copied)
        old, new = replicated.master, replicated.replica
        more: Counter[int] = Counter()
        is_over: list[bool] = []

        def knock() -> None:
            while not is_over:
                more.update(house.deliver(finished_batches(amili, 5), together=5))

        with in_background(knock):
            try:
                old.kill()
                replicated.await_promotion(new)
                house.until(lambda: parts_of(house)["redis"] == "ok")
                before = more[202]
                house.until(lambda: more[202] > before + 10)
            finally:
                is_over.append(True)
        said += more
        assert set(said) == {202}
        house.until_settled(said[202])
        assert len(house.rows("SELECT batch_id FROM batches")) == said[202]
        assert [part.popen.poll() for part in house.parts] == [None, None]
        told = house.logs(1_000_000) + "".join(
            " ".join(process.cmdline()) for part in house.parts for process in house.tree(part)
        )
        assert not [secret for secret in SECRETS if secret in told]


def test_master_frozen(replicated: Replicated) -> None:
    """Clients that wait for a frozen master go on with its successor, sync and async alike."""
    old, new = replicated.master, replicated.replica
    client = connect(replicated.url, answer_seconds=0.5)

    async def use() -> None:
        shared = connect_async(replicated.url, answer_seconds=0.5)
        await shared.set("before", "1")
        client.set("before", "1")
        old.pause()
        await asyncio.to_thread(replicated.await_promotion, new)
        assert await soon(lambda: shared.set("after", "async"))
        assert new.asks(lambda asked: asked.get("after")) == b"async"
        await shared.aclose()

    asyncio.run(use())
    eventually(lambda: written(client, "after", "sync"))
    assert new.asks(lambda asked: asked.get("after")) == b"sync"
    client.close()


def test_wait_is_broken_off(replicated: Replicated) -> None:
    """A signal ends a wait; the answer that comes late is not taken for the next command's."""

    def stop(number: int, frame: FrameType | None) -> None:
        raise LookupError

    def interrupt() -> None:
        clients = partial(replicated.master.asks, lambda node: node.client_list())
        eventually(lambda: any(each["cmd"] == "blpop" for each in clients()))
        os.kill(os.getpid(), signal.SIGUSR1)

    client = connect(replicated.url)
    client.set("asked", "told")
    before = signal.signal(signal.SIGUSR1, stop)
    try:
        with in_background(interrupt), pytest.raises(LookupError):
            client.blpop(["nothing"], timeout=2)
    finally:
        signal.signal(signal.SIGUSR1, before)
    assert client.get("asked") == b"told"
    client.close()


def test_switched_over(replicated: Replicated, sqlite_url: str, tmp_path: Path) -> None:
    """An operator's switch-over demotes a living master: nothing is refused, the new one is used.

    What the old master took after its replica was promoted is gone: only `min-replicas-to-write`
    bounds that. What is answered by the new one is there.
    """
    migrated(sqlite_url, tmp_path)
    settings = settings_for(replicated.url, sqlite_url, tmp_path)
    old, new = replicated.master, replicated.replica
    with DoorThread(settings) as door:
        eventually(lambda: took_it(door, old))
        eventually(replicated.switch_over)
        replicated.await_promotion(new)
        eventually(lambda: took_it(door, new))  # each delivery on the way there is a 202, too
        bodies = [event() for _ in range(20)]
        assert {door.deliver(body).status for body in bodies} == {202}
    eventually(replicated.is_copied)
    drained(settings)
    stored = {bytes(row.digest) for row in rows(settings)}
    assert {digest_of(body) for body in bodies} <= stored
    assert spooled(settings) == 0


def test_new_master_is_weaker(replicated: Replicated, sqlite_url: str, tmp_path: Path) -> None:
    """The durability of a promoted master is looked at anew: one with `everysec` is not used."""
    migrated(sqlite_url, tmp_path)
    settings = settings_for(replicated.url, sqlite_url, tmp_path)
    old, new = replicated.master, replicated.replica
    new.asks(lambda client: client.config_set("appendfsync", "everysec"))
    with DoorThread(settings) as door:
        eventually(lambda: took_it(door, old))
        old.kill()
        replicated.await_promotion(new)
        eventually(lambda: door.ready()[1]["durability"] == "too weak")
        assert not took_it(door, new)
        assert door.ready()[1]["parts"]["redis"] == "degraded"
        new.asks(lambda client: client.config_set("appendfsync", "always"))
        eventually(lambda: took_it(door, new))
        assert door.ready()[1]["durability"] == "ok"
    assert spooled(settings) >= 1


def test_no_replica_left(replicated: Replicated, sqlite_url: str, tmp_path: Path) -> None:
    """With min-replicas-to-write a master without its replica is not written: the spool is."""
    migrated(sqlite_url, tmp_path)
    settings = settings_for(replicated.url, sqlite_url, tmp_path)
    master, other = replicated.master, replicated.replica
    master.asks(lambda client: client.config_set("min-replicas-to-write", 1))
    try:
        with DoorThread(settings) as door:
            eventually(lambda: took_it(door, master))
            other.kill()
            eventually(lambda: not took_it(door, master))
            assert "min-replicas-to-write" in " ".join(door.ready()[1]["notes"])
            other.start()
            eventually(lambda: took_it(door, master))
    finally:
        master.asks(lambda client: client.config_set("min-replicas-to-write", 0))


def test_what_is_shown(replicated: Replicated, sqlite_url: str, tmp_path: Path) -> None:
    """`config` and `doctor` say whom the URL means, and no password of it."""
    migrated(sqlite_url, tmp_path)
    assert described(replicated.url) == f"the master of {SERVICE} that 3 Sentinels name"
    given = {
        "AMILI_REDIS_URL": replicated.url,
        "AMILI_DATABASE_URL": sqlite_url,
        "AMILI_DATA_DIR": tmp_path,
        "AMILI_WEBHOOK_SECRETS": SECRET,
        "COLUMNS": 300,
    }
    for word in ("config", "doctor"):
        done = command(word, **given)
        said = done.stdout + done.stderr
        assert f"the master of {SERVICE} that 3 Sentinels name" in said, said
        assert not [secret for secret in SECRETS if secret in said]
    assert "min-replicas-to-write is 0" in said


@pytest.mark.parametrize("wrong", ["service", "sentinel_password", "password", "hosts"])
def test_why_there_is_no_master(replicated: Replicated, wrong: str) -> None:
    """The doctor's sentence tells a wrong service from a wrong password and from no Sentinel."""
    url = replicated.url
    changed, said = {
        "service": (url.replace(f"/{SERVICE}?", "/whistles?"), "names a healthy master"),
        "sentinel_password": (url.replace(SENTINEL_PASSWORD, "guessed"), "sentinel_password"),
        "password": (url.replace(quoted(PASSWORD), "guessed"), "the user or password"),
        "hosts": (f"redis+sentinel://127.0.0.1:1,127.0.0.1:2/{SERVICE}", "names a healthy master"),
    }[wrong]
    done = command("doctor", AMILI_REDIS_URL=changed, COLUMNS=300)
    text = " ".join((done.stdout + done.stderr).split())
    assert said in text, text
    assert "guessed" not in text


def finished_batches(amili: SandboxServer, count: int) -> list[Webhook]:
    """Let Amili finish batches, and return what it says of them."""
    control = amili.control
    made = [control.register_batch()["batchId"] for _ in range(count)]
    done = [control.complete_batch(batch_id, status="SUCCESS") for batch_id in made]
    return [Webhook.of(batch_completed(each)) for each in done]


def parts_of(house: House) -> Any:
    """Ask the door how its stores are."""
    return house.ask("GET", "/readyz").body["parts"]


def written(client: redis.Redis, name: str, value: str) -> bool:
    """Write once; tell whether it was taken."""
    try:
        return bool(client.set(name, value))
    except redis.RedisError:
        return False


async def soon(write: Any) -> bool:
    """Write until it is taken."""
    until = time.monotonic() + 30
    while time.monotonic() < until:
        try:
            return bool(await write())
        except redis.RedisError:
            await asyncio.sleep(0.05)
    return False
