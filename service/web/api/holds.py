"""`/holds`: what must stay paused, and why, over all cases."""

from __future__ import annotations

from functools import partial

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from service.web.api.asked import flag, listed
from service.web.api.desks import Desk


def routes(desk: Desk) -> list[Route]:
    """Make the routes of holds; placing and releasing stand with their cases."""

    async def listing(request: Request) -> Response:
        asked = request.query_params
        show = partial(desk.reading.holds, only_active=not flag(request, "all"))
        return await listed(
            request, show, "all", case_id=asked.get("caseId"), after=asked.get("after")
        )

    return [Route("/holds", listing)]
