"""What the bucket remembers, and what of that cannot be true. Pure.

`gate.lua` says the same for a Redis that many processes share. Change both or none.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field, fields

from service.amili.client.gate_words import Rules

#: A bucket that has not been limited yet.
FULL = -1.0


@dataclass(slots=True)
class State:
    """What the bucket remembers; times are seconds of one clock."""

    tokens: float = FULL
    filled_at: float = 0.0
    #: The rate after the last 429, from which it grows since `grow_from`; 0: never shrunk.
    shrunk_rate: float = 0.0
    shrunk_at: float = 0.0
    grow_from: float = 0.0
    #: Nobody calls before.
    told_until: float = 0.0
    #: Calls in the second `second`, and in the one before.
    second: int = 0
    calls: int = 0
    calls_before: int = 0
    failures: int = 0
    #: How long the breaker opens this time; 0: it is closed.
    open_for: float = 0.0
    open_until: float = 0.0
    closed_at: float = 0.0
    probe: str = ""
    probe_until: float = 0.0
    #: When requests were refused last, in whole seconds, by their digests.
    refused: dict[str, int] = field(default_factory=dict)


#: No number of ours is larger: what is, or is no number, somebody else has written.
LARGEST = 1e12
#: Moments are compared with so much room: sums of floats are not exact.
ROOM_SECONDS = 1.0
#: What each number is when nothing is remembered.
VOID = {each.name: each.default for each in fields(State) if each.name not in ("probe", "refused")}
MOMENTS = ("shrunk_at", "grow_from", "told_until", "open_until", "closed_at", "probe_until")


def mend(state: State, rules: Rules, now: float) -> None:
    """Void what cannot be, and move the moments along when the clock went back.

    Redis's clock is another one after a fail-over. Nobody is to wait a day for that.
    """
    for name, void in VOID.items():
        if not 0 <= getattr(state, name) <= LARGEST:
            setattr(state, name, void)
    back = max(0.0, state.filled_at - now)  # `filled_at` is the moment of the last turn
    for name in MOMENTS:
        setattr(state, name, getattr(state, name) - back)
    state.refused = {
        about: min(math.floor(at - back), math.floor(now)) for about, at in state.refused.items()
    }
    bound(state, rules, now)


def bound(state: State, rules: Rules, now: float) -> None:
    """Let no moment be further ahead than it can have been set."""
    state.shrunk_at, state.closed_at = min(state.shrunk_at, now), min(state.closed_at, now)
    state.open_for = min(state.open_for, rules.longest_open_seconds)
    latest = now + ROOM_SECONDS
    if state.told_until > latest + rules.longest_told_seconds:
        state.told_until = 0.0
    if state.grow_from > latest + rules.longest_told_seconds:
        state.grow_from = now
    if state.open_until > latest + rules.longest_open_seconds:
        state.open_until = 0.0
    if state.probe_until > latest + rules.probe_seconds:
        state.probe_until = 0.0
