"""Dramatiq: threads, at-least-once, no results.

dramatiq tests.bench.contestants.dramatiq_worker --processes 1 --threads 32
"""

from __future__ import annotations

import os
from collections.abc import Iterable

import dramatiq
from dramatiq.brokers.redis import RedisBroker

from tests.bench.contestants.pooled import settle_pooled

dramatiq.set_broker(RedisBroker(url=os.environ["BENCH_REDIS_URL"]))


@dramatiq.actor(queue_name="events")
def settle(case_number: str) -> None:
    """Fetch one case and save it."""
    settle_pooled(case_number)


def fill(numbers: Iterable[int]) -> None:
    """Queue messages."""
    for number in numbers:
        settle.send(str(number))
