"""`/actions`: the ledger, and what a person may still change about a request."""

from __future__ import annotations

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from service.desk import shapes
from service.web.api.asked import key_of, numbered, showing
from service.web.api.desks import Desk


def routes(desk: Desk) -> list[Route]:
    """Make the routes of actions."""

    async def listing(request: Request) -> Response:
        asked = request.query_params
        return await numbered(
            request, desk.reading.actions, case_id=asked.get("caseId"), state=asked.get("state")
        )

    async def cancel(request: Request) -> Response:
        key_of(request)  # a second cancelling changes nothing: any key will do
        action = await run_in_threadpool(desk.asking.cancel, request.path_params["id"])
        return JSONResponse(shapes.action(action))

    async def resend(request: Request) -> Response:
        action_id = request.path_params["id"]
        action = await run_in_threadpool(desk.asking.resend, action_id, key_of(request))
        return JSONResponse(shapes.action(action), 202)

    return [
        Route("/actions", listing),
        Route("/actions/{id}", showing(desk.reading.action)),
        Route("/actions/{id}/cancel", cancel, methods=["POST"]),
        Route("/actions/{id}/resend", resend, methods=["POST"]),
    ]
