"""(e) Celery's worker: threads, since its tasks wait for the network.

celery -A tests.bench.contestants.celery_worker worker --pool threads --concurrency 32
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from celery.signals import worker_ready

from tests.bench.contestants.celery_app import app
from tests.bench.contestants.pooled import settle_pooled

__all__ = ["app"]


@app.task(name="events.settle")
def settle(case_number: str) -> None:
    """Fetch one case and save it."""
    settle_pooled(case_number)


@worker_ready.connect
def say_ready(**_: Any) -> None:
    """Tell the harness."""
    print("ready", flush=True)  # noqa: T201 - the harness reads it in the log


def fill(numbers: Iterable[int]) -> None:
    """Queue tasks."""
    with app.producer_pool.acquire(block=True) as producer:
        for number in numbers:
            settle.apply_async((str(number),), producer=producer)
