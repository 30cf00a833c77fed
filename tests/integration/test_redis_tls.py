"""Redis over TLS: a private authority, certificates that do not fit, and what is said of them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import redis

from service.embedded import EmbeddedRedis
from service.errors import ConfigError
from service.redis import connect, described, explained
from service.settings import Settings
from tests.doors import (
    SECRET,
    DoorThread,
    command,
    drained,
    event,
    eventually,
    migrated,
    settings_for,
    spooled,
)
from tests.sentinels import PASSWORD, SENTINEL, SENTINEL_PASSWORD, SERVER, SERVICE, Node, quoted
from tests.tls import Authority, Front


@pytest.fixture
def ours(tmp_path: Path) -> Authority:
    """Give an authority that no machine knows by itself."""
    return Authority(tmp_path)


@contextmanager
def over_tls(
    server: EmbeddedRedis, authority: Authority, host: str = "127.0.0.1", **options: str
) -> Iterator[str]:
    """Give the URL of a TLS front of this server, whose certificate names `host`."""
    with Front(server.port, authority.issue(host)) as front:
        user = server.url.partition("://")[2].partition("@")[0]
        asked = "&".join(f"{name}={value}" for name, value in options.items())
        yield f"rediss://{user}@127.0.0.1:{front.port}/0?{asked}"


def trouble(url: str) -> str:
    """Say why nobody answers there."""
    client = connect(url)
    try:
        with pytest.raises(redis.RedisError) as caught:
            client.ping()
        return explained(caught.value)
    finally:
        client.close()


def test_private_authority(
    own_redis: EmbeddedRedis, ours: Authority, sqlite_url: str, tmp_path: Path
) -> None:
    """Door and drain work over TLS with a private authority's file, and the doctor says so."""
    migrated(sqlite_url, tmp_path)
    with over_tls(own_redis, ours, ssl_ca_certs=str(ours.file)) as url:
        settings = settings_for(url, sqlite_url, tmp_path)
        with DoorThread(settings) as door:
            eventually(lambda: arrives(door, own_redis.url))
            assert door.ready()[1]["parts"]["redis"] == "ok"
        assert drained(settings)
        assert described(url) == "over TLS"
        said = doctored(settings)
    assert "It answers: over TLS." in said


def test_unknown_authority_then_the_right_one(
    own_redis: EmbeddedRedis, ours: Authority, sqlite_url: str, tmp_path: Path
) -> None:
    """A certificate of a stranger is refused by default: the spool takes over, all say why."""
    migrated(sqlite_url, tmp_path)
    with over_tls(own_redis, ours) as url:
        settings = settings_for(url, sqlite_url, tmp_path)
        with DoorThread(settings) as door:
            assert door.deliver(event()).status == 202
            status, said = door.ready()
            assert (status, said["parts"]["redis"]) == (200, "down")
            assert "ssl_ca_certs" in " ".join(said["notes"])
        assert spooled(settings) == 1
        assert "ssl_ca_certs" in doctored(settings)


def test_another_host(own_redis: EmbeddedRedis, ours: Authority) -> None:
    """A certificate for another host is refused, and the host name is what is named."""
    for host in ("redis.example", "127.0.0.2"):
        with over_tls(own_redis, ours, host, ssl_ca_certs=str(ours.file)) as url:
            assert "for another host" in trouble(url)
            client = connect(f"{url}&ssl_check_hostname=false")
            assert client.ping()
            client.close()


def test_another_authority(own_redis: EmbeddedRedis, ours: Authority, tmp_path: Path) -> None:
    """The file of another authority does not do."""
    other = Authority(tmp_path, "other")
    with over_tls(own_redis, ours, ssl_ca_certs=str(other.file)) as url:
        assert "ssl_ca_certs" in trouble(url)


def test_a_certificate_of_ours(own_redis: EmbeddedRedis, ours: Authority) -> None:
    """A server that wants the client's certificate gets it; without one, both options are named."""
    mine, login = ours.issue("client"), own_redis.url.partition("://")[2].partition("@")[0]
    with Front(own_redis.port, ours.issue("127.0.0.1"), clients_of=ours.file) as front:
        url = f"rediss://{login}@127.0.0.1:{front.port}/0?ssl_ca_certs={ours.file}"
        assert "ssl_certfile" in trouble(url)
        client = connect(f"{url}&ssl_certfile={mine.certificate}&ssl_keyfile={mine.key}")
        assert client.ping()
        client.close()


