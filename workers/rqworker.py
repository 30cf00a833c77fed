"""The RQ worker process of one queue: forks a child for each bell.

It listens on exactly one queue (RQ's pop loses jobs otherwise), runs exactly one function
(who can write to Redis could name another), and does its imports before the fork.
"""

from __future__ import annotations

from typing import Any

from rq import Queue, Worker
from rq.job import Job
from rq.serializers import JSONSerializer

from service.queue import JOBS, QueueName
from service.redis import connect
from workers import jobs


class Bell(Job):
    """A job that is one of ours, without arguments, or is refused."""

    def perform(self) -> Any:
        """Run the job; raises PermissionError for any function but ours."""
        if self.func_name not in JOBS.values() or self.args or self.kwargs:
            raise PermissionError("this job is none of amili-events")
        return super().perform()


class BellWorker(Worker):
    """A forking worker that comes back soon after an outage."""

    max_connection_wait_time = 2.0


def work(queue: QueueName, context: jobs.Context) -> None:
    """Work on one queue until a signal says otherwise."""
    jobs.configure(context)
    client = connect(context.settings.redis_url, answer_seconds=None)
    worker = BellWorker(
        [Queue(queue, connection=client, serializer=JSONSerializer, job_class=Bell)],
        name=context.consumer.replace(":", "-"),
        connection=client,
        job_class=Bell,
        serializer=JSONSerializer,
        worker_ttl=60,
        maintenance_interval=60,
        job_monitoring_interval=5,
        log_job_description=False,
    )
    if len(worker.queues) != 1:
        raise RuntimeError("one queue for each worker process: RQ loses jobs otherwise")
    worker.work(logging_level="WARNING", with_scheduler=False)
