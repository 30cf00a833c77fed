"""The gate's rules, played by hand: the limit, its order, shrinking, and the breaker."""

from __future__ import annotations

import math
from dataclasses import fields
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.amili.client.gate_rules import take_turn
from service.amili.client.gate_state import State
from service.amili.client.gate_words import ORDER, Grant, Rules, Told, Turn, Verdict
from service.amili.client.purposes import Purpose

NOW = 1_795_360_000.25
FOLLOW_UP, SUBMISSION, FETCH, RECONCILE, BACKFILL = range(5)


def wants(**purposes: int) -> tuple[int, ...]:
    """Say how many permits are wanted, by purpose."""
    return tuple(purposes.get(str(purpose), 0) for purpose in ORDER)


class Played:
    """A bucket on a clock that the test moves."""

    def __init__(self, **rules: Any) -> None:
        self.rules = Rules(**rules)
        self.state = State()
        self.now = NOW
        #: What the next turn tells.
        self.told: tuple[Told, ...] = ()

    def ask(self, after: float = 0.0, **purposes: int) -> Grant:
        """Let time pass, then take a turn."""
        self.now += after
        told, self.told = self.told, ()
        turn = Turn(wants(**purposes), told, probe=f"p{self.now}", chance=1.0)
        return take_turn(self.state, self.rules, turn, self.now)

    def tell(
        self, verdict: Verdict, grant: Grant, wait: float = 0.0, about: str = "", **named: int
    ) -> Grant:
        """Say what a permit of this grant showed."""
        probe = self.state.probe if grant.is_probe else ""
        self.told = (Told(verdict, grant.given_at, probe, wait, about),)
        return self.ask(0.001, **named)

    def break_it(self) -> Grant:
        """Fail until the breaker opens."""
        grant = self.ask(fetch=5)
        for _ in range(5):
            last = self.tell(Verdict.FAILED, grant)
        return last

    @property
    def rate(self) -> float:
        """Say how many calls a second are allowed now."""
        grant = self.ask()
        assert not sum(grant.given)
        from_full = self.state.shrunk_rate
        return self.rules.limit if from_full == 0 else from_full


def test_the_most_urgent_come_first() -> None:
    """Purposes are listed from the most to the least urgent: their order is the queue's."""
    assert [*ORDER] == [
        Purpose.FOLLOW_UP,
        Purpose.SUBMISSION,
        Purpose.FETCH,
        Purpose.RECONCILE,
        Purpose.BACKFILL,
    ]


def test_without_a_limit_all_leave_at_once() -> None:
    """With no limit, and all well, everything is given, and nobody need ask for a while."""
    grant = Played().ask(backfill=5000, follow_up=1)
    assert sum(grant.given) == 5001
    assert grant.free > 0


def test_a_backfill_leaves_room_for_a_pause() -> None:
    """However long a backfill has waited and taken, a pause finds permits at once."""
    played = Played(limit=20)
    for _ in range(100):
        played.ask(after=0.05, backfill=5000)
        grant = played.ask(backfill=5000, follow_up=1)
        assert grant.given[FOLLOW_UP] == 1


def test_each_purpose_waits_for_those_above_it() -> None:
    """When all want more than there is, the most urgent takes what comes; the rest wait."""
    played = Played(limit=20)
    all_of_them = {str(purpose): 100 for purpose in ORDER}
    played.ask(0.0, **all_of_them)
    for _ in range(20):
        grant = played.ask(0.5, **all_of_them)
        assert grant.given == (10, 0, 0, 0, 0)
        assert grant.wait == pytest.approx(0.05)


def test_a_429_halves_the_rate_once_for_calls_that_left_together() -> None:
    """Thirty calls under way that are all refused are one sign, not thirty."""
    played = Played(limit=40)
    grant = played.ask(fetch=3)
    for _ in range(3):
        played.tell(Verdict.THROTTLED, grant)
    assert played.rate == pytest.approx(20, abs=0.1)
    later = played.ask(after=0.2, fetch=1)
    played.tell(Verdict.THROTTLED, later)
    assert played.rate == pytest.approx(10, abs=0.5)


