"""A 2xx stands on the disk: a library before Redis's fdatasync delays it, or lets it fail.

A kill cannot show this: what a killed Redis had written survives in the page cache.
"""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import pytest

from service.embedded import EmbeddedRedis
from tests.doors import (
    SECRET,
    DoorProcess,
    Reply,
    event,
    eventually,
    migrated,
    rows,
    settings_for,
    spooled,
)
from tests.servers import PostgresServer

SOURCE = Path(__file__).with_name("fsync.c")
pytestmark = pytest.mark.timeout(180)


@dataclass(frozen=True)
class Sync:
    """One fdatasync of Redis: when it began and ended (time.monotonic()), and how."""

    began: float
    ended: float
    is_done: bool


@dataclass(frozen=True)
class Shim:
    """The folder that tells the library what to do."""

    folder: Path

    def delay(self, seconds: float) -> None:
        """Let each call take so much longer."""
        (self.folder / "delay").write_text(str(round(seconds * 1000)))

    def fail(self) -> None:
        """Let each call fail from now on."""
        (self.folder / "fail").touch()

    def mend(self) -> None:
        """Let each call be as the system makes it."""
        for name in ("delay", "fail"):
            (self.folder / name).unlink(missing_ok=True)

    def calls(self) -> list[Sync]:
        """List the calls so far."""
        lines = (self.folder / "log").read_text().splitlines()
        told = (line.split() for line in lines)
        return [Sync(float(began), float(ended), code == "0") for began, ended, code in told]


@dataclass(frozen=True)
class Asked:
    """One delivery and its answer, with the times around."""

    began: float
    ended: float
    reply: Reply


@pytest.fixture
def shim(tmp_path: Path, tool: Callable[[str], str], monkeypatch: pytest.MonkeyPatch) -> Shim:
    """Build the library and put it before whatever is started from here on."""
    folder = tmp_path / "shim"
    folder.mkdir()
    library = folder / "fsync.so"
    words = [tool("cc"), "-shared", "-fPIC", "-O1", "-Wall", "-Werror", "-o", str(library)]
    subprocess.run([*words, str(SOURCE), "-ldl"], check=True)
    monkeypatch.setenv("LD_PRELOAD", str(library))
    monkeypatch.setenv("FSYNC_SHIM", str(folder))
    return Shim(folder)


@pytest.fixture
def redis(
    request: pytest.FixtureRequest, shim: Shim, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[EmbeddedRedis]:
    """Start a Redis with the library; nobody else has it. The parameter: is it to be durable."""
    durable = getattr(request, "param", True)
    with EmbeddedRedis(tmp_path / "redis", durable=durable) as server:
        monkeypatch.delenv("LD_PRELOAD")
        yield server


def ask(door: DoorProcess, count: int) -> list[Asked]:
    """Deliver so many at once."""

    def one(_: int) -> Asked:
        began = time.monotonic()
        reply = door.deliver(event())
        return Asked(began, time.monotonic(), reply)

    with ThreadPoolExecutor(count) as pool:
        return list(pool.map(one, range(count)))


def is_backed(asked: Asked, syncs: list[Sync]) -> bool:
    """Whether a whole fdatasync lies between the sending and the answer."""
    return any(s.is_done and asked.began < s.began and s.ended < asked.ended for s in syncs)


def test_no_2xx_before_the_disk_has_it(redis: EmbeddedRedis, shim: Shim, tmp_path: Path) -> None:
    """With a slow disk each 202 comes after an fdatasync that began after it was sent."""
    settings = settings_for(redis.url, f"sqlite:///{tmp_path / 'amili.db'}", tmp_path)
    migrated(settings.sql_url, tmp_path)
    with door_of(settings.redis_url, settings.sql_url, tmp_path) as door:
        eventually(lambda: door.ready()[0] == 200)
        shim.delay(0.25)
        asked = [each for count in (1, 8, 30) for each in ask(door, count)]
        assert [each.reply.status for each in asked] == [202] * 39
        assert spooled(settings) == 0
        assert all(is_backed(each, shim.calls()) for each in asked)

        # Slower than the door waits: what was answered stands in the spool instead.
        shim.delay(6.0)
        late = ask(door, 5)
        assert {each.reply.status for each in late} == {202}
        assert spooled(settings) == 5
        shim.mend()


@pytest.mark.parametrize("redis", [False], indirect=True)
def test_this_test_can_fail(redis: EmbeddedRedis, shim: Shim, tmp_path: Path) -> None:
    """With `everysec` and `memory` a 202 does come sooner than the disk has it, and it shows."""
    settings = settings_for(redis.url, f"sqlite:///{tmp_path / 'amili.db'}", tmp_path)
    migrated(settings.sql_url, tmp_path)
    with door_of(
        settings.redis_url, settings.sql_url, tmp_path, AMILI_ACK_DURABILITY="memory"
    ) as door:
        eventually(lambda: door.ready()[0] == 200)
        shim.delay(1.5)
        asked = [each for count in (1, 8, 30) for each in ask(door, count)]
        eventually(lambda: any(sync.began > asked[0].began for sync in shim.calls()))
        assert [each.reply.status for each in asked] == [202] * 39
        assert spooled(settings) == 0
        assert not all(is_backed(each, shim.calls()) for each in asked)
        shim.mend()


def test_no_2xx_when_the_disk_fails(
    redis: EmbeddedRedis, shim: Shim, own_postgres: PostgresServer, tmp_path: Path
) -> None:
    """A failed fdatasync leads to the spool; without the database too, to 503 and nothing else."""
    settings = settings_for(redis.url, own_postgres.url, tmp_path)
    migrated(settings.sql_url, tmp_path)
    with door_of(settings.redis_url, settings.sql_url, tmp_path) as door:
        eventually(lambda: door.ready()[0] == 200)
        assert ask(door, 1)[0].reply.status == 202
        shim.fail()
        asked = ask(door, 10)
        assert {each.reply.status for each in asked} == {202}
        assert spooled(settings) + len(rows(settings)) == 10
        assert any(not each.is_done for each in shim.calls())

        own_postgres.stop()
        redis.kill()
        with suppress(Exception):
            redis.start()  # it may not come up at all on such a disk
        denied = ask(door, 10)
        assert {each.reply.status for each in denied} == {503}
        assert all("retry-after" in each.reply.headers for each in denied)
        shim.mend()


def door_of(redis_url: str, database_url: str, folder: Path, **more: str) -> DoorProcess:
    """Make a door of these stores."""
    return DoorProcess(
        folder,
        AMILI_REDIS_URL=redis_url,
        AMILI_DATABASE_URL=database_url,
        AMILI_DATA_DIR=folder / "door",
        AMILI_WEBHOOK_SECRETS=SECRET,
        **more,
    )
