"""(a) The ceiling: a Starlette route that reads, verifies and parses, and keeps nothing."""

from __future__ import annotations

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from tests.bench.contestants.receiving import receive


async def webhook(request: Request) -> Response:
    """Answer 202 to what is Amili's; nothing is stored."""
    event = receive(request.headers["x-webhook-signature"], await request.body())
    if event is None:
        return Response(status_code=401)
    return Response(status_code=202)


app = Starlette(routes=[Route("/webhooks/amili", webhook, methods=["POST"])])
