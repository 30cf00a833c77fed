"""The knobs: how slow, how stale and how noisy this Amili is. All can be turned while it runs."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from service.sandbox.wire import without_decimals

SPELLINGS = ("published", "type", "eventType", "alternate")
SWITCH = {"on": True, "true": True, "1": True, "off": False, "false": False, "0": False}
MEBIBYTE = 1024 * 1024


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
    #: Amounts move so long after the batch of payments or corrections has completed.
    amount_delay_seconds: float = 0.0
    #: Items of a page when the caller names no size.
    page_size: int = 100
    #: The last page carries an empty nextPageToken instead of none.
    empty_last_token: bool = False

    #: How long a new token opens the API; what `expires_in` says.
    token_life_seconds: int = 3600
    #: More calls than this in a second are answered 429; 0 is no limit. One second may be saved up.
    requests_per_second: float = 0.0
    #: That 429 says in Retry-After when the next call may come.
    tells_retry_after: bool = True
    #: A POST with an IdempotencyKey seen before gets the first answer again, without a new effect.
    honours_idempotency: bool = False
    #: Pausing a paused case, or resuming a running one, is a 409; else a 202 without effect.
    repeats_conflict: bool = True
    #: A submission with an item that cannot be read is refused as a whole with 422.
    refuses_invalid_submissions: bool = False
    #: So many items (0 to 1) fail in their batch although nothing is wrong with them.
    item_failure_rate: float = 0.0

    webhooks_on: bool = True
    #: So many webhooks (0 to 1) are never sent.
    webhook_loss_rate: float = 0.0
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

    #: The record forgets its oldest calls, and before that the oldest bodies, beyond these.
    journal_calls: int = 200_000
    journal_body_bytes: int = 64 * MEBIBYTE
    #: The oldest webhooks that were settled are forgotten beyond this number.
    deliveries_kept: int = 100_000
    #: For shuffling and for whatever strikes at a rate.
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

    def set_by_words(self, words: Iterable[str]) -> Behaviour:
        """Return a copy with knobs turned as `name=value` says; ValueError names a wrong one."""
        given = dict(word.partition("=")[::2] for word in words)
        known = {field.name: field.default for field in dataclasses.fields(self)}
        return self.changed({name: _read(name, given[name], known.get(name)) for name in given})

    def pause_before(self, attempt: int) -> float:
        """Say how long a webhook waits before its second, third, … attempt."""
        grown = self.webhook_first_pause_seconds * 2.0 ** min(attempt - 2, 32)
        return min(grown, self.webhook_longest_pause_seconds)


#: The names of all knobs.
KNOBS = tuple(field.name for field in dataclasses.fields(Behaviour))


def _check(name: str, value: Any, default: Any) -> None:
    kinds: Any = (int, float) if isinstance(default, float) else type(default)
    if not isinstance(value, kinds) or (isinstance(value, bool) != isinstance(default, bool)):
        raise ValueError(f"{name} must be of type {type(default).__name__}")
    if isinstance(value, int | float) and not value >= 0:
        raise ValueError(f"{name} must not be negative")
    if name.endswith("_rate") and value > 1:
        raise ValueError(f"{name} is a share: 0 to 1")


def _read(name: str, text: str, default: Any) -> Any:
    try:
        if isinstance(default, bool):
            return SWITCH[text.lower()]
        return type(default)(text) if isinstance(default, int | float) else text
    except (KeyError, ValueError) as exc:
        kind = "on or off" if isinstance(default, bool) else "a number"
        raise ValueError(f"{name} must be {kind}, not {text!r}") from exc
