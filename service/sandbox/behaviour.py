"""The knobs: how slow, how stale and how noisy this Amili is. All can be turned while it runs."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from service.sandbox.wire import without_decimals

SPELLINGS = ("published", "type", "eventType", "alternate")


@dataclass(frozen=True)
class Behaviour:
    """What no document promises, so a test chooses it. The defaults are all [assumed]."""

    #: Reads show the state as it was so many seconds ago.
    read_lag_seconds: float = 0.0
    #: A 202 of a case operation takes effect so much later.
    effect_delay_seconds: float = 0.0
    #: Every answer of the API is held back so long, after its effect.
    answer_delay_seconds: float = 0.0
    #: A batch leaves QUEUED after so long.
    batch_delay_seconds: float = 0.5
    #: Items of a page when the caller names no size.
    page_size: int = 100
    #: The last page carries an empty nextPageToken instead of none.
    empty_last_token: bool = False

    webhooks_on: bool = True
    #: Each webhook is delivered so many times in all, with the same body.
    duplicates: int = 1
    #: Deliveries are shuffled within the window.
    reorder: bool = False
    reorder_window_seconds: float = 0.2
    #: `published`: each event as the published examples write it; `type` and `eventType`: that
    #: spelling for every event; `alternate`: the two in turn.
    spelling: str = "published"
    webhook_attempts: int = 12
    webhook_first_pause_seconds: float = 0.25
    webhook_longest_pause_seconds: float = 30.0
    webhook_timeout_seconds: float = 5.0
    #: For shuffling and for faults that strike at a rate.
    seed: int = 1

    def __post_init__(self) -> None:
        """Refuse values of a wrong kind at once: they would show up as odd test results."""
        for field in dataclasses.fields(self):
            _check(field.name, getattr(self, field.name), field.default)
        if self.spelling not in SPELLINGS:
            raise ValueError(f"spelling is one of {', '.join(SPELLINGS)}")
        if min(self.duplicates, self.page_size, self.webhook_attempts) < 1:
            raise ValueError("duplicates, page_size and webhook_attempts are at least 1")

    def changed(self, changes: Mapping[str, Any]) -> Behaviour:
        """Return a copy with these knobs turned; ValueError names one that does not exist."""
        strangers = set(changes) - {field.name for field in dataclasses.fields(self)}
        if strangers:
            raise ValueError(f"no such behaviour: {', '.join(sorted(strangers))}")
        return dataclasses.replace(self, **without_decimals(changes))

    def pause_before(self, attempt: int) -> float:
        """Say how long a webhook waits before its second, third, … attempt."""
        grown = self.webhook_first_pause_seconds * 2.0 ** min(attempt - 2, 32)
        return min(grown, self.webhook_longest_pause_seconds)


def _check(name: str, value: Any, default: Any) -> None:
    kinds: Any = (int, float) if isinstance(default, float) else type(default)
    if not isinstance(value, kinds) or (isinstance(value, bool) != isinstance(default, bool)):
        raise ValueError(f"{name} must be of type {type(default).__name__}")
    if isinstance(value, int | float) and value < 0:
        raise ValueError(f"{name} must not be negative")
