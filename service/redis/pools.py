"""Pools that wait for a free connection, and connections that follow a fail-over.

A master that was demoted answers READONLY and stays connected. Such a connection is closed: the
next one goes to the master that the Sentinels name, or to where the host's name leads by then.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import redis
from redis import connection as plain
from redis import sentinel
from redis.asyncio import connection as async_plain
from redis.asyncio import sentinel as async_sentinel
from redis.asyncio.retry import Retry as AsyncRetry
from redis.backoff import NoBackoff
from redis.maint_notifications import MaintNotificationsConfig
from redis.retry import Retry

from service.redis.urls import FORMS, Address, parse, wrong

#: For each Sentinel: one that hangs must leave time for the next one, and for the master.
SENTINEL_SECONDS = 0.4
#: How often the door asks them, while nothing is wrong, who the master is.
FOLLOW_SECONDS = 0.5
NO_MASTER = "No master found that a Sentinel takes for healthy"
DEMOTED = "the server is a replica now (READONLY)"


def is_demoted(error: Exception) -> bool:
    """Tell whether a server refuses to write because it is a replica.

    Redis 6.2 hides it in the text when a script was refused.
    """
    return isinstance(error, redis.ReadOnlyError) or "-READONLY" in str(error)


class Follows:
    """Closes a connection to a server that was demoted; raises redis.ConnectionError then.

    It also closes one whose read a signal broke off. Those that redis-py makes for Sentinels stay
    open then, and the answer that comes late is taken for that to the next command.
    """

    def read_response(self, *words: Any, **options: Any) -> Any:
        """Read an answer, as redis-py's connections do."""
        options.setdefault("disconnect_on_error", True)
        try:
            return super().read_response(*words, **options)  # type: ignore[misc]
        except redis.ResponseError as exc:
            if not is_demoted(exc):
                raise
            self.disconnect()  # type: ignore[attr-defined]
            raise redis.ConnectionError(DEMOTED) from exc


class AsyncFollows:
    """The same for the event loop."""

    async def read_response(self, *words: Any, **options: Any) -> Any:
        """Read an answer, as redis-py's connections do."""
        try:
            return await super().read_response(*words, **options)  # type: ignore[misc]
        except redis.ResponseError as exc:
            if not is_demoted(exc):
                raise
            await self.disconnect()  # type: ignore[attr-defined]
            raise redis.ConnectionError(DEMOTED) from exc


class Tcp(Follows, plain.Connection):
    """One server."""


class Tls(Follows, plain.SSLConnection):
    """One server, over TLS."""


class Unix(Follows, plain.UnixDomainSocketConnection):
    """One server of this machine."""


class Master(Follows, sentinel.SentinelManagedConnection):
    """Whom the Sentinels name."""


class TlsMaster(Follows, sentinel.SentinelManagedSSLConnection):
    """Whom the Sentinels name, over TLS."""


def is_healthy(state: Mapping[str, Any]) -> bool:
    """Tell whether a Sentinel takes a master for one, and for alive."""
    return bool(state["is_master"]) and not (state["is_sdown"] or state["is_odown"])


class Sentinels(sentinel.Sentinel):
    """Asks one after the other; when none knows a healthy master, the last error is its cause."""

    def discover_master(self, service_name: str) -> tuple[str, int]:
        """Return host and port of the master. Raises MasterNotFoundError."""
        error = None
        for number, each in enumerate(self.sentinels):
            try:
                masters: Any = each.sentinel_masters()
            except redis.RedisError as exc:
                error = exc
                continue
            state = masters.get(service_name)
            if state and is_healthy(state):
                self.sentinels.insert(0, self.sentinels.pop(number))  # to be asked first
                return state["ip"], state["port"]
        raise sentinel.MasterNotFoundError(NO_MASTER) from error


class MasterPool(sentinel.SentinelConnectionPool, redis.BlockingConnectionPool):
    """Connections to the master that the Sentinels name."""

    def disconnect(self, inuse_connections: bool = True) -> None:
        """Close the connections; with all of them those to the Sentinels."""
        super().disconnect(inuse_connections)
        if inuse_connections:
            self.sentinel_manager.close()


class AsyncTcp(AsyncFollows, async_plain.Connection):
    """One server."""


class AsyncTls(AsyncFollows, async_plain.SSLConnection):
    """One server, over TLS."""


class AsyncUnix(AsyncFollows, async_plain.UnixDomainSocketConnection):
    """One server of this machine."""


class AsyncMaster(AsyncFollows, async_sentinel.SentinelManagedConnection):
    """Whom the Sentinels name."""


class AsyncTlsMaster(AsyncFollows, async_sentinel.SentinelManagedSSLConnection):
    """Whom the Sentinels name, over TLS."""


