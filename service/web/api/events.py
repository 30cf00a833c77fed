"""`/events`: webhooks that came in, and their replay."""

from __future__ import annotations

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from service.web.api.asked import key_of, numbered, showing
from service.web.api.desks import Desk


def routes(desk: Desk) -> list[Route]:
    """Make the routes of events; an id may have slashes."""

    async def listing(request: Request) -> Response:
        return await numbered(request, desk.reading.events, state=request.query_params.get("state"))

    async def replay(request: Request) -> Response:
        count = await run_in_threadpool(
            desk.writing.replay, request.path_params["id"], key_of(request)
        )
        return JSONResponse({"replayed": count}, 202)

    return [
        Route("/events", listing),
        Route("/events/{id:path}", showing(desk.reading.event)),
        Route("/events/{id:path}/replay", replay, methods=["POST"]),
    ]
