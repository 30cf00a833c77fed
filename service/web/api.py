"""The operator's API below `/api/v1`: bearer tokens, JSON, problem details."""

from __future__ import annotations

import hmac
from collections.abc import Callable
from datetime import UTC, datetime
from functools import wraps
from typing import Annotated, Any

from pydantic import AfterValidator, AwareDatetime, BaseModel, ConfigDict, Field, ValidationError
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Mount, Route

from service.desk import shapes
from service.desk.reading import MOST, Reading
from service.desk.writing import NewHold, Writing, prose, word
from service.errors import BodyTooLarge
from service.web.problems import problem

Endpoint = Callable[[Request], Any]
LARGEST_BODY = 64 * 1024


def in_utc(value: datetime) -> datetime:
    """Accept a moment that UTC has a date for."""
    try:
        return value.astimezone(UTC)
    except OverflowError:
        raise ValueError("must lie between the years 1 and 9999 in UTC") from None


class HoldRequest(BaseModel):
    """The body of `POST /cases/{caseId}/holds`."""

    model_config = ConfigDict(extra="forbid")

    reason: Annotated[str, AfterValidator(word)]
    until: Annotated[AwareDatetime, Field(strict=True), AfterValidator(in_utc)] | None = None
    comment: Annotated[str, AfterValidator(prose)] | None = None


class Api:
    """The endpoints; they run in threads, since the store is synchronous."""

    def __init__(self, reading: Reading, writing: Writing, tokens: tuple[str, ...]) -> None:
        self._reading = reading
        self._writing = writing
        self._tokens = [token.encode() for token in tokens]

    def mount(self) -> Mount:
        """Put every endpoint in its place."""
        shown = self._reading
        get = self._get
        return Mount(
            "/api/v1",
            routes=[
                Route("/events", self._guarded(self._events)),
                Route("/events/{id:path}", get(shown.event)),
                Route("/events/{id:path}/replay", self._guarded(self._replay), methods=["POST"]),
                Route("/batches/{id}", get(shown.batch)),
                Route("/invoices/{id}", get(shown.invoice)),
                Route("/settlements/{id}", get(shown.settlement)),
                Route("/cases", self._guarded(self._cases)),
                Route("/cases/{id}", get(shown.case)),
                Route("/cases/{id}/timeline", get(shown.timeline)),
                Route("/cases/{id}/holds", self._guarded(self._place), methods=["POST"]),
                Route("/cases/{id}/holds/{hold}", self._guarded(self._release), methods=["DELETE"]),
                Route("/actions", self._guarded(self._actions)),
                Route("/actions/{id}", get(shown.action)),
                Route("/holds", self._guarded(self._holds)),
            ],
        )

    def _guarded(self, endpoint: Endpoint) -> Endpoint:
        """Let nobody in without a token."""

        @wraps(endpoint)
        async def guarded(request: Request) -> Response:
            if not self._knows(request.headers.get("authorization", "")):
                detail = (
                    "Send `Authorization: Bearer TOKEN` with one of AMILI_API_TOKENS."
                    if self._tokens
                    else "No tokens are set: AMILI_API_TOKENS is empty, so nobody may enter."
                )
                return problem(401, "Not authorized", detail)
            answer: Response = await endpoint(request)
            return answer

        return guarded

    def _knows(self, header: str) -> bool:
        scheme, _, given = header.partition(" ")
        # Starlette reads headers as Latin-1: this gives back the bytes that were sent.
        offered = given.strip().encode("latin-1")
        known = [hmac.compare_digest(offered, token) for token in self._tokens]
        return scheme.lower() == "bearer" and any(known)

    def _get(self, show: Callable[[str], shapes.Shape]) -> Endpoint:
        """Make the endpoint that shows one record by its id."""

        async def endpoint(request: Request) -> Response:
            return JSONResponse(await run_in_threadpool(show, request.path_params["id"]))

        return self._guarded(endpoint)

    async def _events(self, request: Request) -> Response:
        return await self._numbered(
            request, self._reading.events, state=request.query_params.get("state")
        )

    async def _cases(self, request: Request) -> Response:
        return await self._list(
            request,
            self._reading.cases,
            status=request.query_params.get("status"),
            after=request.query_params.get("after"),
        )

    async def _actions(self, request: Request) -> Response:
        return await self._numbered(
            request,
            self._reading.actions,
            case_id=request.query_params.get("caseId"),
            state=request.query_params.get("state"),
        )

    async def _holds(self, request: Request) -> Response:
        everything = request.query_params.get("all") in ("1", "true")
        return await self._list(request, self._reading.holds, only_active=not everything)

    async def _numbered(
        self, request: Request, show: Callable[..., shapes.Shape], **asked: Any
    ) -> Response:
        """List what is paged by a number."""
        after = request.query_params.get("after")
        if after is not None and not is_number(after):
            return problem(400, "Bad request", "`after` is the `next` of the page before.")
        return await self._list(request, show, after=int(after) if after else None, **asked)

    async def _list(
        self, request: Request, show: Callable[..., shapes.Shape], **asked: Any
    ) -> Response:
        limit = request.query_params.get("limit", "50")
        if not is_number(limit) or not 1 <= int(limit) <= MOST:
            return problem(400, "Bad request", f"`limit` is a number from 1 to {MOST}.")
        for value in asked.values():
            if isinstance(value, str) and not value.isprintable():
                return problem(400, "Bad request", "A filter consists of printable characters.")
        page = await run_in_threadpool(lambda: show(limit=int(limit), **asked))
        return JSONResponse(page)

    async def _place(self, request: Request) -> Response:
        try:
            wish = HoldRequest.model_validate_json(await small_body(request))
        except ValidationError as exc:
            return problem(422, "Not a hold", explain(exc))
        key = request.headers.get("idempotency-key")
        if key is not None and not (0 < len(key) <= 200 and key.isprintable()):
            return problem(400, "Bad request", "Idempotency-Key: 1 to 200 printable characters.")
        hold = await run_in_threadpool(
            self._writing.place_hold,
            NewHold(
                case_id=request.path_params["id"],
                reason=wish.reason,
                owner="api",
                until=wish.until,
                comment=wish.comment,
                key=None if key is None else f"api:{key}",
            ),
        )
        return JSONResponse(shapes.hold(hold), 201)

    async def _release(self, request: Request) -> Response:
        ids = request.path_params
        await run_in_threadpool(self._writing.release_hold, ids["id"], ids["hold"])
        return Response(status_code=204)

    async def _replay(self, request: Request) -> Response:
        count = await run_in_threadpool(self._writing.replay, request.path_params["id"])
        return JSONResponse({"replayed": count}, 202)


def is_number(text: str) -> bool:
    """Say whether this is a number that any database can compare."""
    return text.isascii() and text.isdigit() and len(text) < 19


async def small_body(request: Request) -> bytes:
    """Read a body of the API. Raises BodyTooLarge."""
    body = b""
    async for chunk in request.stream():
        body += chunk
        if len(body) > LARGEST_BODY:
            raise BodyTooLarge(f"The body is larger than {LARGEST_BODY} bytes.")
    return body


def explain(exc: ValidationError) -> str:
    """Say every thing that is wrong with a body, without its values."""
    said = (
        f"{'.'.join(str(part) for part in error['loc']) or 'body'}: {error['msg']}"
        for error in exc.errors(include_input=False, include_url=False)
    )
    return "; ".join(said)