def test_server_without_tls(own_redis: EmbeddedRedis) -> None:
    """A server without TLS that is asked for it is told from one that is away."""
    assert "speaks no TLS" in trouble(own_redis.url.replace("redis://", "rediss://"))


def test_sentinels_over_tls(ours: Authority, sqlite_url: str, tmp_path: Path) -> None:
    """With rediss+sentinel:// Sentinel and master are both spoken to over TLS, checked."""
    migrated(sqlite_url, tmp_path)
    server = Node(tmp_path / "server", SERVER, PASSWORD, password=PASSWORD)
    pair = ours.issue("127.0.0.1")
    with Front(server.port, pair) as front:
        words = {
            "patience": 60_000,
            "own": SENTINEL_PASSWORD,
            "service": SERVICE,
            "password": PASSWORD,
        }
        sentinel = Node(
            tmp_path / "sentinel", SENTINEL, SENTINEL_PASSWORD, master=front.port, **words
        )
        try:
            server.start()
            sentinel.start()
            with Front(sentinel.port, pair) as asked:
                url = (
                    f"rediss+sentinel://:{quoted(PASSWORD)}@127.0.0.1:{asked.port}/{SERVICE}"
                    f"?sentinel_password={SENTINEL_PASSWORD}"
                )
                eventually(lambda: answers(f"{url}&ssl_ca_certs={ours.file}"))
                assert "ssl_ca_certs" in trouble(url)
                settings = settings_for(f"{url}&ssl_ca_certs={ours.file}", sqlite_url, tmp_path)
                with DoorThread(settings) as door:
                    plain = f"redis://:{quoted(PASSWORD)}@127.0.0.1:{server.port}/0"
                    eventually(lambda: arrives(door, plain))
                assert drained(settings)
        finally:
            sentinel.kill()
            server.kill()


def test_files_that_are_none(ours: Authority, tmp_path: Path) -> None:
    """A file that is missing, or holds no certificate, ends the start with its option's name."""
    rubbish = tmp_path / "rubbish.pem"
    rubbish.write_text("this is no certificate")
    pair = ours.issue("client")
    for options, said in (
        (f"ssl_ca_certs={tmp_path / 'none.pem'}", "ssl_ca_certs: .* cannot be read"),
        (f"ssl_ca_certs={rubbish}", "ssl_ca_certs: .* is no certificate"),
        (f"ssl_certfile={pair.certificate}&ssl_keyfile={rubbish}", "ssl_certfile and ssl_keyfile"),
        (f"ssl_keyfile={pair.key}", "ssl_keyfile goes with ssl_certfile"),
    ):
        with pytest.raises(ConfigError, match=f"AMILI_REDIS_URL: {said}") as caught:
            connect(f"rediss://:not-to-be-told@127.0.0.1/0?{options}")
        assert "not-to-be-told" not in str(caught.value)


def arrives(door: DoorThread, plain: str) -> bool:
    """Deliver once; tell whether it is in the stream, seen without TLS."""
    body = event()
    assert door.deliver(body).status == 202
    client = connect(plain)
    found: Any = client.xrange("amili:inbox")
    client.close()
    return body in {fields[b"body"] for _, fields in found}


def answers(url: str) -> bool:
    """Tell whether a master is reached."""
    client = connect(url)
    try:
        return bool(client.ping())
    except redis.RedisError:
        return False
    finally:
        client.close()


def doctored(settings: Settings) -> str:
    """Return what the doctor says, its lines joined."""
    done = command(
        "doctor",
        AMILI_REDIS_URL=settings.redis_url,
        AMILI_DATABASE_URL=settings.database_url,
        AMILI_DATA_DIR=settings.data_dir,
        AMILI_WEBHOOK_SECRETS=SECRET,
        COLUMNS=400,
    )
    assert "not-to-be-told" not in done.stdout + done.stderr
    return " ".join((done.stdout + done.stderr).split())
