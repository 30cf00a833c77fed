"""Amili's API over HTTP: every call is authorized, met by its fault, performed, recorded, answered.

Between performing and recording nothing else runs, so the record is an oracle.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, replace
from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from service.sandbox import operations
from service.sandbox.asking import Ask, Told, refusal
from service.sandbox.errors import Refused
from service.sandbox.faults import Fault
from service.sandbox.journal import Call
from service.sandbox.operations import OPERATIONS, Operation
from service.sandbox.wire import dumps, loads
from service.sandbox.world import World

BASE = "/collection/v1"
#: The key in the ASGI scope's extensions under which `server` puts what cuts a connection.
CUT = "amili.sandbox.cut"
GATEWAY_ERRORS = (502, 503)
EVERY_METHOD = ["GET", "POST", "PUT", "PATCH", "DELETE"]


class Json(Response):
    """A JSON answer that keeps the scale of money."""

    media_type = "application/json"

    def render(self, content: Any) -> bytes:
        """Write the body; None is no body."""
        return b"" if content is None else dumps(content)


class Cut(Response):
    """No answer at all: the connection is reset."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Abort the transport and wait until the server has noticed."""
        scope["extensions"][CUT]()
        while (await receive())["type"] != "http.disconnect":
            pass


@dataclass
class Answer:
    """What will be sent, and what is written down about it."""

    told: Told
    status: int | None
    body: Any = None
    fault: Fault | None = None

    @property
    def delay_seconds(self) -> float:
        """How long the answer's own fault holds it back."""
        return self.fault.delay_seconds if self.fault else 0.0

    def response(self) -> Response:
        """Make the HTTP answer."""
        if self.status is None:
            return Cut()
        headers = {}
        if self.fault and self.fault.retry_after is not None:
            headers["Retry-After"] = str(self.fault.retry_after)
        if self.fault and self.status in GATEWAY_ERRORS:
            page = f"<html><body><h1>{self.status}</h1></body></html>"
            return Response(page, self.status, headers, media_type="text/html")
        return Json(self.body, self.status, headers)


def routes(world: World) -> list[Route]:
    """Return the routes of every operation; what no route knows is recorded as Unknown."""
    nothing = Operation(operations.UNKNOWN, "", "/{rest:path}", _not_found)
    made = [_route(world, operation, [operation.method]) for operation in OPERATIONS]
    token = Operation(operations.TOKEN, "POST", "", _not_found)
    return [
        Route("/token", _token_endpoint(world, token), methods=["POST"]),
        *made,
        _route(world, nothing, EVERY_METHOD),
    ]


def _route(world: World, operation: Operation, methods: list[str]) -> Route:
    async def endpoint(request: Request) -> Response:
        raw = await request.body()
        now = world.tick()
        ask = _read(request, raw)
        if world.tokens.accepts(request.headers.get("authorization"), now):
            answer = _decide(world, operation, ask)
        else:
            answer = _refused(401, "no valid bearer token")
        _record(world, operation, request, ask, answer)
        await asyncio.sleep(world.behaviour.answer_delay_seconds + answer.delay_seconds)
        return answer.response()

    return Route(BASE + operation.path, endpoint, methods=methods)


def _token_endpoint(world: World, token: Operation) -> Any:
    async def endpoint(request: Request) -> Response:
        raw = await request.body()
        now = world.tick()
        ask = replace(_read(request, b""), raw=b"")  # the body holds the client's secret
        fault = world.faults.take(token.name, None, world.chance)
        status, body = world.tokens.grant(raw, now)
        answer = _strike(Answer(Told(), status, body), fault)
        _record(world, token, request, ask, answer)
        await asyncio.sleep(answer.delay_seconds)
        return answer.response()

    return endpoint


def _decide(world: World, operation: Operation, ask: Ask) -> Answer:
    fault = world.faults.take(operation.name, ask.target, world.chance)
    if fault and (fault.cut or fault.status) and not fault.after_effect:
        return _strike(Answer(Told(), 200), fault)
    return _strike(_perform(world, operation, ask), fault)


def _perform(world: World, operation: Operation, ask: Ask) -> Answer:
    try:
        strangers = sorted(set(ask.query) - set(operation.query))
        if strangers and operation.name != operations.UNKNOWN:
            raise Refused(400, f"unknown query parameters: {', '.join(strangers)}")
        told = operation.perform(world, _parsed(ask))
    except Refused as exc:
        return _refused(exc.status, str(exc))
    return Answer(told, told.status, told.envelope())


def _strike(answer: Answer, fault: Fault | None) -> Answer:
    if fault is None or not (fault.cut or fault.status):
        return replace(answer, fault=fault)
    body = refusal(fault.status, "a fault on order") if fault.status else None
    return Answer(answer.told, fault.status, body, fault)


def _refused(status: int, message: str) -> Answer:
    return Answer(Told(), status, refusal(status, message))


def _read(request: Request, raw: bytes) -> Ask:
    return Ask(
        path=request.path_params,
        query=dict(request.query_params),
        key=request.headers.get("idempotencykey"),
        base=f"{request.base_url}".rstrip("/") + BASE,
        raw=raw,
    )


def _parsed(ask: Ask) -> Ask:
    if not ask.raw:
        return ask
    try:
        return replace(ask, body=loads(ask.raw))
    except ValueError as exc:
        raise Refused(400, "the body is not JSON") from exc


def _record(world: World, operation: Operation, request: Request, ask: Ask, answer: Answer) -> None:
    try:
        body = loads(ask.raw) if ask.raw else None
    except ValueError:
        body = ask.raw.decode("utf-8", "replace")
    told = answer.told
    call = Call(
        at=world.clock(),
        operation=operation.name,
        method=request.method,
        path=request.url.path + (f"?{request.url.query}" if request.url.query else ""),
        organizationId=ask.organization,
        target=ask.target or told.target,
        idempotencyKey=ask.key,
        status=answer.status,
        effect=told.effect,
        effectAt=told.effect_at,
        fault=answer.fault.label if answer.fault else None,
        body=body,
    )
    world.journal.write(call)


def _not_found(_world: World, _ask: Ask) -> Told:
    raise Refused(404, "no such operation")
