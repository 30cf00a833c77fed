"""The gauges that the stream knows, for the metrics page."""

from __future__ import annotations

from dataclasses import replace

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
