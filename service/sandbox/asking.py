"""What a caller asks, and what it is answered (contract §2). The error body is [assumed]."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from service.sandbox.journal import NO_EFFECT
from service.sandbox.wire import Record


@dataclass(frozen=True)
class Ask:
    """One API call, read."""

    path: Mapping[str, str]
    query: Mapping[str, str]
    key: str | None
    #: The URL below which the API stands.
    base: str
    raw: bytes
    body: Any = None
    content_type: str = ""

    @property
    def organization(self) -> str | None:
        """The organization that the path names; the legacy path names none."""
        return self.path.get("organizationId")

    @property
    def target(self) -> str | None:
        """The one record that the path names."""
        named = {k: v for k, v in self.path.items() if k.endswith("Id") and k != "organizationId"}
        return next(iter(named.values()), None)


@dataclass(frozen=True)
class Told:
    """What an operation answers, and what it did."""

    status: int = 200
    data: Any = None
    next_token: str | None = None
    effect: str = NO_EFFECT
    effect_at: float | None = None
    #: The record that the call made, when its path could not name it.
    target: str | None = None

    def envelope(self) -> Record | None:
        """Return the answer's body; a 202 of a case operation has none."""
        if self.data is None:
            return None
        summary: Record = {"status": "SUCCESS"}
        if self.next_token is not None:
            summary["nextPageToken"] = self.next_token
        return {"summary": summary, "data": self.data}


def refusal(status: int, message: str, wrong: Sequence[Record] = ()) -> Record:
    """Return the body of an error; `wrong` takes the place of the one message."""
    errors = list(wrong) or [{"code": str(status), "message": message}]
    return {"summary": {"status": "ERROR"}, "errors": errors}
