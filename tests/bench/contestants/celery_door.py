"""(e) Celery in place of RQ: `apply_async` in the thread pool, one task for each event."""

from __future__ import annotations

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from tests.bench.contestants.celery_app import app as celery
from tests.bench.contestants.receiving import receive


def enqueue(case_number: str) -> None:
    """Queue one event's work; by name, so that the door imports no worker code."""
    celery.send_task("events.settle", (case_number,), ignore_result=True)


async def webhook(request: Request) -> Response:
    """Answer 202 once the task is in Redis."""
    event = receive(request.headers["x-webhook-signature"], await request.body())
    if event is None:
        return Response(status_code=401)
    await run_in_threadpool(enqueue, event.data.case_number or "")
    return Response(status_code=202)


app = Starlette(routes=[Route("/webhooks/amili", webhook, methods=["POST"])])
