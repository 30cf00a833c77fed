"""`/quarantine`: refused deliveries, and their replay through the door.

What they seal is shown by the command line only: it is about people.
"""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from service.desk.ids import known
from service.web.api.asked import key_of, numbered
from service.web.api.desks import Desk


def routes(desk: Desk) -> list[Route]:
    """Make the routes of the quarantine."""

    async def listing(request: Request) -> Response:
        reason = request.query_params.get("reason")
        return await numbered(request, desk.quarantined.list, reason=reason)

    async def replay(request: Request) -> Response:
        name = known(request.path_params["id"])
        return JSONResponse(await desk.replayer.replay(name, key_of(request)), 202)

    return [
        Route("/quarantine", listing),
        Route("/quarantine/{id}/replay", replay, methods=["POST"]),
    ]
