"""The only place that makes Redis connections.

redis-py's defaults do not fit: its asyncio pool raises past 100 connections and
its ten retries hang a caller for seconds when Redis is away. Here a call fails
fast and the caller decides.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import redis
import redis.asyncio
from redis.asyncio.retry import Retry as AsyncRetry
from redis.backoff import NoBackoff
from redis.retry import Retry

from service.errors import ConfigError

#: What every room may meet and need not import redis-py for.
RedisError = redis.RedisError
Client = redis.Redis

CONNECT_SECONDS = 1.0
ANSWER_SECONDS = 3.0


def connect(url: str, *, answer_seconds: float | None = ANSWER_SECONDS) -> redis.Redis:
    """Make a client for threads and worker processes; it connects on first use.

    `answer_seconds` None waits for ever: RQ's blocking pop sets its own bound.
    """
    pool = checked(
        redis.BlockingConnectionPool,
        url,
        max_connections=16,
        timeout=5,
        socket_connect_timeout=CONNECT_SECONDS,
        socket_timeout=answer_seconds,
        health_check_interval=15,
        retry=Retry(NoBackoff(), 1),
    )
    return redis.Redis.from_pool(pool)  # closing the client closes the pool


def connect_async(
    url: str,
    *,
    on_connect: Callable[[Any], Awaitable[None]] | None = None,
    answer_seconds: float = ANSWER_SECONDS,
    connections: int = 16,
) -> redis.asyncio.Redis:
    """Make a client for the event loop; `on_connect` runs on each new connection, before use."""
    pool = checked(
        redis.asyncio.BlockingConnectionPool,
        url,
        max_connections=connections,
        timeout=5,
        socket_connect_timeout=CONNECT_SECONDS,
        socket_timeout=answer_seconds,
        redis_connect_func=on_connect,
        retry=AsyncRetry(NoBackoff(), 0),
    )
    return redis.asyncio.Redis.from_pool(pool)


def checked(kind: Any, url: str, **options: Any) -> Any:
    """Build a pool and look at what the URL asks for, without opening anything.

    Raises ConfigError; it does not repeat the URL, which may hold a password.
    """
    if not url.startswith("unix:"):
        options["socket_keepalive"] = True
    try:
        pool = kind.from_url(url, **options)
        pool.connection_class(**pool.connection_kwargs)
    except (ValueError, TypeError):
        raise ConfigError(
            "AMILI_REDIS_URL: not a Redis URL; it looks like redis://host:6379/0, "
            "rediss://… with TLS or unix:///path, and has no unknown options"
        ) from None
    return pool
