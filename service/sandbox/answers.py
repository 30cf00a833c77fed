"""What goes back over the socket: an answer, a spoilt one, or none at all."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, replace
from typing import Any

from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from service.sandbox.asking import Ask, Told, refusal
from service.sandbox.faults import Fault
from service.sandbox.wire import dumps

#: The key in the ASGI scope's extensions under which `server` puts what cuts a connection.
CUT = "amili.sandbox.cut"
#: So long the first half of a body has to leave this machine before the connection is cut.
HALFWAY_SECONDS = 0.02


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


class HalfJson(Json):
    """The head and half of the body, then the connection is reset."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send what is to arrive, and cut."""
        if self.body:
            head = {"status": self.status_code, "headers": self.raw_headers}
            await send({"type": "http.response.start", **head})
            half = bytes(self.body[: len(self.body) // 2])
            await send({"type": "http.response.body", "body": half, "more_body": True})
            await asyncio.sleep(HALFWAY_SECONDS)
        await Cut()(scope, receive, send)


@dataclass(frozen=True)
class Answer:
    """What will be sent, and what is written down about it."""

    told: Told
    #: What the caller sees; None when the connection is cut.
    status: int | None
    body: Any = None
    fault: Fault | None = None
    retry_after: int | str | None = None
    is_repeat: bool = False

    @property
    def delay_seconds(self) -> float:
        """How long the answer's own fault holds it back."""
        return self.fault.delay_seconds if self.fault else 0.0

    def response(self, request_id: str) -> Response:
        """Make the HTTP answer; that it carries the request's id is [assumed]."""
        headers = {"X-Amili-Request-Id": request_id}
        if self.retry_after is not None:
            headers["Retry-After"] = str(self.retry_after)
        if self.fault and self.fault.cut_midway:
            return HalfJson(self.body, self.told.status, headers)
        if self.status is None:
            return Cut()
        if isinstance(self.body, bytes):
            kind = "text/html" if self.body.startswith(b"<") else "application/json"
            return Response(self.body, self.status, headers, media_type=kind)
        return Json(self.body, self.status, headers)


def refused(status: int, message: str, retry_after: int | None = None) -> Answer:
    """Answer an error of the API's own."""
    return Answer(Told(), status, refusal(status, message), retry_after=retry_after)


def struck(answer: Answer, fault: Fault | None, ask: Ask) -> Answer:
    """Return what a fault leaves of an answer."""
    if fault is None or not fault.spoils:
        return replace(answer, fault=fault)
    body = answer.body if fault.status is None else _spoilt(fault, fault.status, ask)
    return replace(
        answer, status=fault.status, body=body, fault=fault, retry_after=fault.retry_after
    )


def _spoilt(fault: Fault, status: int, ask: Ask) -> Any:
    made: dict[str, Any] = {
        "html": f"<html><body><h1>{status}</h1></body></html>".encode(),
        "empty": None,
        "broken": b'{"summary": {"status": "ERR',
        "json": refusal(status, "a fault on order"),
        "echo": refusal(status, f"cannot take {ask.raw.decode('utf-8', 'replace')}"),
    }
    return made[fault.body or "json"]
