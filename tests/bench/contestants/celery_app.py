"""The Celery application of (e): Redis as broker, no results."""

from __future__ import annotations

import os

from celery import Celery

app = Celery("events", broker=os.environ["BENCH_REDIS_URL"])
app.conf.update(
    task_ignore_result=True,  # nobody reads them
    task_acks_late=True,  # a killed worker must not lose a webhook
    worker_prefetch_multiplier=4,
    broker_pool_limit=40,  # as many as the door has threads
    broker_connection_retry_on_startup=True,
    worker_send_task_events=False,
    worker_hijack_root_logger=False,
)
