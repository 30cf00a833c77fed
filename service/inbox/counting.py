"""The gauges that Redis knows, for the metrics page."""

from __future__ import annotations

from dataclasses import replace

import redis

from service.amili.gate_key import FIELDS, gauges
from service.inbox.stream import Stream
from service.redis import RedisError
from service.telemetry.metrics import Snapshot


def with_backlog(counted: Snapshot, stream: Stream) -> Snapshot:
    """Add what waits in the stream; nothing while Redis does not answer."""
    try:
        entries, oldest = stream.backlog()
    except (RedisError, OSError):
        return counted
    return replace(counted, inbox_entries=entries, inbox_oldest_seconds=oldest)


def with_gate(counted: Snapshot, client: redis.Redis, key: str) -> Snapshot:
    """Add what the gate to Amili's API allows; nothing before the first call."""
    try:
        values = client.hmget(key, list(FIELDS))
    except (RedisError, OSError):
        return counted
    rate, is_open = gauges(values)
    return replace(counted, api_rate=rate, api_breaker_open=is_open)
