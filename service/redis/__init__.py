"""The only place that makes Redis connections.

redis-py's defaults do not fit: its asyncio pool raises past 100 connections and
its ten retries hang a caller for seconds when Redis is away. Here a call fails
fast and the caller decides. What a URL may look like stands in `urls`, who follows a
fail-over in `pools`, how the door hurries in `quick`, what an error means for an operator in
`explaining`.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import redis
import redis.asyncio
from redis.asyncio.retry import Retry as AsyncRetry
from redis.backoff import NoBackoff
from redis.retry import Retry

from service.redis.explaining import explained
from service.redis.pools import ASYNC, DEMOTED, SYNC, make
from service.redis.quick import Quick
from service.redis.urls import described, has_sentinels

__all__ = [
    "DEMOTED",
    "Client",
    "Quick",
    "RedisError",
    "connect",
    "connect_async",
    "described",
    "explained",
    "has_sentinels",
]

#: What every room may meet and need not import redis-py for.
RedisError = redis.RedisError
Client = redis.Redis

CONNECT_SECONDS = 1.0
ANSWER_SECONDS = 3.0


def connect(url: str, *, answer_seconds: float | None = ANSWER_SECONDS) -> redis.Redis:
    """Make a client for threads and worker processes; it connects on first use.

    `answer_seconds` None waits for ever: RQ's blocking pop sets its own bound.
    Raises ConfigError for what is no URL of Redis.
    """
    pool = make(
        SYNC,
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
    answer_seconds: float | None = ANSWER_SECONDS,
    connections: int = 16,
) -> redis.asyncio.Redis:
    """Make a client for the event loop; `on_connect` runs on each new connection, before use.

    `answer_seconds` None is for who bounds each call, which is cheaper than redis-py's way.
    Raises ConfigError for what is no URL of Redis.
    """
    pool = make(
        ASYNC,
        url,
        max_connections=connections,
        timeout=5,
        socket_connect_timeout=CONNECT_SECONDS,
        socket_timeout=answer_seconds,
        redis_connect_func=on_connect,
        retry=AsyncRetry(NoBackoff(), 0),
    )
    return redis.asyncio.Redis.from_pool(pool)
