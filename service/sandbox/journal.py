"""The record of every call that reached this Amili: the oracle of the product's tests.

It is bounded. A body of more than a few kilobytes is kept as the bytes that came and read again
when it is asked for; a batch of 500 invoices would take ten times as much as objects.
"""

from __future__ import annotations

from collections import deque
from typing import Any, TypedDict

from service.sandbox.behaviour import Behaviour
from service.sandbox.wire import loads

NO_EFFECT = "none"
SMALL_BYTES = 4096


class Call(TypedDict):
    """One call as it was received and answered."""

    at: float
    requestId: str
    operation: str
    method: str
    path: str
    organizationId: str | None
    target: str | None
    idempotencyKey: str | None
    #: None: the connection was cut, the caller saw no whole answer.
    status: int | None
    #: none, paused, resumed, withdrawn, accepted, rejected, queued
    effect: str
    #: When the effect takes place; None without one.
    effectAt: float | None
    #: Whether it got the answer of an earlier call with its idempotency key.
    isRepeat: bool
    #: The ordered fault that struck, such as "cut after effect".
    fault: str | None
    #: Length of the body that came; 0 without one.
    bodyBytes: int
    #: The body as JSON or text; None without one, and when it was forgotten to save memory.
    body: Any


class Journal:
    """Calls in the order in which they came."""

    def __init__(self) -> None:
        self._calls: deque[Call] = deque()
        #: Calls with a body that is kept as bytes, the oldest first.
        self._large: deque[Call] = deque()
        self._large_bytes = 0
        #: How many calls, and how many bodies of others, are no longer known.
        self.forgotten_calls = 0
        self.forgotten_bodies = 0

    def write(self, call: Call, raw: bytes, behaviour: Behaviour) -> None:
        """Add a call with the body that came; forget what is too much."""
        if len(raw) > SMALL_BYTES:
            call["body"] = raw
            self._large.append(call)
            self._large_bytes += len(raw)
        else:
            call["body"] = _readable(raw)
        self._calls.append(call)
        while len(self._calls) > behaviour.journal_calls:
            self._calls.popleft()
            self.forgotten_calls += 1
        while self._large_bytes > behaviour.journal_body_bytes:
            oldest = self._large.popleft()
            self._large_bytes -= oldest["bodyBytes"]
            oldest["body"] = None
            self.forgotten_bodies += 1

    def calls(self, operation: str | None = None, target: str | None = None) -> list[Call]:
        """Return the calls of an operation and on a target; None is any."""
        return [
            _whole(call)
            for call in self._calls
            if operation in (None, call["operation"]) and target in (None, call["target"])
        ]


def _whole(call: Call) -> Call:
    body = call["body"]
    return {**call, "body": _readable(body)} if isinstance(body, bytes) else call


def _readable(raw: bytes) -> Any:
    if not raw:
        return None
    try:
        return loads(raw)
    except ValueError:
        return raw.decode("utf-8", "replace")
