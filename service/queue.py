"""The bells: RQ jobs that say «there is work», and nothing else.

RQ is the bell, never the truth: a job carries no payload, and losing every key of RQ loses
nothing, since the sweeper rings again. One queue for each worker process: RQ's pop is
atomic only then. Job names are strings here; `workers` is never imported.
"""

from __future__ import annotations

from typing import Literal

import redis
import structlog
from rq import Queue, Worker
from rq.serializers import JSONSerializer

log = structlog.get_logger()

QueueName = Literal["events", "actions"]

#: Queue → the function that its worker runs. A test resolves each.
JOBS: dict[QueueName, str] = {
    "events": "workers.jobs.work_events",
    "actions": "workers.jobs.perform_actions",
}
JOB_SECONDS = 60


class Bells:
    """Rings at the queues; never more often than anybody could hear."""

    def __init__(self, client: redis.Redis) -> None:
        self._queues: dict[QueueName, Queue] = {
            name: Queue(name, connection=client, serializer=JSONSerializer) for name in JOBS
        }

    def ring(self, name: QueueName) -> bool:
        """Ring, unless a bell waits already: its job will see all that is committed now."""
        queue = self._queues[name]
        if queue.count > 0:
            return False
        queue.enqueue(
            JOBS[name],
            job_timeout=JOB_SECONDS,
            result_ttl=30,
            failure_ttl=24 * 3600,
            description=name,
        )
        return True

    def try_ring(self, *names: QueueName) -> None:
        """Ring at each; where Redis is away the sweeper will: what is to be done is in SQL."""
        try:
            for name in names:
                self.ring(name)
        except redis.RedisError as exc:
            log.info("bell_not_rung", error=type(exc).__name__)


def listening(client: redis.Redis) -> dict[QueueName, int]:
    """Count the workers of each queue whose heartbeat is not over."""
    found: dict[QueueName, int] = dict.fromkeys(JOBS, 0)
    for worker in Worker.all(connection=client, serializer=JSONSerializer):
        for name in found:
            found[name] += name in worker.queue_names()
    return found
