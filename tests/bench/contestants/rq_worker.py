"""(b) RQ's forking worker, one job for each event. All imports are done before the fork.

    python -m tests.bench.contestants.rq_worker

What is connected before a fork cannot be used after it, so each job opens its own session.
"""

from __future__ import annotations

import os
from collections.abc import Iterable

from redis import Redis
from rq import Queue, Worker
from rq.serializers import JSONSerializer

from tests.bench.contestants.rq_work import settle

redis = Redis.from_url(os.environ["BENCH_REDIS_URL"])
queue = Queue("events", connection=redis, serializer=JSONSerializer)


def fill(numbers: Iterable[int]) -> None:
    """Queue jobs, many in one round trip."""
    jobs = [
        Queue.prepare_data(settle, (str(number),), result_ttl=0, description="event")
        for number in numbers
    ]
    for start in range(0, len(jobs), 500):
        queue.enqueue_many(jobs[start : start + 500])


if __name__ == "__main__":
    print("ready", flush=True)  # noqa: T201 - the harness reads it in the log
    Worker([queue], connection=redis, serializer=JSONSerializer).work(logging_level="WARNING")
