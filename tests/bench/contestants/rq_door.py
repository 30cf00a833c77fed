"""(b) The tutorial design: `Queue.enqueue` in the thread pool, one job for each event.

One Queue over one pool of connections for the whole process. `result_ttl=0` and a fixed
description: nothing is written that nobody reads.
"""

from __future__ import annotations

import os

from redis import Redis
from rq import Queue
from rq.serializers import JSONSerializer
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from tests.bench.contestants.receiving import receive

queue = Queue(
    "events",
    connection=Redis.from_url(os.environ["BENCH_REDIS_URL"]),
    serializer=JSONSerializer,
)
JOB = "tests.bench.contestants.rq_work.settle"


def enqueue(case_number: str) -> None:
    """Queue one event's work."""
    queue.enqueue(JOB, case_number, result_ttl=0, description="event")


async def webhook(request: Request) -> Response:
    """Answer 202 once the job is in Redis."""
    event = receive(request.headers["x-webhook-signature"], await request.body())
    if event is None:
        return Response(status_code=401)
    await run_in_threadpool(enqueue, event.data.case_number or "")
    return Response(status_code=202)


app = Starlette(routes=[Route("/webhooks/amili", webhook, methods=["POST"])])
