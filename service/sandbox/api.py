"""Amili's API over HTTP: each call is let in, met by its fault, performed, recorded, answered.

Between performing and recording nothing else runs, so the record is an oracle.
"""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from service.sandbox import operations
from service.sandbox.answers import Answer, refused, struck
from service.sandbox.asking import Ask, Told, refusal
from service.sandbox.errors import Refused
from service.sandbox.journal import NO_EFFECT, Call
from service.sandbox.operations import OPERATIONS, Operation
from service.sandbox.wire import loads
from service.sandbox.world import World, new_id

BASE = "/collection/v1"
EVERY_METHOD = ["GET", "POST", "PUT", "PATCH", "DELETE"]


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
            answer = _admit(world, operation, ask, now)
        else:
            answer = refused(401, "no valid bearer token")
        request_id = _record(world, operation, request, ask, answer)
        await asyncio.sleep(world.behaviour.answer_delay_seconds + answer.delay_seconds)
        return answer.response(request_id)

    return Route(BASE + operation.path, endpoint, methods=methods)


def _token_endpoint(world: World, token: Operation) -> Any:
    async def endpoint(request: Request) -> Response:
        raw = await request.body()
        now = world.tick()
        ask = _read(request, b"")  # the body holds the client's secret
        fault = world.faults.take(token.name, None, world.chance)
        status, body = world.tokens.grant(raw, now, world.behaviour.token_life_seconds)
        answer = struck(Answer(Told(status), status, body), fault, ask)
        request_id = _record(world, token, request, ask, answer)
        await asyncio.sleep(answer.delay_seconds)
        return answer.response(request_id)

    return endpoint


def _admit(world: World, operation: Operation, ask: Ask, now: float) -> Answer:
    behaviour = world.behaviour
    wait = world.limit.take(behaviour.requests_per_second, now)
    if wait is not None:
        return refused(429, "too many calls", wait if behaviour.tells_retry_after else None)
    fault = world.faults.take(operation.name, ask.target, world.chance)
    if fault and fault.spoils and not fault.after_effect:
        return struck(Answer(Told(), 200), fault, ask)
    return struck(_perform_once(world, operation, ask), fault, ask)


def _perform_once(world: World, operation: Operation, ask: Ask) -> Answer:
    """Perform a call, or repeat what its idempotency key was answered first."""
    mark = (operation.name, str(sorted(ask.path.items())), ask.key or "")
    first = world.answered.get(mark) if world.behaviour.honours_idempotency else None
    if first is not None:
        told = replace(first, effect=NO_EFFECT, effect_at=None)
        return Answer(told, told.status, told.envelope(), is_repeat=True)
    answer = _perform(world, operation, ask)
    if ask.key and answer.told.effect != NO_EFFECT:
        world.answered.setdefault(mark, answer.told)
    return answer


def _perform(world: World, operation: Operation, ask: Ask) -> Answer:
    try:
        _refuse_strangers(operation, ask)
        told = operation.perform(world, _parsed(ask))
    except Refused as exc:
        body = refusal(exc.status, str(exc), exc.wrong)
        return Answer(Told(exc.status), exc.status, body)
    return Answer(told, told.status, told.envelope())


def _refuse_strangers(operation: Operation, ask: Ask) -> None:
    """Refuse a query member that the contract does not list: pageToken is not PageToken."""
    known = operation.query
    strangers = sorted(set(ask.query) - set(known)) if known is not None else []
    if strangers and operation.name != operations.UNKNOWN:
        raise Refused(400, f"unknown query parameters: {', '.join(strangers)}")


def _read(request: Request, raw: bytes) -> Ask:
    return Ask(
        path=request.path_params,
        query=dict(request.query_params),
        key=request.headers.get("idempotencykey"),
        base=f"{request.base_url}".rstrip("/") + BASE,
        raw=raw,
        content_type=request.headers.get("content-type", "").partition(";")[0].strip().lower(),
    )


def _parsed(ask: Ask) -> Ask:
    if not ask.raw:
        return ask
    try:
        return replace(ask, body=loads(ask.raw))
    except ValueError as exc:
        raise Refused(400, "the body is not JSON") from exc


def _record(world: World, operation: Operation, request: Request, ask: Ask, answer: Answer) -> str:
    """Write the call down and return its request id."""
    told = answer.told
    call = Call(
        at=world.clock(),
        requestId=new_id(),
        operation=operation.name,
        method=request.method,
        path=request.url.path + (f"?{request.url.query}" if request.url.query else ""),
        organizationId=ask.organization,
        target=ask.target or told.target,
        idempotencyKey=ask.key,
        status=answer.status,
        effect=told.effect,
        effectAt=told.effect_at,
        isRepeat=answer.is_repeat,
        fault=answer.fault.label if answer.fault else None,
        bodyBytes=len(ask.raw),
        body=None,
    )
    world.journal.write(call, ask.raw, world.behaviour)
    return call["requestId"]


def _not_found(_world: World, _ask: Ask) -> Told:
    raise Refused(404, "no such operation")
