"""`/cases`: as last read, and the holds that pause and resume them."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated

from pydantic import AfterValidator, AwareDatetime, BaseModel, ConfigDict, Field, WithJsonSchema
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from service.desk import shapes
from service.desk.writing import LONGEST_COMMENT, NewHold, prose
from service.web.api.asked import Word, body_of, flag, key_of, listed, showing
from service.web.api.desks import Desk


def in_utc(value: datetime) -> datetime:
    """Accept a moment that UTC has a date for."""
    try:
        return value.astimezone(UTC)
    except OverflowError:
        raise ValueError("must lie between the years 1 and 9999 in UTC") from None


#: Lines of printable characters.
Comment = Annotated[
    str,
    AfterValidator(prose),
    WithJsonSchema(
        {"type": "string", "maxLength": LONGEST_COMMENT, "pattern": r"^(?:[^\p{C}\p{Z}]|[ \n\t])*$"}
    ),
]


class HoldRequest(BaseModel):
    """The body of `POST /cases/{caseId}/holds` and `/pause`."""

    model_config = ConfigDict(extra="forbid")

    reason: Word
    until: Annotated[AwareDatetime, Field(strict=True), AfterValidator(in_utc)] | None = None
    comment: Comment | None = None


def routes(desk: Desk) -> list[Route]:
    """Make the routes of cases; to pause one is to place a hold on it."""

    async def listing(request: Request) -> Response:
        asked = request.query_params
        return await listed(
            request,
            desk.reading.cases,
            status=asked.get("status"),
            case_number=asked.get("caseNumber"),
            adrift=flag(request, "adrift"),
            after=asked.get("after"),
        )

    async def place(request: Request) -> Response:
        wish = await body_of(request, HoldRequest)
        new = NewHold(
            case_id=request.path_params["id"],
            reason=wish.reason,
            owner="api",
            until=wish.until,
            comment=wish.comment,
            key=key_of(request),
        )
        hold = await run_in_threadpool(desk.writing.place_hold, new)
        return JSONResponse(shapes.hold(hold), 201)

    async def release(request: Request) -> Response:
        ids = request.path_params
        await run_in_threadpool(desk.writing.release_hold, ids["id"], ids["hold"])
        return Response(status_code=204)

    async def resume(request: Request) -> Response:
        case_id = request.path_params["id"]
        told = await run_in_threadpool(desk.writing.resume, case_id, key_of(request))
        return JSONResponse(told)

    return [
        Route("/cases", listing),
        Route("/cases/{id}", showing(desk.reading.case)),
        Route("/cases/{id}/timeline", showing(desk.reading.timeline)),
        Route("/cases/{id}/holds", place, methods=["POST"]),
        Route("/cases/{id}/holds/{hold}", release, methods=["DELETE"]),
        Route("/cases/{id}/pause", place, methods=["POST"]),
        Route("/cases/{id}/resume", resume, methods=["POST"]),
    ]
