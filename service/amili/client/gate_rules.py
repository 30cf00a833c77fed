"""The rules of the gate: a token bucket with reserves, a rate that shrinks, a breaker. Pure.

`gate.lua` says the same for a Redis that many processes share: a test lets both play the same
games and compares. Change both or none.
"""

from __future__ import annotations

import math
from dataclasses import replace

from service.amili.client.gate_state import FULL, State, mend
from service.amili.client.gate_words import Grant, Rules, Told, Turn, Verdict


def take_turn(state: State, rules: Rules, turn: Turn, now: float) -> Grant:
    """Hear what is told, then give what can be given; changes the state."""
    mend(state, rules, now)
    was_open = state.open_for > 0
    opened = closed = False
    count(state, now, turn.used)
    for told in turn.told:
        hear(state, rules, turn, replace(told, given_at=min(told.given_at, now)), now)
        is_open = state.open_for > 0
        opened, closed = opened or (is_open and not was_open), closed or (was_open and not is_open)
        was_open = is_open
    rate = rate_now(state, rules, now)
    fill(state, rules, rate, now, turn.returned)
    grant = give(state, rules, turn, rate, now)
    count(state, now, sum(grant.given))
    return Grant(
        given=grant.given,
        given_at=now,
        wait=grant.wait,
        told_left=max(0.0, state.told_until - now),
        open_left=grant.open_left,
        is_probe=grant.is_probe,
        free=grant.free,
        is_failing=state.failures > 0,
        opened=opened,
        closed=closed,
    )


# --- the rate -------------------------------------------------------------


def rate_now(state: State, rules: Rules, now: float) -> float:
    """Return how many calls a second are allowed; 0: any number."""
    if state.shrunk_rate == 0:
        return rules.limit
    since = max(0.0, now - state.grow_from)
    step = rules.limit / rules.grow_seconds if rules.limit else 1.0
    grown = state.shrunk_rate + step * since
    over = grown >= rules.limit if rules.limit else since >= rules.quiet_seconds
    if over:
        state.shrunk_rate = 0.0
        return rules.limit
    return grown


def size(rules: Rules, rate: float) -> float:
    """Return how much the bucket holds at this rate."""
    return max(rules.least_burst, rate * rules.burst_seconds)


def fill(state: State, rules: Rules, rate: float, now: float, returned: int) -> None:
    """Let the bucket fill since the last time."""
    if rate == 0:
        state.tokens = FULL
    elif state.tokens == FULL:
        state.tokens = size(rules, rate)
    else:
        grown = state.tokens + rate * max(0.0, now - state.filled_at) + returned
        state.tokens = min(size(rules, rate), grown)
    state.filled_at = now


def count(state: State, now: float, calls: int) -> None:
    """Count calls, by the second."""
    second = math.floor(now)
    if second != state.second:
        state.calls_before = state.calls if second == state.second + 1 else 0
        state.second, state.calls = second, 0
    state.calls += calls


def shrink(state: State, rules: Rules, now: float) -> None:
    """Halve the rate; what is in the bucket shrinks to what the lowest purpose may not take."""
    rate = rate_now(state, rules, now)
    if rate == 0:
        rate = state.calls + state.calls_before * (math.floor(now) + 1 - now)
    least = min(1.0, rules.limit) if rules.limit else 1.0
    state.shrunk_rate = max(least, rate / 2)
    state.shrunk_at = state.grow_from = now
    kept = size(rules, state.shrunk_rate) * rules.reserve * 4
    state.tokens = kept if state.tokens == FULL else min(state.tokens, kept)
    state.filled_at = now


# --- what calls showed ----------------------------------------------------


def hear(state: State, rules: Rules, turn: Turn, told: Told, now: float) -> None:
    """Learn from one call: how fast we may go, when we may, and whether the host is well."""
    is_news = is_new(state, rules, told.about, now)
    if told.verdict is Verdict.THROTTLED and is_news and told.given_at >= state.shrunk_at:
        # Calls that left before the last shrinking know nothing of it.
        shrink(state, rules, now)
    if told.wait > 0 and is_news:
        wait = min(told.wait, rules.longest_told_seconds)
        state.told_until = max(state.told_until, now + wait)
        state.grow_from = max(state.grow_from, state.told_until)
    hear_health(state, rules, turn, told, now, is_news=is_news)