def test_the_rate_grows_back_to_the_limit() -> None:
    """After the last 429 the rate grows a little each second, up to the limit and no further."""
    played = Played(limit=20)
    played.tell(Verdict.THROTTLED, played.ask(fetch=1))
    assert played.rate == pytest.approx(10)
    grants = [sum(played.ask(after=1, follow_up=1000).given) for _ in range(30)]
    assert grants[0] < grants[5] < 20
    assert played.rate == 20
    assert played.ask(after=1, follow_up=1000).given[FOLLOW_UP] == 10


def test_without_a_limit_a_429_sets_one_from_what_left_before() -> None:
    """Half of what left in the last second is allowed, and any number after a quiet minute."""
    played = Played()
    grant = played.ask(fetch=100)
    last = played.tell(Verdict.THROTTLED, grant, fetch=100)
    assert sum(last.given) < 100
    assert last.free == 0
    assert played.rate == pytest.approx(50, abs=1)
    assert sum(played.ask(after=30, backfill=5000).given) < 5000
    assert sum(played.ask(after=31, backfill=5000).given) == 5000


def test_at_least_one_call_a_second_is_left() -> None:
    """However often Amili answers 429, the rate does not fall to nothing."""
    played = Played(limit=2)
    for _ in range(20):
        played.tell(Verdict.THROTTLED, played.ask(after=0.01, follow_up=5))
    assert played.rate == pytest.approx(1, abs=0.1)


def test_retry_after_holds_for_everybody() -> None:
    """Nobody calls before the time that Amili names, follow-ups neither; then all do."""
    played = Played()
    told = played.tell(Verdict.THROTTLED, played.ask(fetch=9), wait=7)
    assert told.told_left == pytest.approx(7)
    grant = played.ask(after=6.9, follow_up=3)
    assert sum(grant.given) == 0
    assert grant.told_left == pytest.approx(0.1, abs=0.01)
    assert played.ask(after=0.2, follow_up=1).given[FOLLOW_UP] == 1


def test_a_shorter_retry_after_takes_nothing_back() -> None:
    """Of several times that Amili names, the latest holds."""
    played = Played()
    grant = played.ask(fetch=9)
    played.tell(Verdict.THROTTLED, grant, wait=60)
    assert played.tell(Verdict.THROTTLED, grant, wait=1).told_left == pytest.approx(60, abs=0.1)


def test_five_failures_in_a_row_open_the_breaker() -> None:
    """The fifth failure opens it; a success in between begins the count anew."""
    played = Played()
    grant = played.ask(fetch=10)
    for _ in range(4):
        assert not played.tell(Verdict.FAILED, grant).opened
    assert not played.tell(Verdict.ALIVE, grant).is_failing
    for _ in range(4):
        assert not played.tell(Verdict.FAILED, grant).opened
    last = played.tell(Verdict.FAILED, grant, follow_up=1)
    assert last.opened
    assert sum(last.given) == 0
    assert last.open_left == pytest.approx(1)


@pytest.mark.parametrize("verdict", [Verdict.ALIVE, Verdict.THROTTLED])
def test_one_probe_closes_it(verdict: Verdict) -> None:
    """After its time one call tries, a read if there is one; any answer closes the breaker."""
    played = Played()
    assert sum(played.ask(fetch=3).given) == 3
    played.break_it()
    probe = played.ask(after=1.1, follow_up=3, fetch=3)
    assert probe.is_probe
    assert probe.given == (0, 0, 1, 0, 0)
    second = played.ask(after=0.1, follow_up=1)
    assert sum(second.given) == 0
    assert 0 < second.open_left <= 1
    closed = played.tell(verdict, probe, follow_up=1)
    assert closed.closed
    assert closed.given[FOLLOW_UP] == 1


def test_a_failing_probe_opens_it_for_twice_as_long() -> None:
    """The pauses double from one second to fifteen, and no further."""
    played = Played()
    left = [played.break_it().open_left]
    for _ in range(6):
        probe = played.ask(after=left[-1] + 0.1, fetch=1)
        assert probe.is_probe
        left.append(played.tell(Verdict.FAILED, probe).open_left)
    assert left == pytest.approx([1, 2, 4, 8, 15, 15, 15])


