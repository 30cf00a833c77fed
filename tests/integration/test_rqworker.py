"""A worker process stops when it is told to, whatever the signal breaks off."""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Iterator
from unittest.mock import patch

import pytest
import redis
from rq import Queue
from rq.exceptions import StopRequested
from rq.serializers import JSONSerializer
from rq.worker import WorkerStatus

from service.redis import connect
from workers.rqworker import Bell, BellWorker


@pytest.fixture
def worker(redis_url: str) -> Iterator[BellWorker]:
    """Give a worker that listens to a queue in which nothing comes."""
    client = connect(redis_url, answer_seconds=None)
    queue = Queue("events", connection=client, serializer=JSONSerializer, job_class=Bell)
    handlers = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    yield BellWorker([queue], connection=client, job_class=Bell, serializer=JSONSerializer)
    for number, handler in handlers.items():
        signal.signal(number, handler)
    client.close()


@pytest.mark.timeout(60)
def test_told_between_two_jobs(worker: BellWorker) -> None:
    """A signal that still counts as during the last job keeps it from waiting for another."""
    worker.set_state(WorkerStatus.BUSY)
    worker.request_stop(signal.SIGTERM, None)
    with pytest.raises(StopRequested):
        worker.dequeue_job_and_maintain_ttl(1)


@pytest.mark.timeout(60)
def test_word_is_lost_in_what_it_breaks_off(worker: BellWorker) -> None:
    """A library that swallows the exception of a signal only delays the stop."""
    real = Queue.dequeue_any
    told: list[bool] = []

    def swallowing(*words: object, **named: object) -> object:
        if not told:
            told.append(True)
            with contextlib.suppress(StopRequested):
                os.kill(os.getpid(), signal.SIGTERM)
        return real(*words, **named)  # type: ignore[arg-type]

    signal.signal(signal.SIGTERM, worker.request_stop)
    with (
        patch.object(worker.queue_class, "dequeue_any", swallowing),
        pytest.raises(StopRequested),
    ):
        worker.dequeue_job_and_maintain_ttl(1)


@pytest.mark.timeout(60)
def test_redis_is_away_when_it_is_told(worker: BellWorker) -> None:
    """That its farewell cannot be written is no reason to leave a job that runs."""
    worker.set_state(WorkerStatus.BUSY)

    def gone(*words: object) -> None:
        raise redis.ConnectionError

    with patch.object(worker.connection, "hset", gone):
        worker.request_stop(signal.SIGTERM, None)
    assert worker.is_away
