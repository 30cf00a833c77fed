"""`/events`: webhooks that came in, and their replay, one by one or all dead ones of a kind."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from functools import partial
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, WithJsonSchema
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from service.desk.spans import moment_ago
from service.desk.writing import word
from service.domain.deliveries import Which
from service.web.api.asked import Word, body_of, key_of, numbered, showing
from service.web.api.desks import Desk
from service.web.problems import BadRequest

#: What a list is asked by.
FILTERS = ("state", "type", "error", "since")


#: What `since` takes, in JSON Schema.
SINCE: dict[str, Any] = {
    "description": "A moment, or how long ago: 45m, 12h, 14d.",
    "anyOf": [
        {"type": "string", "format": "date-time"},
        {"type": "string", "pattern": "^(?:[0-9]{1,5}d|[0-9]{1,6}[mh])$"},
    ],
}


def ago(value: str) -> datetime:
    """Read a moment or a span. Raises ValueError."""
    return moment_ago(value, datetime.now(UTC))


class ReplayRequest(BaseModel):
    """The body of `POST /events/replay`; none at all means every dead letter."""

    model_config = ConfigDict(extra="forbid")

    state: Literal["dead"] = "dead"
    type: Word | None = None
    error: Word | None = None
    since: Annotated[Word, WithJsonSchema(SINCE)] | None = None
    #: The `next` of the answer before.
    after: Annotated[str, Field(pattern=r"^[0-9]{1,18}$")] = "0"


def which_of(asked: Mapping[str, str]) -> Which:
    """Read the filters of a list. Raises BadRequest."""
    given = {name: value for name in FILTERS if (value := asked.get(name)) is not None}
    for name, value in given.items():
        try:
            word(value)
        except ValueError as exc:
            raise BadRequest(f"`{name}` {exc}.") from None
    since = given.pop("since", None)
    return Which(**given, since=None if since is None else since_of(since))


def since_of(text: str) -> datetime:
    """Read `since`. Raises BadRequest."""
    try:
        return ago(text)
    except ValueError as exc:
        raise BadRequest(f"`since` {exc}.") from None


def routes(desk: Desk) -> list[Route]:
    """Make the routes of events; an id may have slashes."""

    async def listing(request: Request) -> Response:
        show = partial(desk.reading.events, which=which_of(request.query_params))
        return await numbered(request, show, *FILTERS)

    async def replay(request: Request) -> Response:
        count = await run_in_threadpool(
            desk.writing.replay, request.path_params["id"], key_of(request)
        )
        return JSONResponse({"replayed": count}, 202)

    async def replay_dead(request: Request) -> Response:
        key = key_of(request)
        wish = await body_of(request, ReplayRequest, may_be_empty=True)
        since = None if wish.since is None else since_of(wish.since)
        which = Which(type=wish.type, error=wish.error, since=since)
        told = await run_in_threadpool(
            lambda: desk.dead.replay(which, after=int(wish.after), key=key)
        )
        return JSONResponse(told, 202)

    return [
        Route("/events", listing),
        Route("/events/replay", replay_dead, methods=["POST"]),
        Route("/events/{id:path}", showing(desk.reading.event)),
        Route("/events/{id:path}/replay", replay, methods=["POST"]),
    ]
