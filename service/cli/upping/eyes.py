"""Looks at the product's own API until something shows there, and says how long that took."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from datetime import datetime
from typing import Any

from service.cli.upping.asking import Asker, NoAnswer
from service.errors import AmiliEventsError

PATIENCE_SECONDS = 60.0
LOOK_SECONDS = 0.1


class Unfinished(AmiliEventsError):
    """The story did not come to its end."""


class Eyes:
    """Reads `/api/v1`; patient for one minute in all, unless it is stopped."""

    def __init__(self, api: Asker, stop: threading.Event) -> None:
        self._api = api
        self._stop = stop
        self._until = 0.0

    def begin(self) -> None:
        """The minute begins."""
        self._until = time.monotonic() + PATIENCE_SECONDS

    def until(self, path: str, fits: Callable[[Any], bool]) -> Any:
        """Read until it fits; what is not there yet is waited for. Raises Unfinished."""
        while True:
            try:
                seen = self._api.get(path)
                if fits(seen):
                    return seen
            except NoAnswer:
                pass  # 404 until the webhook was worked on
            if self._stop.wait(LOOK_SECONDS):
                raise Unfinished("stopped")
            if time.monotonic() > self._until:
                raise Unfinished(f"{path} did not get there within {PATIENCE_SECONDS:.0f} s")

    def took(self, entity: str, since: datetime) -> float:
        """Say in how many seconds the newest webhook of an entity was settled."""
        page = self.until(
            "/events?limit=50&state=settled", lambda seen: any(matching(seen, entity, since))
        )
        event = matching(page, entity, since)[0]
        return (moment(event["settledAt"]) - moment(event["receivedAt"])).total_seconds()

    def first_answer(self, sandbox: Asker, begun: float) -> float | None:
        """Ask the sandbox when the door first answered one of its webhooks with 2xx."""
        answered = [
            float(attempt["at"])
            for delivery in sandbox.get("/_sandbox/deliveries")
            for attempt in delivery["attempts"]
            if attempt["status"] and 200 <= attempt["status"] < 300
        ]
        return min(answered) - begun if answered else None


def matching(page: Any, entity: str, since: datetime) -> list[Any]:
    """Pick the settled events of an entity since then, newest first."""
    return [
        event
        for event in page["data"]
        if event["entity"] == entity and event["settledAt"] and moment(event["receivedAt"]) >= since
    ]


def moment(text: str) -> datetime:
    """Read a time of the API."""
    return datetime.fromisoformat(text)