def hear_health(  # noqa: PLR0913 - the whole of one moment
    state: State, rules: Rules, turn: Turn, told: Told, now: float, *, is_news: bool
) -> None:
    """Learn whether the host is well; what left before the breaker closed knows of no failure."""
    is_open = state.open_for > 0
    is_probe = is_open and told.probe != "" and told.probe == state.probe
    if told.verdict is Verdict.FAILED:
        counts = is_news and not is_open and told.given_at >= state.closed_at
        if is_probe or counts:
            hear_failure(state, rules, turn, now, is_news=is_news)
    elif told.verdict in (Verdict.UNTRIED, Verdict.GIVEN_UP):
        if is_probe:
            state.probe, state.probe_until = "", 0.0
    elif is_probe:
        state.open_for, state.failures, state.closed_at = 0.0, 0, now
        state.probe, state.probe_until = "", 0.0
    elif not is_open:
        state.failures = 0


def hear_failure(state: State, rules: Rules, turn: Turn, now: float, *, is_news: bool) -> None:
    """Count a failure, or open the breaker again: for longer, unless it failed before as well."""
    if state.open_for > 0:
        longer = 2 * state.open_for if is_news else state.open_for
        state.open_for = min(longer, rules.longest_open_seconds)
    else:
        state.failures += 1
        if state.failures < rules.failures:
            return
        state.open_for = rules.open_seconds
    state.open_until = now + state.open_for * (0.75 + 0.25 * turn.chance)
    state.probe, state.probe_until = "", 0.0


def is_new(state: State, rules: Rules, about: str, now: float) -> bool:
    """Remember a refused request; say whether it speaks for the host, not for itself alone."""
    if not about:
        return True
    before = state.refused.get(about)
    state.refused[about] = math.floor(now)
    if len(state.refused) > rules.repeats:
        del state.refused[min(state.refused, key=lambda one: (state.refused[one], one))]
    return before is None or now - before > rules.repeat_seconds


# --- what is given --------------------------------------------------------


def give(state: State, rules: Rules, turn: Turn, rate: float, now: float) -> Grant:
    """Give permits, the most urgent first."""
    nothing = tuple(0 for _ in turn.wants)
    if state.told_until > now:
        return Grant(nothing, now)
    if state.open_for > 0:
        return give_probe(state, rules, turn, now)
    if rate == 0:
        free = rules.free_seconds if state.failures == 0 else 0.0
        return Grant(turn.wants, now, free=free)
    given, wait = [], 0.0
    for rank, want in enumerate(turn.wants):
        kept = rules.reserve * rank * size(rules, rate)
        some = max(0, min(want, math.floor(state.tokens - kept)))
        state.tokens -= some
        given.append(some)
        if some < want and wait == 0:
            wait = max(0.0, kept + 1 - state.tokens) / rate
    return Grant(tuple(given), now, wait=wait)


def give_probe(state: State, rules: Rules, turn: Turn, now: float) -> Grant:
    """Give one permit when the breaker is due to be tried and nobody tries it."""
    nothing = [0 for _ in turn.wants]
    if state.open_until > now:
        return Grant(tuple(nothing), now, open_left=state.open_until - now)
    first = next((rank for rank in rules.probe_ranks if turn.wants[rank]), None)
    is_probe = first is not None and state.probe_until <= now
    if first is not None and is_probe:
        nothing[first] = 1
        state.probe, state.probe_until = turn.probe, now + rules.probe_seconds
        state.tokens = state.tokens if state.tokens == FULL else max(0.0, state.tokens - 1)
    left = state.probe_until - now if state.probe_until > now else 0.0
    return Grant(tuple(nothing), now, open_left=min(left, rules.retry_seconds), is_probe=is_probe)
