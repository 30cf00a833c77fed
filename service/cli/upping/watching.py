"""What the views show: read from the product's own API and metrics, in a thread of its own."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from service.cli.upping.asking import Asker, NoAnswer
from service.cli.upping.plan import Plan

LOOK_SECONDS = 1.0
EVENTS, CASES, ACTIONS = 50, 12, 20
CASE = "case:"
Row = dict[str, Any]


@dataclass(frozen=True)
class Picture:
    """How things stood at the last look; newest first."""

    events: Sequence[Row] = ()
    cases: Sequence[Row] = ()
    actions: Sequence[Row] = ()
    counts: dict[str, float] = field(default_factory=dict)
    #: Why there is no newer picture; '' when there is.
    trouble: str = ""


class Watcher:
    """Looks once a second; `picture` is always whole."""

    def __init__(self, plan: Plan) -> None:
        bearer = {"Authorization": f"Bearer {plan.token}"}
        self._api = Asker(f"{plan.door_url}/api/v1", bearer, plan.context)
        self._pages = Asker(plan.door_url, {}, plan.context)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="watcher", daemon=True)
        self.picture = Picture()

    def begin(self) -> None:
        """Start looking."""
        self._thread.start()

    def end(self) -> None:
        """Look no more."""
        self._stop.set()

    def look(self) -> None:
        """Take a new picture, or keep the old one and say why."""
        try:
            self.picture = self._taken()
        except NoAnswer:
            self._keep("the door does not answer")
        except (LookupError, TypeError, ValueError) as exc:
            self._keep(f"an answer was not understood ({type(exc).__name__})")

    def _taken(self) -> Picture:
        events = self._api.get(f"/events?limit={EVENTS}")["data"]
        return Picture(
            events=events,
            cases=self._cases_of(events),
            actions=self._api.get(f"/actions?limit={ACTIONS}")["data"],
            counts=counts(self._pages.samples()),
        )

    def _watch(self) -> None:
        while not self._stop.is_set():
            self.look()
            self._stop.wait(LOOK_SECONDS)

    def _keep(self, trouble: str) -> None:
        old = self.picture
        self.picture = Picture(old.events, old.cases, old.actions, old.counts, trouble)

    def _cases_of(self, events: Sequence[Row]) -> list[Row]:
        """Read the cases that the newest events are about."""
        entities = dict.fromkeys(str(event["entity"]) for event in events)
        ids = [name.removeprefix(CASE) for name in entities if name.startswith(CASE)]
        found = []
        for case_id in [each for each in ids if not each.startswith("#")][:CASES]:
            try:
                found.append(self._api.get(f"/cases/{case_id}"))
            except NoAnswer:
                continue  # not read at Amili yet
        return found


def counts(samples: list[tuple[str, dict[str, str], float]]) -> dict[str, float]:
    """Sum the few numbers that are shown."""
    wanted = {
        ("amili_webhooks_total", "accepted"): "accepted",
        ("amili_webhooks_total", "duplicate"): "duplicates",
        ("amili_events_total", "settled"): "settled",
        ("amili_entities_due", None): "due",
        ("amili_dead_events", None): "dead",
    }
    found = dict.fromkeys(wanted.values(), 0.0)
    for name, labels, value in samples:
        shown = wanted.get((name, labels.get("outcome")))
        if shown:
            found[shown] += value
    return found


def short(value: Any) -> str:
    """Shorten an id to what tells it apart on a screen."""
    return str(value or "")[:8]


def entity_shown(entity: Any) -> str:
    """Write `case:1a2b3c4d` for a whole entity name."""
    kind, _, name = str(entity or "").partition(":")
    return f"{kind} {short(name)}" if name else kind


def clock(moment: Any) -> str:
    """Cut the time of day, in UTC, out of an RFC 3339 time."""
    return str(moment or "")[11:19]
