"""Faults on order: an error status or a cut connection, once, a few times, or at a rate."""

from __future__ import annotations

import dataclasses
import random
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from service.sandbox.wire import without_decimals

ANY = "*"
GATEWAY_ERRORS = (502, 503)
#: An error in the assumed shape; a proxy's page; nothing; JSON that breaks off; the shape again,
#: with the caller's own body in its message.
BODIES = ("json", "html", "empty", "broken", "echo")


@dataclass
class Fault:
    """One fault that waits for its call.

    It strikes `times` times; with a `rate` (0 to 1) it strikes so often, without bound unless
    `times` is given too. Neither given: once. With `after_effect` the call is performed first.
    """

    operation: str = ANY
    status: int | None = None
    #: Reset the connection instead of answering.
    cut: bool = False
    #: Reset it in the middle of the true answer's body: always after the effect.
    cut_midway: bool = False
    after_effect: bool = False
    #: One of BODIES; none given: `html` for 502 and 503, `json` for the others.
    body: str | None = None
    #: Seconds, or a text such as an HTTP date, for the header Retry-After.
    retry_after: int | str | None = None
    delay_seconds: float = 0.0
    times: int | None = None
    rate: float | None = None
    #: Only calls on this case, batch, invoice or settlement.
    target: str | None = None

    def __post_init__(self) -> None:
        """Refuse a fault that would do nothing, and give the defaults."""
        _check(self)
        self.after_effect = self.after_effect or self.cut_midway
        if self.body is None:
            self.body = "html" if self.status in GATEWAY_ERRORS else "json"
        if self.times is None and self.rate is None:
            self.times = 1

    @property
    def spoils(self) -> bool:
        """Whether the caller does not get the true answer; else it is only late."""
        return self.cut or self.cut_midway or self.status is not None

    @property
    def label(self) -> str:
        """Name the fault in the record of calls."""
        if self.cut_midway:
            return "cut midway"
        if not self.spoils:
            return "slow"
        return f"{self.status or 'cut'} {'after' if self.after_effect else 'before'} effect"


class Faults:
    """The queue; the first that fits a call strikes."""

    def __init__(self) -> None:
        self._queue: list[Fault] = []

    def add(self, fault: Fault) -> None:
        """Put a fault at the end of the queue."""
        self._queue.append(fault)

    def take(self, operation: str, target: str | None, chance: random.Random) -> Fault | None:
        """Return the fault that strikes this call, if any, and count the strike."""
        for fault in self._queue:
            if _fits(fault, operation, target) and _strikes(fault, chance):
                self._spend(fault)
                return fault
        return None

    def clear(self) -> None:
        """Drop all faults."""
        self._queue.clear()

    def waiting(self) -> list[dict[str, Any]]:
        """List the faults that can still strike."""
        return [dataclasses.asdict(fault) for fault in self._queue]

    def _spend(self, fault: Fault) -> None:
        if fault.times is not None:
            fault.times -= 1
            if fault.times <= 0:
                self._queue.remove(fault)


def from_json(given: Mapping[str, Any]) -> Fault:
    """Make a fault of a control call's members; ValueError says what is wrong."""
    try:
        return Fault(**without_decimals(given))
    except TypeError as exc:
        raise ValueError(f"not a fault: {exc}") from exc


def _check(fault: Fault) -> None:
    if sum((fault.cut, fault.cut_midway, fault.status is not None)) > 1:
        raise ValueError("a fault has a status or cuts the connection, not both")
    if not (fault.spoils or fault.delay_seconds):
        raise ValueError("a fault needs a status, cut, cut_midway or delay_seconds")
    if fault.status is not None and not 400 <= fault.status <= 599:
        raise ValueError("a fault's status is an error: 400 to 599")
    if fault.body is not None and (fault.status is None or fault.body not in BODIES):
        raise ValueError(f"a fault with a status can have a body: {', '.join(BODIES)}")


def _fits(fault: Fault, operation: str, target: str | None) -> bool:
    return fault.operation in (ANY, operation) and fault.target in (None, target)


def _strikes(fault: Fault, chance: random.Random) -> bool:
    return fault.rate is None or chance.random() < fault.rate
