"""What a read says about what people asked for: laws first, then each kind, then many at once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.domain import asking
from service.domain.actions import ASKED, Action, ActionKind, ActionState
from service.domain.asking import Seen
from service.domain.pausing import Rules

AT = datetime(2026, 3, 1, 12, tzinfo=UTC)
LAG = 10.0
RULES = Rules(read_lag=timedelta(seconds=LAG))
WITHDRAW = ActionKind.WITHDRAW_CASE
ACCEPT, REJECT = ActionKind.ACCEPT_DEBT_COLLECTION_LIST, ActionKind.REJECT_DEBT_COLLECTION_LIST
EVICT = ActionKind.ACCEPT_EVICTION_REQUEST
ANSWERED, UNCERTAIN = ActionState.ANSWERED, ActionState.UNCERTAIN
PLANNED, SENT, CONFIRMED = ActionState.PLANNED, ActionState.SENT, ActionState.CONFIRMED


def at(seconds: float) -> datetime:
    """Name a moment: calls are sent and end at 0."""
    return AT + timedelta(seconds=seconds)


def seen(
    seconds: float,
    status: str | None = "OPEN",
    sub: str | None = "LIST",
    kind: str | None = "NOTICE",
    closed: float | None = None,
    *,
    tells_sub: bool = True,
) -> Seen:
    """Show a case, by a read that began then."""
    closed_at = None if closed is None else at(closed)
    return Seen(status, sub, kind, closed_at, at(seconds), tells_sub)


def asked(kind: ActionKind, state: ActionState, was: Seen | None = None, **more: object) -> Action:
    """Make an action that was called at 0, with what a read long before showed."""
    called = state is not PLANNED
    action = Action(
        action_id=f"{kind}-1",
        kind=kind,
        target="case-1",
        organization_id="org-1",
        cause="asked:1",
        state=state,
        planned_at=at(-5),
        attempts=int(called),
        sent_at=at(0) if called else None,
        ended_at=at(0) if called and state is not SENT else None,
        detail={"reason": "a code"},
    )
    return replace(asking.renoted(action, was or seen(-100)), **more)  # type: ignore[arg-type]


def judged(read: Seen, *actions: Action) -> dict[str, Action]:
    """Give each action as a read leaves it, by id."""
    verdict = asking.judge(actions, read, read.began_at, RULES)
    changed = {each.action_id: each for each in (*verdict.settled, *verdict.noted)}
    assert len(changed) == len(verdict.settled) + len(verdict.noted)
    return {each.action_id: changed.get(each.action_id, each) for each in actions}


def state(read: Seen, action: Action) -> ActionState:
    """Give the state of the only action after a read."""
    return judged(read, action)[action.action_id].state


class TestEachKind:
    @pytest.mark.parametrize("before", [ANSWERED, UNCERTAIN])
    @pytest.mark.parametrize(
        ("kind", "read", "is_shown"),
        [
            (WITHDRAW, seen(1, closed=0.5), True),
            (WITHDRAW, seen(1, status="CLOSED"), True),
            (WITHDRAW, seen(1, status="WITHDRAWN"), True),
            (WITHDRAW, seen(1, sub="OTHER", kind="OTHER"), False),
            (WITHDRAW, seen(1, status="PAUSED"), False),
            (WITHDRAW, seen(1, status=None), False),
            (ACCEPT, seen(1, sub=None), True),
            (ACCEPT, seen(1, sub=None, tells_sub=False), False),
            (ACCEPT, seen(1, kind="DEBT_COLLECTION"), False),
            (ACCEPT, seen(1, status="OTHER"), False),
            (REJECT, seen(1, sub="REJECTED"), True),
            (EVICT, seen(1, sub="OTHER"), True),
            (EVICT, seen(1, sub=None, tells_sub=False), False),
            (EVICT, seen(1, kind=None), False),
            (EVICT, seen(1, kind="OTHER"), True),
            (EVICT, seen(1, status="OTHER"), True),
            (EVICT, seen(1, status="PAUSED"), False),
        ],
    )
    def test_what_shows_it(
        self, kind: ActionKind, read: Seen, is_shown: bool, before: ActionState
    ) -> None:
        """What the kind brings about confirms it; anything else, a pause too, does not.

        Of what is uncertain only a withdrawal is confirmed, and only by the closing.
        """
        action = asked(kind, before)
        if before is UNCERTAIN:
            is_shown = kind is WITHDRAW and read.is_closed
        assert state(read, action) is (CONFIRMED if is_shown else before)

    @pytest.mark.parametrize("kind", sorted(ASKED))
    def test_nothing_changed(self, kind: ActionKind) -> None:
        """A case that shows what it showed before confirms nothing, whatever was asked."""
        for since in (1, 29, 31, 299, 301):
            for before in (ANSWERED, UNCERTAIN):
                assert state(seen(since), asked(kind, before)) is before

    def test_resumed_meanwhile(self) -> None:
        """A case that was paused, and runs again, was not withdrawn for that."""
        was = seen(-100, status="PAUSED")
        assert state(seen(1), asked(WITHDRAW, UNCERTAIN, was)) is UNCERTAIN
        assert state(seen(1, status="CLOSED"), asked(WITHDRAW, UNCERTAIN, was)) is CONFIRMED

    def test_nothing_was_noted(self) -> None:
        """Without a note of what was before, no read confirms anything."""
        action = replace(asked(ACCEPT, ANSWERED), detail={})
        assert state(seen(1, sub=None), action) is ANSWERED


class TestReadsThatLag:
    def test_before_the_call(self) -> None:
        """A read that began before the call was sent shows nothing of it."""
        assert state(seen(-0.1, sub=None), asked(ACCEPT, ANSWERED)) is ANSWERED
        assert state(seen(0, sub=None), asked(ACCEPT, ANSWERED)) is ANSWERED

    def test_too_near_to_the_note(self) -> None:
        """A read within a read lag of the one before may show an older state than that."""
        action = asked(ACCEPT, ANSWERED, seen(-1))
        assert state(seen(LAG - 1.1, sub=None), action) is ANSWERED
        assert state(seen(LAG - 1, sub=None), action) is CONFIRMED

    def test_note_is_kept_fresh_until_it_is_sent(self) -> None:
        """What changed before the call is no effect of it: a planned request is noted anew."""
        planned = asked(ACCEPT, PLANNED)
        noted = judged(seen(-2, sub="NEWER"), planned)[planned.action_id]
        was = asking.before(noted.detail)
        assert was == seen(-2, sub="NEWER")
        assert noted.detail["reason"] == "a code"
        sent = replace(noted, state=ANSWERED, attempts=1, sent_at=at(0), ended_at=at(0))
        assert state(seen(20, sub="NEWER"), sent) is ANSWERED
        assert state(seen(20, sub=None), sent) is CONFIRMED


class TestUnseen:
    def test_answered_is_closed(self) -> None:
        """After three read lags an answered request is looked at no longer, and stays answered."""
        action = asked(ACCEPT, ANSWERED)
        assert judged(seen(3 * LAG - 1), action)[action.action_id] == action
        closed = judged(seen(3 * LAG), action)[action.action_id]
        assert (closed.state, closed.closed_at) == (ANSWERED, at(3 * LAG))

    def test_uncertain_waits_for_a_person(self) -> None:
        """After 300 s an uncertain request stays so, is never repeated, and waits for a person."""
        action = asked(ACCEPT, UNCERTAIN)
        assert judged(seen(299), action)[action.action_id] == action
        closed = judged(seen(300), action)[action.action_id]
        assert (closed.state, closed.closed_at) == (UNCERTAIN, at(300))
        assert asking.may_resend(closed)
        assert not asking.may_resend(action)

    def test_what_changed_meanwhile_is_told(self) -> None:
        """A change that others may have brought about confirms nothing uncertain: ask Amili."""
        for kind, read in (
            (WITHDRAW, seen(300, status="COLLECTION")),
            (ACCEPT, seen(300, sub="REJECTED")),
            (EVICT, seen(300, status="CLOSED", closed=299)),
        ):
            action = asked(kind, UNCERTAIN)
            verdict = asking.judge([action], read, read.began_at, RULES)
            assert verdict.settled == ()
            assert [each.closed_at for each in verdict.noted] == [at(300)]
            ((_, said),) = verdict.steps
            assert (said.outcome, "changed meanwhile: ask Amili" in said.words) == ("waits", True)

    @pytest.mark.parametrize(("kind", "before"), [(ACCEPT, ANSWERED), (WITHDRAW, UNCERTAIN)])
    def test_a_later_read_still_tells(self, kind: ActionKind, before: ActionState) -> None:
        """A request that is looked at no longer is confirmed when a read shows it after all."""
        action = asked(kind, before, closed_at=at(300))
        assert state(seen(5000, status="CLOSED", sub=None), action) is CONFIRMED

    def test_looks(self) -> None:
        """It is looked at again while it is open, at 5, 15, 60 and 300 s when uncertain."""
        action = asked(WITHDRAW, UNCERTAIN)
        now, looks = at(0), []
        while True:
            again = asking.judge([action], replace(seen(0), began_at=now), now, RULES)
            if again.look_again_at is None:
                break
            now = again.look_again_at
            looks.append((now - AT).total_seconds())
        assert looks == [5, 10.5, 15, 60, 300]

    def test_no_look_for_what_nobody_waits_for(self) -> None:
        """What is planned, being sent, closed or final needs no look of its own."""
        for action in (
            asked(ACCEPT, PLANNED),
            asked(ACCEPT, SENT),
            asked(ACCEPT, CONFIRMED, closed_at=at(1)),
            asked(ACCEPT, UNCERTAIN, closed_at=at(1)),
        ):
            assert asking.judge([action], seen(2), at(2), RULES).look_again_at is None


class TestSeveral:
    def test_one_change_two_requests(self) -> None:
        """A change that two kinds may have brought about confirms neither, and says so."""
        both = (asked(ACCEPT, ANSWERED), asked(EVICT, UNCERTAIN))
        verdict = asking.judge(both, seen(1, sub=None), at(1), RULES)
        assert (verdict.settled, verdict.noted) == ((), ())
        assert [step.outcome for _, step in verdict.steps] == ["ambiguous", "ambiguous"]

    def test_only_one_could_have_done_it(self) -> None:
        """A change that only one kind brings about is its own, whatever else is under way."""
        accept, evict = asked(ACCEPT, UNCERTAIN), asked(EVICT, ANSWERED)
        after = judged(seen(1, kind="OTHER"), accept, evict)
        assert after[evict.action_id].state is CONFIRMED
        assert after[accept.action_id] == accept

    def test_withdrawal_takes_the_closing(self) -> None:
        """A closed case is the withdrawal's work, and tells nothing of a list or an eviction."""
        read = seen(1, status="CLOSED", sub="WITHDRAWN", closed=0.5)
        withdraw, accept, evict = (
            asked(WITHDRAW, UNCERTAIN),
            asked(ACCEPT, UNCERTAIN),
            asked(EVICT, ANSWERED),
        )
        after = judged(read, accept, withdraw, evict)
        assert [each.state for each in after.values()] == [UNCERTAIN, CONFIRMED, ANSWERED]
        later = judged(seen(20, "CLOSED", "WITHDRAWN", closed=0.5), *after.values())
        assert [each.state for each in later.values()] == [UNCERTAIN, CONFIRMED, ANSWERED]

    def test_one_that_is_being_sent(self) -> None:
        """A call that is under way at this moment may be the cause, too: nobody claims it."""
        after = judged(seen(1, sub=None), asked(ACCEPT, UNCERTAIN), asked(EVICT, SENT))
        assert [each.state for each in after.values()] == [UNCERTAIN, SENT]

    def test_what_waits_goes_first(self) -> None:
        """What is still looked for claims before what was given up, which then sees no change."""
        old = asked(EVICT, ANSWERED, closed_at=at(-1))
        new = asked(ACCEPT, ANSWERED)
        after = judged(seen(1, sub=None), old, new)
        assert after[new.action_id].state is CONFIRMED
        assert after[old.action_id].state is ANSWERED
        again = judged(seen(100, sub=None), *after.values())
        assert again[old.action_id].state is ANSWERED
        last = judged(seen(200, sub=None, kind="OTHER"), *again.values())
        assert last[old.action_id].state is CONFIRMED


