"""A master, its replica and three Sentinels on loopback, each a process of its own.

    with Replicated(folder) as redis:
        connect(redis.url)           # redis+sentinel://…
        redis.master.kill()          # the Sentinels promote the replica

The program is the Valkey server of the wheel: with `--sentinel` it is a Sentinel.
"""

from __future__ import annotations

import contextlib
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any
from urllib.parse import quote

import redis

from service.embedded import free_port, server_binary, tied
from tests.doors import eventually

SERVICE = "bells"
#: With signs that a URL must not hold as they are.
PASSWORD = "p@ss/of?the:master"
SENTINEL_PASSWORD = "of-the-sentinels"

SERVER = """\
bind 127.0.0.1
port {port}
dir "{folder}"
requirepass {password}
masterauth {password}
save ""
appendonly yes
appendfsync always
no-appendfsync-on-rewrite no
maxmemory-policy noeviction
repl-diskless-sync-delay 0
repl-ping-replica-period 1
"""

SENTINEL = """\
bind 127.0.0.1
port {port}
dir "{folder}"
requirepass {own}
sentinel sentinel-pass {own}
sentinel monitor {service} 127.0.0.1 {master} 2
sentinel auth-pass {service} {password}
sentinel down-after-milliseconds {service} {patience}
sentinel failover-timeout {service} 3000
"""


class Node:
    """One process in a folder of its own."""

    def __init__(self, folder: Path, config: str, enter: str, **words: Any) -> None:
        folder.mkdir()
        self.port = free_port()
        self._folder = folder
        self._is_sentinel = config is SENTINEL
        self._password = enter
        self.file = folder / "node.conf"
        self.file.write_text(config.format(port=self.port, folder=folder, **words))
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it, unless it runs, and wait until it answers."""
        if self._process is not None and self._process.poll() is None:
            return
        more = ["--sentinel"] if self._is_sentinel else []
        with open(self._folder / "log", "ab") as log:
            self._process = subprocess.Popen(
                tied([str(server_binary()), str(self.file), *more]),
                stdout=log,
                stderr=log,
                cwd=self._folder,
                start_new_session=True,
            )
        eventually(lambda: self.asks(lambda client: client.ping()))

    def kill(self) -> None:
        """End it as a power cut would."""
        if self._process is not None:
            self._process.send_signal(signal.SIGCONT)
            self._process.kill()
            self._process.wait()

    def pause(self) -> None:
        """Freeze it: connections stay open and nothing answers."""
        self._send(signal.SIGSTOP)

    def resume(self) -> None:
        """Let it go on."""
        self._send(signal.SIGCONT)

    def client(self) -> redis.Redis:
        """Make a client of this very process."""
        return redis.Redis(port=self.port, password=self._password, socket_timeout=2)

    def asks(self, what: Callable[[redis.Redis], Any]) -> Any:
        """Ask it something; None while it does not answer."""
        with contextlib.closing(self.client()) as client, contextlib.suppress(redis.RedisError):
            return what(client)
        return None

    def _send(self, number: signal.Signals) -> None:
        if self._process is not None:
            self._process.send_signal(number)


class Replicated:
    """The five processes; a context manager. `master` is whom the Sentinels name just now."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir()
        self.servers = [
            Node(folder / f"server-{n}", SERVER, PASSWORD, password=PASSWORD) for n in range(2)
        ]
        first, second = self.servers
        with second.file.open("a") as config:
            config.write(f"replicaof 127.0.0.1 {first.port}\n")
        self.sentinels = [
            Node(
                folder / f"sentinel-{n}",
                SENTINEL,
                SENTINEL_PASSWORD,
                own=SENTINEL_PASSWORD,
                patience=2000,
                service=SERVICE,
                master=first.port,
                password=PASSWORD,
            )
            for n in range(3)
        ]

    def __enter__(self) -> Replicated:
        try:
            for node in (*self.servers, *self.sentinels):
                node.start()
            eventually(lambda: all(self._knows_all(each) for each in self.sentinels))
            eventually(self.is_copied)
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """End every process."""
        for node in (*self.sentinels, *self.servers):
            node.kill()

    @property
    def url(self) -> str:
        """What AMILI_REDIS_URL is to be."""
        hosts = ",".join(f"127.0.0.1:{each.port}" for each in self.sentinels)
        return f"redis+sentinel://:{quoted(PASSWORD)}@{hosts}/{SERVICE}?sentinel_password={SENTINEL_PASSWORD}"

    @property
    def master(self) -> Node:
        """Whom most Sentinels name."""
        named = [each.asks(master_port) for each in self.sentinels]
        return max(self.servers, key=lambda node: named.count(node.port))

    @property
    def replica(self) -> Node:
        """The other one."""
        return next(node for node in self.servers if node is not self.master)

    def is_copied(self) -> bool:
        """Wait a moment for the replica to have all that the master has; tell whether it has."""
        return bool(self.master.asks(lambda client: client.wait(1, 1000)))

    def await_promotion(self, of: Node) -> None:
        """Wait until every Sentinel names this server, and it takes writes."""
        eventually(lambda: all(s.asks(master_port) == of.port for s in self.sentinels))
        eventually(lambda: of.asks(lambda client: client.set("promoted", "1")))

    def switch_over(self) -> bool:
        """Ask a Sentinel to make the replica the master; False where it is too soon for that."""
        return bool(self.sentinels[0].asks(lambda client: client.sentinel_failover(SERVICE)))

    def heal(self) -> None:
        """Have every process run again, and one master with its replica."""
        for node in self.servers:
            node.resume()
            node.start()
        eventually(lambda: all(self._knows_all(each) for each in self.sentinels))
        for node in self.servers:
            node.asks(lambda client: client.config_set("appendfsync", "always"))
        eventually(self.is_copied)

    def _knows_all(self, sentinel: Node) -> bool:
        state = sentinel.asks(lambda client: client.sentinel_master(SERVICE))
        return (
            bool(state)
            and (state["num-other-sentinels"], state["num-slaves"]) == (2, 1)
            and not (state["is_sdown"] or state["is_odown"])
        )


def quoted(password: str) -> str:
    """Write a password as a URL holds it."""
    return quote(password, safe="")


def master_port(client: redis.Redis) -> int:
    """Ask a Sentinel for the master's port."""
    answer: Any = client.sentinel_get_master_addr_by_name(SERVICE)
    return int(answer[1])
