"""The RQ worker process of one queue: forks a child for each bell.

It listens on exactly one queue (RQ's pop loses jobs otherwise), runs exactly one function
(who can write to Redis could name another), and does its imports before the fork.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

import structlog
from redis.exceptions import ConnectionError as NoConnection
from redis.exceptions import TimeoutError as NoAnswer
from rq import Queue, Worker
from rq.exceptions import StopRequested
from rq.job import Job
from rq.serializers import JSONSerializer
from rq.worker.base import WorkerStatus

from service.queue import JOBS, QueueName
from service.redis import connect
from service.telemetry.logs import place_of
from workers import jobs

log = structlog.get_logger()

AWAY = (NoConnection, NoAnswer)
#: How soon a worker that has lost Redis tries again, at most.
AGAIN_SECONDS = 1.0
#: RQ waits 15 seconds less for a bell, and 5 less for any answer: so late it notices that a
#: connection leads nowhere.
TO_LIVE_SECONDS = 20


class Bell(Job):
    """A job that is one of ours, without arguments, or is refused."""

    def perform(self) -> Any:
        """Run the job; raises PermissionError for any function but ours."""
        if self.func_name not in JOBS.values() or self.args or self.kwargs:
            raise PermissionError("this job is none of amili-events")
        return super().perform()


class BellWorker(Worker):
    """A forking worker that outlives an outage of Redis, and says so in one line.

    RQ's own would leave with a stack trace, and without waiting for its child. What it could not
    write is of use to RQ only: whatever waits is found by the sweeper, and rung for again.
    """

    max_connection_wait_time = AGAIN_SECONDS
    #: Redis did not answer; told once, until it does again.
    is_away = False

    def execute_job(self, job: Job, queue: Queue) -> None:
        """Run a job to its end, also while Redis is away; then it is not marked as done."""
        with self._outliving("job"):
            super().execute_job(job, queue)

    def maintain_heartbeats(self, job: Job, execution: Any) -> None:
        """Say that the job runs: who cannot goes on waiting for its end."""
        with self._outliving("heartbeat"):
            super().maintain_heartbeats(job, execution)

    def heartbeat(self, timeout: int | None = None, pipeline: Any = None) -> None:
        """Say that this worker is there. Raises StopRequested when it is to stop, and idle."""
        with self._outliving("heartbeat"):
            super().heartbeat(timeout, pipeline)
            self.is_away = False
        if self._stop_requested and self.get_state() != WorkerStatus.BUSY:
            raise StopRequested

    def request_stop(self, signum: int, frame: FrameType | None) -> None:
        """Stop at once when idle, else after the job.

        RQ only raises, or only notes it. What it raises can be lost in the step that the signal
        broke off, and what it notes is not looked at while it waits for a bell; so we do both.
        """
        self._stop_requested = True
        untyped: Any = super()
        untyped.request_stop(signum, frame)

    def set_shutdown_requested_date(self) -> None:
        """Say that it is about to stop."""
        with self._outliving("shutdown"):
            untyped: Any = super()
            untyped.set_shutdown_requested_date()

    def set_state(self, state: str, pipeline: Any = None) -> None:
        """Say what this worker does."""
        with self._outliving("state"):
            super().set_state(state, pipeline)

    def check_for_suspension(self, burst: bool) -> None:
        """Look whether an operator has suspended the workers."""
        with self._outliving("suspension"):
            super().check_for_suspension(burst)

    def run_maintenance_tasks(self) -> None:
        """Tidy RQ's registries."""
        with self._outliving("maintenance"):
            untyped: Any = super()
            untyped.run_maintenance_tasks()

    def teardown(self) -> None:
        """Say good-bye; a worker that cannot is forgotten by its time to live."""
        with self._outliving("good-bye"):
            untyped: Any = super()
            untyped.teardown()

    def handle_exception(self, job: Job, *exc_info: Any) -> None:
        """Tell the place where a job failed, in one line and without values."""
        error = exc_info[1]
        kind = type(error).__name__
        log.error("bell_failed", queue=job.origin, error=kind, place=place_of(error))

    def _pubsub_exception_handler(self, exc: Exception, pubsub: Any, pubsub_thread: Any) -> None:
        """Listen for commands again when Redis is back: the thread would end on a time-out."""
        if not isinstance(exc, AWAY):
            raise exc
        time.sleep(AGAIN_SECONDS)

    @contextmanager
    def _outliving(self, step: str) -> Iterator[None]:
        try:
            yield
        except AWAY as exc:
            if not self.is_away:
                tell_away(self.queue_names()[0], step, exc)
            self.is_away = True


def tell_away(queue: str, step: str, exc: Exception) -> None:
    """Say that Redis does not answer."""
    log.warning("redis_away", queue=queue, step=step, error=type(exc).__name__)


def work(queue: QueueName, context: jobs.Context) -> None:
    """Work on one queue until a signal says otherwise."""
    jobs.configure(context)
    await_redis(queue, context.settings.redis_url)
    client = connect(context.settings.redis_url, answer_seconds=None)
    try:
        worker = BellWorker(
            [Queue(queue, connection=client, serializer=JSONSerializer, job_class=Bell)],
            name=context.consumer.replace(":", "-"),
            connection=client,
            job_class=Bell,
            serializer=JSONSerializer,
            worker_ttl=TO_LIVE_SECONDS,
            maintenance_interval=60,
            job_monitoring_interval=5,
            log_job_description=False,
        )
        if len(worker.queues) != 1:
            raise RuntimeError("one queue for each worker process: RQ loses jobs otherwise")
        worker.work(logging_level="WARNING", with_scheduler=False)
    except AWAY as exc:  # in its first steps: the supervisor starts it again
        tell_away(queue, "start", exc)


def await_redis(queue: QueueName, url: str) -> None:
    """Wait until Redis answers: RQ does not begin without it."""
    client, is_told = connect(url), False
    while True:
        try:
            client.ping()
        except AWAY as exc:
            if not is_told:
                tell_away(queue, "start", exc)
            is_told = True
            time.sleep(AGAIN_SECONDS)
            continue
        client.close()
        return
