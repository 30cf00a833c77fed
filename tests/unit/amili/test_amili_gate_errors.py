"""What an open breaker, and what a call shows, mean to those who call."""

from __future__ import annotations

import random
from dataclasses import replace
from datetime import UTC, datetime

import pytest

from service.amili.client.gate_verdicts import Shown, digest, verdict_of
from service.amili.client.gate_words import Verdict
from service.amili.client.retries import retry_wait
from service.amili.client.wire import Answer, Request
from service.domain.actions import Action, ActionKind, ActionState
from service.errors import CircuitOpen, ContractBroken, ProviderUnreachable
from workers import backoff
from workers.acting import judge

ASKED = Request("op", "GET", "http://a/b", params=(("PageToken", "p"),))
NOW = 1_795_360_000.0
OPEN = CircuitOpen(operation="pause_case", retry_after=3.0)
SENT = Action(
    action_id="a",
    kind=ActionKind.PAUSE_CASE,
    target="c",
    organization_id="o",
    cause="level:1",
    state=ActionState.SENT,
    planned_at=datetime(2026, 11, 22, tzinfo=UTC),
    attempts=1,
)


def test_an_open_breaker_counts_no_attempt() -> None:
    """A planned pause stays planned, and no event comes nearer to being dead."""
    judged = judge(SENT, OPEN)
    assert judged.state is ActionState.PLANNED
    assert judged.attempts == 0
    assert not backoff.counts(OPEN)


def test_what_found_it_open_comes_back_when_it_may_close() -> None:
    """Not before the breaker may be tried, and hardly later: one at a time gets through anyway."""
    waits = [backoff.wait(OPEN, 3, random.Random(seed)).total_seconds() for seed in range(50)]
    assert min(waits) >= 3
    assert max(waits) <= 3.2


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_the_client_does_not_try_again_by_itself(method: str) -> None:
    """While the breaker is open a call fails at once, and its slot is free."""
    assert retry_wait(method, OPEN, 1) is None


@pytest.mark.parametrize(
    ("status", "verdict"),
    [
        (200, Verdict.ALIVE),
        (202, Verdict.ALIVE),
        (400, Verdict.ALIVE),
        (401, Verdict.ALIVE),
        (404, Verdict.ALIVE),
        (409, Verdict.ALIVE),
        (423, Verdict.ALIVE),
        (429, Verdict.THROTTLED),
        (500, Verdict.FAILED),
        (501, Verdict.ALIVE),
        (502, Verdict.FAILED),
        (503, Verdict.FAILED),
        (504, Verdict.FAILED),
        (599, Verdict.FAILED),
    ],
)
def test_what_a_status_shows(status: int, verdict: Verdict) -> None:
    """A refusal is an answer; server errors are failures; 429 is neither."""
    assert verdict_of(status) is verdict


@pytest.mark.parametrize(("status", "wait"), [(429, 7.0), (503, 7.0), (423, 0.0), (200, 0.0)])
def test_whose_retry_after_is_for_everybody(status: int, wait: float) -> None:
    """A busy or absent host is left alone by all; a locked case is its own affair."""
    shown = Shown()
    shown.begin()
    shown.by_answer(ASKED, Answer(status, {"Retry-After": "7"}, b""), now=NOW)
    assert shown.wait == wait


def test_what_no_answer_shows() -> None:
    """Nothing before it is sent; no connection is a failure; an answer too large is an answer."""
    shown = Shown()
    seen = [shown.verdict]
    shown.begin()
    seen.append(shown.verdict)
    for error in (ProviderUnreachable(operation="op"), ContractBroken(operation="op")):
        shown.by_error(ASKED, error)
        seen.append(shown.verdict)
    assert seen == [Verdict.UNTRIED, Verdict.GIVEN_UP, Verdict.FAILED, Verdict.ALIVE]


def test_what_arrived_is_known_again() -> None:
    """A request that arrived and was not answered well has a name; one that did not, has none."""
    shown = Shown()
    shown.by_error(ASKED, ProviderUnreachable(operation="op"))
    first = shown.about
    assert first
    shown.by_answer(ASKED, Answer(503, {}, b""), now=NOW)
    assert shown.about == first
    shown.by_answer(replace(ASKED, params=()), Answer(429, {}, b""), now=NOW)
    assert shown.about not in ("", first)
    shown.by_answer(ASKED, Answer(404, {}, b""), now=NOW)
    assert not shown.about
    shown.by_error(ASKED, ProviderUnreachable(operation="op", may_have_happened=False))
    assert not shown.about


def test_two_chunks_are_two_requests() -> None:
    """What is handed over goes to one URL: its body tells one chunk from another, its key not."""
    one = Request("op", "POST", "http://a/payments", {"IdempotencyKey": "k"}, body=b"1")
    assert digest(one) == digest(replace(one, headers={"IdempotencyKey": "l"}))
    assert digest(one) != digest(replace(one, body=b"2"))
    assert digest(one) != digest(replace(one, body=None))
