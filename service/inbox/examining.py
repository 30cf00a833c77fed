"""What `doctor` asks of Redis: durability, eviction, clock."""

from __future__ import annotations

import time
from typing import Any, Literal

from service.inbox.appending import Appender, Durability
from service.redis import Client, RedisError


async def durability(url: str, demand: Literal["disk", "memory"]) -> Durability:
    """Judge as the door does, by one durable write. Raises RedisError when there is no answer."""
    appender = Appender(url, demand=demand)
    try:
        await appender.probe()
    except RedisError:
        if appender.durability != "too weak":
            raise
    finally:
        await appender.close()
    return appender.durability


def eviction(client: Client) -> str:
    """Return Redis' `maxmemory-policy`; '' when it does not tell."""
    said: Any = client.info("memory")
    return str(said.get("maxmemory_policy", ""))


def least_replicas(client: Client) -> int | None:
    """Return how many replicas a write needs (`min-replicas-to-write`); None when not told."""
    try:
        said: Any = client.config_get("min-replicas-to-write")
    except RedisError:
        return None
    return int(said["min-replicas-to-write"]) if said else None


def server_time(client: Client) -> tuple[float, float, float]:
    """Read Redis' clock: its Unix time, and ours just before and after."""
    client.ping()  # the connection's own time is not to be measured
    asked_at = time.time()
    seconds, micros = map(int, client.time())
    return seconds + micros / 1e6, asked_at, time.time()
