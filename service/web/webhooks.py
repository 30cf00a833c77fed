"""`POST /webhooks/amili`: bounded body in, one answer out, each counted under its outcome."""

from __future__ import annotations

import asyncio
import json
import time
from dataclasses import dataclass

import structlog
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from service.errors import BodyTooLarge, BodyTooSlow, IntakeError, SignatureError
from service.intake.door import Accepted, Door, demand_json, lowered
from service.intake.limiting import RefusalLimit
from service.settings import Settings
from service.telemetry.metrics import Metrics
from service.web.problems import of_error, problem

log = structlog.get_logger()

PATH = "/webhooks/amili"
#: What is too large is still read this many times over, so that the sender hears the answer.
PATIENCE = 4


@dataclass(frozen=True, slots=True)
class Answer:
    """A response, and what it is counted as."""

    response: Response
    label: str
    outcome: str


class WebhookEndpoint:
    """An ASGI application for one path, all methods."""

    def __init__(self, door: Door, settings: Settings, metrics: Metrics) -> None:
        self._door = door
        self._most = settings.max_body_bytes
        self._seconds = settings.body_timeout_seconds
        self._metrics = metrics
        self._limit = RefusalLimit(settings.refused_per_minute)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        began = time.perf_counter()
        try:
            answer = await self._answer(Request(scope, receive))
        except ClientDisconnect:
            self._metrics.webhooks.labels("unknown", "disconnected").inc()
            return
        self._metrics.webhooks.labels(answer.label, answer.outcome).inc()
        self._metrics.webhook_seconds.observe(time.perf_counter() - began)
        await answer.response(scope, receive, send)

    async def _answer(self, request: Request) -> Answer:
        if request.method != "POST":
            refusal = problem(405, "Method not allowed", headers={"Allow": "POST"})
            return Answer(refusal, "unknown", "wrong_method")
        try:
            demand_json(request.headers.get("content-type"))
            body = await self._read(request)
            headers = lowered(request.scope["headers"])
            accepted = await self._door.accept(headers, body, source_of(request))
        except SignatureError as exc:
            return self._unproven(request, exc)
        except IntakeError as exc:
            return Answer(of_error(exc), "unknown", exc.outcome)
        except ClientDisconnect:
            raise
        except Exception as exc:
            # Never a 4xx for our own fault, and never a traceback outside.
            log.exception("unexpected_fault", error=type(exc).__name__)
            return Answer(of_error(exc), "unknown", "fault")
        return welcome(accepted)

    async def _read(self, request: Request) -> bytes:
        told = request.headers.get("content-length", "0")
        too_large = told.isascii() and told.isdigit() and int(told[:18]) > self._most
        chunks: list[bytes] = []
        size = 0
        try:
            async with asyncio.timeout(self._seconds):
                async for chunk in request.stream():
                    size += len(chunk)
                    if size > self._most:
                        too_large = True
                        chunks.clear()
                    if size > PATIENCE * self._most:
                        break
                    if not too_large:
                        chunks.append(chunk)
        except TimeoutError as exc:
            raise BodyTooSlow from exc
        if too_large:
            raise BodyTooLarge(f"The body is larger than {self._most} bytes.")
        return b"".join(chunks)

    def _unproven(self, request: Request, exc: SignatureError) -> Answer:
        if self._limit.exceeded(source_of(request)):
            busy = problem(429, "Too many refused deliveries", headers={"Retry-After": "60"})
            return Answer(busy, "unknown", "limited")
        return Answer(of_error(exc), "unknown", exc.outcome)


def source_of(request: Request) -> str:
    """Name who sent a request: the address that uvicorn believes."""
    return request.client.host if request.client else ""


def welcome(accepted: Accepted) -> Answer:
    """Say that a delivery is ours: for the first time, or settled before."""
    status = "duplicate" if accepted.is_duplicate else "accepted"
    body = json.dumps({"status": status, "eventId": accepted.event_id})
    code = 200 if accepted.is_duplicate else 202
    return Answer(Response(body, code, media_type="application/json"), accepted.label, status)
