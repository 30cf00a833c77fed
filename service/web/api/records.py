"""`/batches`, `/invoices`, `/settlements`: what Amili said of them, as last read."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from service.web.api.asked import listed, showing
from service.web.api.desks import Desk


def routes(desk: Desk) -> list[Route]:
    """Make the routes of records that are only read."""

    async def settlements(request: Request) -> Response:
        return await listed(
            request, desk.reading.settlements, after=request.query_params.get("after")
        )

    return [
        Route("/batches/{id}", showing(desk.reading.batch)),
        Route("/invoices/{id}", showing(desk.reading.invoice)),
        Route("/settlements", settlements),
        Route("/settlements/{id}", showing(desk.reading.settlement)),
    ]