def test_a_probe_that_failed_before_as_well_keeps_the_pause_short() -> None:
    """A request that Amili always fails at does not keep the breaker open for ever longer."""
    played = Played()
    played.tell(Verdict.FAILED, played.ask(fetch=1), about="poison")
    left = [played.break_it().open_left]
    for _ in range(4):
        probe = played.ask(after=left[-1] + 0.1, fetch=1)
        left.append(played.tell(Verdict.FAILED, probe, about="poison").open_left)
    assert left == pytest.approx([1, 1, 1, 1, 1], abs=0.01)


def test_a_probe_of_a_dead_process_ends_by_time() -> None:
    """When nothing is heard of a probe, another caller tries after its time."""
    played = Played(probe_seconds=31)
    played.break_it()
    assert played.ask(after=1.1, fetch=1).is_probe
    assert not played.ask(after=30.5, fetch=1).is_probe
    assert played.ask(after=0.6, fetch=1).is_probe


@pytest.mark.parametrize("verdict", [Verdict.UNTRIED, Verdict.GIVEN_UP])
def test_a_probe_that_showed_nothing_frees_its_place(verdict: Verdict) -> None:
    """A cancelled probe neither opens nor closes the breaker: the next caller tries."""
    played = Played()
    played.break_it()
    probe = played.ask(after=1.1, fetch=1)
    after = played.tell(verdict, probe, follow_up=1)
    assert after.is_probe
    assert not after.closed


def test_one_request_that_is_always_refused_stops_nobody() -> None:
    """Only the first refusal of a request speaks for the host: for minutes, then it may again."""
    played = Played(limit=40)
    assert played.tell(Verdict.THROTTLED, played.ask(fetch=1), wait=2, about="one").told_left
    for _ in range(10):
        grant = played.ask(after=20, fetch=1)
        assert not played.tell(Verdict.THROTTLED, grant, wait=2, about="one").told_left
        assert not played.tell(Verdict.FAILED, grant, about="one").opened
    assert played.rate == 40
    other = played.ask(after=20, fetch=1)
    assert played.tell(Verdict.THROTTLED, other, wait=2, about="other").told_left
    much_later = played.ask(after=301, fetch=1)
    assert played.tell(Verdict.THROTTLED, much_later, wait=2, about="one").told_left


def test_failures_without_an_answer_all_count() -> None:
    """No connection is the host's matter, whatever was asked."""
    played = Played()
    grant = played.ask(fetch=9)
    for number in range(3):
        assert not played.tell(Verdict.FAILED, grant, about=f"request {number}").opened
    assert not played.tell(Verdict.FAILED, grant).opened
    assert played.tell(Verdict.FAILED, grant).opened


def test_what_left_before_says_nothing_afterwards() -> None:
    """Failures of calls from before the breaker closed do not count; successes close nothing."""
    played = Played()
    early = played.ask(fetch=50)
    played.break_it()
    assert not played.tell(Verdict.ALIVE, early).closed
    probe = played.ask(after=1.1, fetch=1)
    assert played.tell(Verdict.ALIVE, probe).closed
    for _ in range(9):
        assert not played.tell(Verdict.FAILED, early).opened


DAY = 86_400.0


def test_a_clock_that_goes_back_makes_nobody_wait() -> None:
    """After a fail-over to a clock of yesterday every wait is as long as it was before."""
    played = Played()
    played.tell(Verdict.THROTTLED, played.ask(fetch=1), wait=30)
    assert played.ask(after=-DAY, fetch=1).told_left == pytest.approx(30, abs=0.01)
    assert sum(played.ask(after=31, fetch=1).given) == 1
    played.break_it()
    left = played.ask(after=-DAY, fetch=1).open_left
    assert left == pytest.approx(1, abs=0.01)
    probe = played.ask(after=left + 0.1, fetch=1)
    assert probe.is_probe
    assert played.ask(after=-DAY, fetch=1).open_left <= 1
    assert played.tell(Verdict.ALIVE, probe, fetch=1).closed


