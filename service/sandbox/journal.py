"""The record of every call that reached this Amili: the oracle of the product's tests."""

from __future__ import annotations

from typing import Any, TypedDict

NO_EFFECT = "none"


class Call(TypedDict):
    """One call as it was received and answered."""

    at: float
    operation: str
    method: str
    path: str
    organizationId: str | None
    target: str | None
    idempotencyKey: str | None
    #: None: the connection was cut, the caller saw no answer.
    status: int | None
    #: none, paused, resumed, withdrawn, accepted, rejected, queued
    effect: str
    #: When the effect takes place; None without one.
    effectAt: float | None
    #: The ordered fault that struck, such as "cut after effect".
    fault: str | None
    body: Any


class Journal:
    """Calls in the order in which they came."""

    def __init__(self) -> None:
        self._calls: list[Call] = []

    def write(self, call: Call) -> None:
        """Add a call."""
        self._calls.append(call)

    def calls(self, operation: str | None = None, target: str | None = None) -> list[Call]:
        """Return the calls of an operation and on a target; None is any."""
        return [
            call
            for call in self._calls
            if operation in (None, call["operation"]) and target in (None, call["target"])
        ]