class AsyncSentinels(async_sentinel.Sentinel):
    """The same for the event loop."""

    async def discover_master(self, service_name: str) -> tuple[str, int]:
        """Return host and port of the master. Raises MasterNotFoundError."""
        error = None
        for number, each in enumerate(self.sentinels):
            try:
                masters: Any = await each.sentinel_masters()
            except redis.RedisError as exc:
                error = exc
                continue
            state = masters.get(service_name)
            if state and is_healthy(state):
                self.sentinels.insert(0, self.sentinels.pop(number))
                return state["ip"], state["port"]
        raise async_sentinel.MasterNotFoundError(NO_MASTER) from error


class AsyncMasterPool(async_sentinel.SentinelConnectionPool, async_plain.BlockingConnectionPool):
    """Connections to the master that the Sentinels name.

    In an operator's switch-over the old master goes on taking writes for some ten seconds, and
    all of them are thrown away then. So the Sentinels are asked now and then, while others use
    the connections that there are: those to a master that is not the one any more are closed.
    """

    _asked_at = 0.0
    _asking: asyncio.Task[None] | None = None

    async def get_connection(self, *words: Any, **options: Any) -> Any:
        """Give a connection, as redis-py's pools do."""
        now = time.monotonic()
        if now - self._asked_at > FOLLOW_SECONDS and (self._asking is None or self._asking.done()):
            self._asked_at = now
            self._asking = asyncio.create_task(self._ask())
        untyped: Any = super()
        return await untyped.get_connection()

    async def release(self, connection: Any) -> None:
        """Take a connection back; closed, where it leads to a master of the past."""
        if self.master_address not in (None, (connection.host, connection.port)):
            await connection.disconnect()
        await super().release(connection)

    async def _ask(self) -> None:
        with contextlib.suppress(redis.RedisError):  # then the connection's own errors decide
            untyped: Any = self
            await untyped.get_master_address()

    async def disconnect(self, inuse_connections: bool = True) -> None:
        """Close the connections; with all of them those to the Sentinels."""
        if inuse_connections and self._asking is not None:
            self._asking.cancel()
        await super().disconnect(inuse_connections)
        if inuse_connections:
            for each in self.sentinel_manager.sentinels:
                await each.aclose()


@dataclass(frozen=True, slots=True)
class Kind:
    """What clients of one kind are made of."""

    pool: Any
    master_pool: Any
    sentinel: Any
    retry: Any
    wires: Mapping[str, Any]
    masters: Mapping[str, Any]


SYNC = Kind(
    pool=redis.BlockingConnectionPool,
    master_pool=MasterPool,
    sentinel=Sentinels,
    retry=Retry,
    wires={"tcp": Tcp, "tls": Tls, "unix": Unix},
    masters={"tcp": Master, "tls": TlsMaster},
)
ASYNC = Kind(
    pool=async_plain.BlockingConnectionPool,
    master_pool=AsyncMasterPool,
    sentinel=AsyncSentinels,
    retry=AsyncRetry,
    wires={"tcp": AsyncTcp, "tls": AsyncTls, "unix": AsyncUnix},
    masters={"tcp": AsyncMaster, "tls": AsyncTlsMaster},
)


def make(kind: Kind, url: str, **ours: Any) -> Any:
    """Build a pool and look at what the URL asks for, without opening anything.

    What the URL says goes before `ours`. Raises ConfigError; it does not repeat the URL.
    """
    address = parse(url)
    if address.wire != "unix":
        ours["socket_keepalive"] = True
    # A service of one vendor. While a pool waits for such news, it does not look whether a
    # connection that it gives out was closed meanwhile, or holds an answer that nobody read.
    ours["maint_notifications_config"] = MaintNotificationsConfig(enabled=False)
    options = ours | dict(address.options)
    try:
        if address.sentinels:
            pool = master_pool(kind, address, options)
        else:
            pool = kind.pool(connection_class=kind.wires[address.wire], **options)
        pool.connection_class(**pool.connection_kwargs)
    except (ValueError, TypeError, redis.RedisError):
        raise wrong(f"not a Redis URL; {FORMS}") from None
    return pool


def master_pool(kind: Kind, address: Address, options: Mapping[str, Any]) -> Any:
    """Build a pool whose every new connection asks the Sentinels first."""
    manager = kind.sentinel(
        address.sentinels,
        sentinel_kwargs={
            "socket_connect_timeout": SENTINEL_SECONDS,
            "socket_timeout": SENTINEL_SECONDS,
            "socket_keepalive": True,
            "retry": kind.retry(NoBackoff(), 0),
            **address.sentinel_options,
        },
    )
    return kind.master_pool(
        address.service, manager, connection_class=kind.masters[address.wire], **options
    )