def test_failures_after_the_clock_went_back_count() -> None:
    """What was before the jump judges nothing that comes after it."""
    played = Played(limit=40)
    played.tell(Verdict.THROTTLED, played.ask(fetch=1), about="one")
    played.break_it()
    probe = played.ask(after=1.1, fetch=1)
    assert played.tell(Verdict.ALIVE, probe).closed
    grant = played.ask(after=-DAY, fetch=5)
    assert not played.tell(Verdict.THROTTLED, grant, wait=2, about="one").told_left
    assert played.tell(Verdict.THROTTLED, grant, wait=2, about="two").told_left
    assert played.rate < 20
    played.ask(after=3)
    assert played.break_it().opened


def test_a_word_of_the_future_is_one_of_now() -> None:
    """A permit of a clock that ran ahead: its failure counts, and only once does its 429."""
    played = Played(limit=40)
    ahead = Grant((0, 0, 1, 0, 0), NOW + DAY)
    played.tell(Verdict.THROTTLED, ahead)
    assert played.rate == pytest.approx(20, abs=0.1)
    for _ in range(5):
        last = played.tell(Verdict.FAILED, ahead)
    assert last.opened


NUMBERS = [each.name for each in fields(State) if each.name not in ("probe", "refused")]


@given(
    st.sampled_from([0.0, 1.0, 20.0]),
    st.dictionaries(
        st.sampled_from(NUMBERS),
        st.floats(allow_nan=True) | st.sampled_from([math.inf, -math.inf, 1e300, NOW + DAY]),
    ),
)
def test_no_state_stops_calls_for_long(limit: float, found: dict[str, float]) -> None:
    """Whatever numbers are found, Amili is called again within what it and the breaker may ask."""
    played = Played(limit=limit)
    for name, number in found.items():
        setattr(played.state, name, number)
    first = played.ask(fetch=1)
    assert 0 <= first.told_left <= 3601
    assert 0 <= first.open_left <= 31
    later = played.ask(after=first.told_left + first.open_left + 32, fetch=1)
    assert later.given[FETCH] == 1


@given(
    st.integers(1, 60),
    st.lists(
        st.tuples(st.floats(0, 2), st.lists(st.integers(0, 40), min_size=5, max_size=5)),
        max_size=40,
    ),
)
def test_never_more_than_the_rate_and_one_bucket(
    limit: int, turns: list[tuple[float, list[int]]]
) -> None:
    """In any stretch of time no more is given than its length times the rate, and one bucket."""
    played = Played(limit=limit)
    given_at: list[tuple[float, int]] = []
    for after, wanted in turns:
        grant = played.ask(after, **{str(p): n for p, n in zip(ORDER, wanted, strict=True)})
        given_at.append((played.now, sum(grant.given)))
        assert all(some <= want for some, want in zip(grant.given, wanted, strict=True))
    bucket = max(5.0, limit / 2)
    for start, (began, _) in enumerate(given_at):
        for end in range(start, len(given_at)):
            total = sum(some for _, some in given_at[start : end + 1])
            assert total <= bucket + limit * (given_at[end][0] - began) + 1e-3


@given(
    st.integers(1, 60),
    st.lists(st.tuples(st.floats(0, 1), st.integers(0, 100)), max_size=30),
    st.integers(0, 4),
)
def test_the_higher_never_wait_for_the_lower(
    limit: int, taken: list[tuple[float, int]], rank: int
) -> None:
    """Whatever lower purposes took before, a permit is left for those above them."""
    played = Played(limit=limit)
    for after, some in taken:
        played.ask(after, **{str(purpose): some for purpose in ORDER[rank + 1 :]})
    if rank < 4:
        # With one token for each step between reserves the first of a rank is there at once.
        bucket = max(5.0, limit / 2)
        there = played.state.tokens if played.state.tokens >= 0 else bucket
        assert there >= 0.1 * (rank + 1) * bucket - 1e-6
    grant = played.ask(0.0, **{str(purpose): 100 for purpose in ORDER[rank:]})
    for higher in range(rank, 5):
        if grant.given[higher] < 100:
            assert not any(grant.given[higher + 1 :])
            break