class TestInTheWay:
    @pytest.mark.parametrize("before", [PLANNED, SENT, ANSWERED, UNCERTAIN])
    def test_the_same_question(self, before: ActionState) -> None:
        """A request under way is in the way of the same and of the opposite answer, of no other."""
        action = asked(ACCEPT, before)
        assert asking.in_the_way([action], ACCEPT) == action
        assert asking.in_the_way([action], REJECT) == action
        assert asking.in_the_way([action], WITHDRAW) is None
        assert asking.in_the_way([action], EVICT) is None

    def test_what_has_ended(self) -> None:
        """What ended is not; what is uncertain for good still is, until a person judged it."""
        for done in (CONFIRMED, ActionState.REFUSED, ActionState.CANCELLED, ANSWERED):
            action = asked(ACCEPT, done, closed_at=at(1))
            assert asking.in_the_way([action], ACCEPT) is None
        waits = asked(ACCEPT, UNCERTAIN, closed_at=at(1))
        assert asking.in_the_way([waits], ACCEPT) == waits

    def test_every_kind_is_an_answer(self) -> None:
        """Each kind that people ask for answers exactly one question."""
        kinds = [kind for answers in asking.ANSWERS for kind in answers]
        assert sorted(kinds) == sorted(ASKED)


words = st.none() | st.sampled_from(["OPEN", "PAUSED", "CLOSED", "LIST", "OTHER"])
reads = st.builds(
    seen,
    st.floats(-50, 400).map(lambda x: round(x, 3)),
    words,
    words,
    words,
    st.none() | st.floats(-50, 400).map(lambda x: round(x, 3)),
)
states = st.sampled_from(list(ActionState))
requests = st.builds(asked, st.sampled_from(sorted(ASKED)), states, reads)


@given(reads)
def test_note_and_back(read: Seen) -> None:
    """What is noted in an action's detail is read back as it was."""
    assert asking.before(asking.note(read)) == read


@given(st.lists(requests, max_size=4, unique_by=lambda a: a.action_id), reads)
def test_laws(actions: Sequence[Action], read: Seen) -> None:
    """No read plans, repeats or refuses; one change confirms at most one; a held row is left."""
    verdict = asking.judge(actions, read, read.began_at, RULES)
    old = {each.action_id: each for each in actions}
    assert len(verdict.settled) <= 1
    for after in verdict.settled:
        assert after.state is CONFIRMED
        assert after.closed_at is not None
        assert old[after.action_id].state in (ANSWERED, UNCERTAIN)
        was = old[after.action_id]
        assert read.began_at > (was.sent_at or AT)
        assert was.state is ANSWERED or (was.kind is WITHDRAW and read.is_closed)
    for after in verdict.noted:
        assert after.state is old[after.action_id].state
        assert after.state in (PLANNED, ANSWERED, UNCERTAIN)
        assert after.detail["reason"] == "a code"
