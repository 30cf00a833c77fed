"""`POST /webhooks/amili`: bounded body in, one answer out, each counted under its outcome."""

from __future__ import annotations

import json
import time
from dataclasses import dataclass

import structlog
from prometheus_client import Counter
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Receive, Scope, Send

from service.errors import BodyTooLarge, IntakeError, SignatureError
from service.intake.door import Accepted, Door, demand_json, lowered
from service.intake.limiting import RefusalLimit
from service.settings import Settings
from service.telemetry.metrics import Metrics
from service.web.problems import of_error, problem
from service.web.slowness import Slowness

log = structlog.get_logger()

PATH = "/webhooks/amili"
#: What is too large is still read this many times over, so that the sender hears the answer.
PATIENCE = 4


@dataclass(frozen=True, slots=True)
class Answer:
    """A response, and what it is counted as."""

    response: ASGIApp
    label: str
    outcome: str


class Straight:
    """Middleware that hands webhooks to their endpoint, past the router and what stands before it.

    The endpoint needs neither: it has one path, and turns every error into an answer itself.
    """

    def __init__(self, app: ASGIApp, endpoint: ASGIApp) -> None:
        self._app = app
        self._endpoint = endpoint

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass one request on."""
        # A server that was told a root path puts it before every path.
        paths = (PATH, scope.get("root_path", "") + PATH)
        is_webhook = scope["type"] == "http" and scope["path"] in paths
        await (self._endpoint if is_webhook else self._app)(scope, receive, send)


class WebhookEndpoint:
    """An ASGI application for one path, all methods."""

    def __init__(self, door: Door, settings: Settings, metrics: Metrics) -> None:
        self._door = door
        self._most = settings.max_body_bytes
        self._slowness = Slowness(settings.body_timeout_seconds)
        self._metrics = metrics
        #: One for each type and outcome: the metric's own look-up costs as much as its count.
        self._counts: dict[tuple[str, str], Counter] = {}
        self._limit = RefusalLimit(settings.refused_per_minute)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request. Raises nothing: whatever fails is an answer, too."""
        began = time.perf_counter()
        try:
            answer = await self._answer(scope, receive)
        except ClientDisconnect:
            self._count("unknown", "disconnected")
            return
        self._count(answer.label, answer.outcome)
        self._metrics.webhook_seconds.observe(time.perf_counter() - began)
        await answer.response(scope, receive, send)

    async def _answer(self, scope: Scope, receive: Receive) -> Answer:
        if scope["method"] != "POST":
            refusal = problem(405, "Method not allowed", headers={"Allow": "POST"})
            return Answer(refusal, "unknown", "wrong_method")
        headers, source = lowered(scope["headers"]), source_of(scope)
        first = dict(reversed(headers))  # of a header that comes twice the first counts
        try:
            demand_json(first.get("content-type"))
            body = await self._read(first.get("content-length", "0"), receive)
            accepted = await self._door.accept(headers, body, source)
        except SignatureError as exc:
            return self._unproven(source, exc)
        except IntakeError as exc:
            return Answer(of_error(exc), "unknown", exc.outcome)
        except ClientDisconnect:
            raise
        except Exception as exc:
            # Never a 4xx for our own fault, and never a traceback outside.
            log.exception("unexpected_fault", error=type(exc).__name__)
            return Answer(of_error(exc), "unknown", "fault")
        return welcome(accepted)

    async def _read(self, told: str, receive: Receive) -> bytes:
        too_large = told.isascii() and told.isdigit() and int(told[:18]) > self._most
        chunks: list[bytes] = []
        size, more = 0, True
        with self._slowness.bounded():
            while more and size <= PATIENCE * self._most:
                message = await receive()
                if message["type"] == "http.disconnect":
                    raise ClientDisconnect
                chunk, more = message.get("body", b""), message.get("more_body", False)
                size += len(chunk)
                if size > self._most:
                    too_large = True
                    chunks.clear()
                if not too_large:
                    chunks.append(chunk)
        if too_large:
            raise BodyTooLarge(f"The body is larger than {self._most} bytes.")
        return b"".join(chunks)

    def _count(self, label: str, outcome: str) -> None:
        count = self._counts.get((label, outcome))
        if count is None:
            count = self._counts[label, outcome] = self._metrics.webhooks.labels(label, outcome)
        count.inc()

    def _unproven(self, source: str, exc: SignatureError) -> Answer:
        if self._limit.exceeded(source):
            busy = problem(429, "Too many refused deliveries", headers={"Retry-After": "60"})
            return Answer(busy, "unknown", "limited")
        return Answer(of_error(exc), "unknown", exc.outcome)


def source_of(scope: Scope) -> str:
    """Name who sent a request: the address that uvicorn believes."""
    client = scope.get("client")
    return client[0] if client else ""


def welcome(accepted: Accepted) -> Answer:
    """Say that a delivery is ours: for the first time, or settled before."""
    status = "duplicate" if accepted.is_duplicate else "accepted"
    body = json.dumps({"status": status, "eventId": accepted.event_id}).encode()
    code = 200 if accepted.is_duplicate else 202
    headers = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(body))]

    async def respond(scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": code, "headers": headers})
        await send({"type": "http.response.body", "body": body})

    return Answer(respond, accepted.label, status)
