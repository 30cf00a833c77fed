"""Compares Redis and SQL for a worker, and counts what had to be mended."""

from __future__ import annotations

import structlog

from service.desk.epoch import keep_in_step
from service.redis import RedisError
from workers.parts import Parts

log = structlog.get_logger()


def compare(parts: Parts) -> None:
    """Clear the door's keys if they speak of another database, or of rows that are lost.

    A Redis that is full or away is compared the next time: what it has is drained first.
    Raises StoreError.
    """
    try:
        found = keep_in_step(parts.database, parts.redis)
    except RedisError as exc:
        log.warning("store_epoch_not_compared", error=type(exc).__name__)
        return
    if found.reason:
        parts.metrics.epoch_repairs.labels(found.reason).inc()
