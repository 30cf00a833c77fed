"""`/holds`: what must stay paused, and why, over all cases."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from service.web.api.asked import listed
from service.web.api.desks import Desk


def routes(desk: Desk) -> list[Route]:
    """Make the routes of holds; placing and releasing stand with their cases."""

    async def listing(request: Request) -> Response:
        asked = request.query_params
        everything = asked.get("all") in ("1", "true")
        return await listed(
            request, desk.reading.holds, only_active=not everything, after=asked.get("after")
        )

    return [Route("/holds", listing)]
