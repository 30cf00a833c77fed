"""The level of a case, law by law: from one situation to the one verdict that it allows."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from service.domain import pausing
from service.domain.actions import Action, ActionKind, ActionState
from service.domain.holds import Hold, active, last_ended
from service.domain.pausing import Rules, Situation

NOON = datetime(2026, 5, 1, 12, tzinfo=UTC)
RULES = Rules(timedelta(seconds=10))
PAUSE, RESUME = ActionKind.PAUSE_CASE, ActionKind.RESUME_CASE


def at(seconds: float) -> datetime:
    """Name a moment relative to noon."""
    return NOON + timedelta(seconds=seconds)


def hold(
    placed: float = -100, *, until: float | None = None, released: float | None = None
) -> Hold:
    """Make a hold."""
    return Hold(
        f"hold{placed}",
        "case",
        "dispute",
        "api",
        at(placed),
        until=None if until is None else at(until),
        released_at=None if released is None else at(released),
    )


def action(
    kind: ActionKind = PAUSE,
    state: ActionState = ActionState.CONFIRMED,
    *,
    level: int = 1,
    ended: float | None = -90,
    attempts: int = 1,
    is_ours: bool = True,
) -> Action:
    """Make an action that was planned and sent two seconds before its call ended."""
    end = -90 if ended is None else ended
    was_sent = attempts > 0
    final = state not in (ActionState.PLANNED, ActionState.ANSWERED, ActionState.UNCERTAIN)
    return Action(
        f"{kind}-{level}",
        kind,
        "case",
        "org",
        f"level:{level}",
        state,
        at(end - 2),
        attempts=attempts,
        sent_at=at(end - 1) if was_sent else None,
        ended_at=at(end) if was_sent and ended is not None else None,
        closed_at=at(end + 1) if final else None,
        is_ours=is_ours,
    )


def case(  # a situation reads best in one line
    *actions: Action,
    level: int = 1,
    held: bool | None = None,
    holds: tuple[Hold, ...] = (),
    is_paused: bool = False,
    is_closed: bool = False,
    read: float = 0,
    now: float = 0.5,
) -> Situation:
    """Make a situation; `held` adds one hold in force, or one that ended long ago."""
    if held is not None:
        holds = (hold() if held else hold(-1000, released=-900), *holds)
    desired: pausing.Desired = "paused" if active(holds, at(now)) else "running"
    return Situation(level, desired, holds, actions, is_paused, is_closed, at(read), at(now))


def state_of(verdict: pausing.Verdict, which: int = -1) -> ActionState:
    """Name the state of the newest action after a verdict."""
    return verdict.situation.actions[which].state


class TestLevel:
    def test_the_first_hold_raises_it(self) -> None:
        """A hold where none was makes the next level, paused, and says why."""
        before = replace(case(held=True, level=0), desired="running")
        risen, steps = pausing.level(before)
        assert (risen.level, risen.desired) == (1, "paused")
        assert [step.outcome for step in steps] == ["paused"]
        assert "dispute" in steps[0].words

    def test_a_second_hold_changes_nothing(self) -> None:
        """The level counts changes of what is desired, not holds."""
        before = case(holds=(hold(-5), hold(-3)), level=4)
        assert pausing.level(before) == (before, ())

    def test_the_last_end_raises_it(self) -> None:
        """When the last hold has ended the next level is running."""
        before = replace(case(held=False, level=3), desired="paused")
        risen, steps = pausing.level(before)
        assert (risen.level, risen.desired) == (4, "running")
        assert [step.outcome for step in steps] == ["running"]

    def test_a_hold_that_came_and_went_unseen_is_none(self) -> None:
        """Placed and released between two looks: no level, no call, nothing to explain."""
        verdict = pausing.compare(case(holds=(hold(-2, released=-1),)), RULES)
        assert (verdict.situation.level, verdict.plan, verdict.steps) == (1, None, ())

    def test_expiry_is_no_event(self) -> None:
        """A hold ends at its `until`, whether anybody noticed or not."""
        before = replace(case(holds=(hold(until=0.5),)), desired="paused")
        assert pausing.level(before)[0].desired == "running"


class TestHolds:
    def test_an_expired_hold_ended_when_it_expired(self) -> None:
        """Releasing an expired hold later, as the sweeper does, does not move its end."""
        assert hold(until=-10, released=-8).ended_at(NOON) == at(-10)
        assert last_ended([hold(until=-10, released=-8), hold(released=-9)], NOON) == at(-9)

    def test_a_hold_released_before_its_time_ended_then(self) -> None:
        """The earlier of release and expiry counts."""
        assert hold(until=100, released=-8).ended_at(NOON) == at(-8)

    def test_a_hold_in_force_has_not_ended(self) -> None:
        """Neither released nor expired."""
        assert hold(until=1).ended_at(NOON) is None
        assert hold().is_active(NOON)
        assert last_ended([hold()], NOON) is None


class TestPlanning:
    def test_pause(self) -> None:
        """Held, and a read shows that it runs: one pause, caused by the level."""
        verdict = pausing.compare(case(held=True), RULES)
        assert (verdict.plan, verdict.situation.cause) == (PAUSE, "level:1")

    def test_paused_already(self) -> None:
        """Held, and paused by somebody: nothing is asked for."""
        verdict = pausing.compare(case(held=True, is_paused=True), RULES)
        assert (verdict.plan, verdict.look_again_at, verdict.changed) == (None, None, ())

    def test_nothing_while_one_is_open(self) -> None:
        """An action under way is waited for, whatever is desired meanwhile."""
        for state in (ActionState.SENT, ActionState.ANSWERED, ActionState.UNCERTAIN):
            for held in (True, False):
                open_one = action(RESUME, state, level=2, ended=-0.5)
                before = case(action(), open_one, level=3, held=held, is_paused=True)
                verdict = pausing.compare(before, RULES)
                assert (verdict.plan, state_of(verdict)) == (None, state)

    def test_a_refused_pause_is_asked_for_again_slowly(self) -> None:
        """Amili's no holds for the level; the hold is still in force, so the next level asks."""
        before = case(action(state=ActionState.REFUSED), held=True)
        verdict = pausing.compare(before, RULES)
        assert verdict.plan is PAUSE
        assert verdict.situation.level == before.level + 1
        assert verdict.not_before == before.now + timedelta(minutes=5)

    def test_a_hold_that_ended_with_its_case_resumes_nothing(self) -> None:
        """Should the case come back to life, nobody has said that it may go on."""
        over = replace(hold(-1000, released=-60), released_by="case_closed")
        before = case(action(), holds=(over,), is_paused=True)
        assert pausing.compare(before, RULES).plan is None

    def test_the_next_level_asks_anew(self) -> None:
        """After a no, the next hold has a pause of its own."""
        before = case(action(state=ActionState.REFUSED), level=3, held=True)
        assert pausing.compare(before, RULES).plan is PAUSE

    @pytest.mark.parametrize("held", [True, False])
    def test_a_closed_case_is_left_alone(self, held: bool) -> None:
        """Nothing is asked of Amili for a case that is over."""
        before = case(action(), held=held, is_paused=not held, is_closed=True)
        assert pausing.compare(before, RULES).plan is None

    def test_a_closed_case_drops_what_was_planned(self) -> None:
        """Not even what was about to be sent."""
        planned = action(state=ActionState.PLANNED, attempts=0)
        verdict = pausing.compare(case(planned, held=True, is_closed=True), RULES)
        assert state_of(verdict) is ActionState.CANCELLED

    def test_planned_and_no_longer_wanted(self) -> None:
        """Released before it was sent: cancelled, and no resume is born of it."""
        planned = action(state=ActionState.PLANNED, attempts=0)
        before = replace(case(planned, held=False), desired="paused")
        verdict = pausing.compare(before, RULES)
        assert (state_of(verdict), verdict.plan) == (ActionState.CANCELLED, None)

    def test_planned_and_already_so(self) -> None:
        """Somebody else paused it first: ours is dropped, and will not be resumed."""
        planned = action(state=ActionState.PLANNED, attempts=0, ended=-5)
        verdict = pausing.compare(case(planned, held=True, is_paused=True), RULES)
        assert state_of(verdict) is ActionState.CANCELLED
        released = replace(verdict.situation, holds=(hold(released=0.5),), now=at(2))
        later = pausing.compare(replace(released, read_began_at=at(1)), RULES)
        assert later.plan is None
        assert "not_ours" in [step.outcome for step in later.steps]

    def test_held_again_after_a_cancelled_pause(self) -> None:
        """A cancelled pause stands in nobody's way: the level rises, one is planned."""
        cancelled = action(state=ActionState.CANCELLED, attempts=0)
        verdict = pausing.compare(case(cancelled, held=True), RULES)
        assert (verdict.plan, verdict.situation.level) == (PAUSE, 2)

    def test_released_again_after_a_cancelled_resume(self) -> None:
        """A cancelled resume is planned anew: else the case would stay paused for ever."""
        cancelled = action(RESUME, ActionState.CANCELLED, level=2, attempts=0)
        before = case(action(), cancelled, level=2, held=False, is_paused=True)
        verdict = pausing.compare(before, RULES)
        assert (verdict.plan, verdict.situation.level) == (RESUME, 3)


class TestResuming:
    def test_ours(self) -> None:
        """A confirmed pause of ours, no hold, a read begun after: resume."""
        verdict = pausing.compare(case(action(), level=2, held=False, is_paused=True), RULES)
        assert (verdict.plan, verdict.situation.cause) == (RESUME, "level:2")

    @pytest.mark.parametrize(
        "pause",
        [
            None,
            action(is_ours=False),
            action(state=ActionState.CONTRADICTED),
            action(state=ActionState.REFUSED),
            action(state=ActionState.CANCELLED, attempts=0),
            action(RESUME),
        ],
        ids=["no pause", "409", "contradicted", "refused", "cancelled", "resumed since"],
    )
    def test_not_ours(self, pause: Action | None) -> None:
        """Without a confirmed pause of ours behind it, a paused case stays paused."""
        before = case(*(pause,) if pause else (), level=2, held=False, is_paused=True)
        assert pausing.compare(before, RULES).plan is None
        assert not pausing.may_resume(before)

    def test_not_by_an_old_read(self) -> None:
        """A read begun before the last hold ended does not carry a resume; it is read anew."""
        before = case(action(), holds=(hold(released=0.2),), is_paused=True, now=0.5)
        verdict = pausing.compare(before, RULES)
        assert (verdict.plan, verdict.look_again_at) == (None, at(0.5))
        same = replace(before, holds=(hold(released=0.0),))
        assert pausing.compare(same, RULES).plan is None
        fresh = replace(before, read_began_at=at(0.3))
        assert pausing.compare(fresh, RULES).plan is RESUME

    def test_not_while_anything_holds_it(self) -> None:
        """One hold of many is enough."""
        before = case(action(), holds=(hold(released=-50), hold()), level=2, is_paused=True)
        assert pausing.compare(before, RULES).plan is None

    def test_once_for_each_level(self) -> None:
        """A resume that Amili refused is not asked for again until the level changes."""
        refused = action(RESUME, ActionState.REFUSED, level=2)
        before = case(action(), refused, level=2, held=False, is_paused=True)
        assert pausing.compare(before, RULES).plan is None
        assert pausing.compare(replace(before, level=4), RULES).plan is RESUME

    def test_a_resume_that_came_to_nothing_leaves_the_pause_ours(self) -> None:
        """Lost, then held again, then released: the case is still ours to resume."""
        lost = action(RESUME, ActionState.UNCERTAIN, level=2, ended=-310)
        pause = action(ended=-400)
        held = case(pause, lost, level=3, held=True, is_paused=True)
        verdict = pausing.compare(held, RULES)
        assert state_of(verdict) is ActionState.CANCELLED
        released = replace(
            verdict.situation, holds=(hold(released=5),), read_began_at=at(6), now=at(7)
        )
        after = pausing.compare(released, RULES)
        assert (after.plan, after.situation.cause) == (RESUME, "level:4")

    def test_an_accepted_resume_that_nobody_saw_is_in_doubt(self) -> None:
        """Accepted, never seen: somebody may have paused it since, so it is left alone."""
        answered = action(RESUME, ActionState.ANSWERED, level=2, ended=-31)
        verdict = pausing.compare(
            case(action(), answered, level=2, held=False, is_paused=True), RULES
        )
        assert (state_of(verdict), verdict.plan) == (ActionState.CONTRADICTED, None)


class TestAnswered:
    def test_confirmed_by_a_read(self) -> None:
        """A read begun after the call that shows the effect confirms it."""
        before = case(action(state=ActionState.ANSWERED, ended=-3), held=True, is_paused=True)
        assert state_of(pausing.compare(before, RULES)) is ActionState.CONFIRMED

    def test_not_by_a_read_begun_before_the_call(self) -> None:
        """What was read before the call says nothing of it."""
        answered = action(state=ActionState.ANSWERED, ended=0.8)
        before = case(answered, held=True, is_paused=True, read=-0.3, now=1)
        verdict = pausing.compare(before, RULES)
        assert (verdict.changed, verdict.look_again_at) == ((), at(1.8))

    @pytest.mark.parametrize("seconds", [0.5, 5, 9, 11, 25, 29.9])
    def test_a_lagging_read_disproves_nothing(self, seconds: float) -> None:
        """Not seen yet: it stays answered, and is read again."""
        answered = action(state=ActionState.ANSWERED, ended=-seconds)
        verdict = pausing.compare(case(answered, held=True), RULES)
        assert state_of(verdict) is ActionState.ANSWERED
        assert verdict.plan is None
        assert verdict.look_again_at is not None
        assert at(0.5) < verdict.look_again_at <= at(31)

    @pytest.mark.parametrize(("enforce", "plan"), [(True, PAUSE), (False, None)])
    def test_never_seen(self, enforce: bool, plan: ActionKind | None) -> None:
        """Not seen in three lags: contradicted; asked for again only where that is wished."""
        answered = action(state=ActionState.ANSWERED, ended=-30)
        verdict = pausing.compare(case(answered, held=True), replace(RULES, enforce=enforce))
        assert (state_of(verdict), verdict.plan) == (ActionState.CONTRADICTED, plan)
        assert verdict.situation.level == (2 if enforce else 1)

    def test_no_echo_confirms_it(self) -> None:
        """Soon after a resume was seen, a read that shows paused may be older than that."""
        resumed = action(RESUME, level=2, ended=-5)
        answered = action(state=ActionState.ANSWERED, level=3, ended=-2)
        early = case(action(), resumed, answered, level=3, held=True, is_paused=True)
        verdict = pausing.compare(early, RULES)
        assert state_of(verdict) is ActionState.ANSWERED
        assert verdict.look_again_at is not None
        late = replace(early, read_began_at=at(6), now=at(6.5))
        assert state_of(pausing.compare(late, RULES)) is ActionState.CONFIRMED


class TestUncertain:
    def test_seen_is_confirmed_and_ours(self) -> None:
        """The answer was lost, the effect is there."""
        before = case(action(state=ActionState.UNCERTAIN, ended=-5), held=True, is_paused=True)
        verdict = pausing.compare(before, RULES)
        assert state_of(verdict) is ActionState.CONFIRMED
        assert verdict.situation.actions[-1].is_ours

    def test_read_back_after_5_15_60_and_300_seconds(self) -> None:
        """Each read that shows nothing is followed by the next."""
        uncertain = action(RESUME, ActionState.UNCERTAIN, level=2, ended=0)
        looks, now = [], 0.0
        for _ in range(5):
            before = case(action(), uncertain, level=2, held=False, is_paused=True, read=now)
            verdict = pausing.compare(replace(before, now=at(now)), RULES)
            assert verdict.look_again_at is not None
            now = (verdict.look_again_at - NOON).total_seconds()
            looks.append(now)
        assert looks == [5, 10.5, 15, 60, 300]

    @pytest.mark.parametrize(
        ("kind", "seconds", "state"),
        [
            (PAUSE, 14.9, ActionState.UNCERTAIN),
            (PAUSE, 15, ActionState.PLANNED),
            (RESUME, 299.9, ActionState.UNCERTAIN),
            (RESUME, 300, ActionState.PLANNED),
        ],
    )
    def test_repeated_with_the_same_row(
        self, kind: ActionKind, seconds: float, state: ActionState
    ) -> None:
        """A pause after 15 s, a resume after 300 s: the same row, so the same key."""
        is_pause = kind is PAUSE
        uncertain = action(kind, ActionState.UNCERTAIN, level=2, ended=-seconds)
        older = () if is_pause else (action(ended=-400),)
        before = case(*older, uncertain, level=2, held=is_pause, is_paused=not is_pause)
        verdict = pausing.compare(before, RULES)
        assert state_of(verdict) is state
        assert verdict.situation.actions[-1].action_id == uncertain.action_id
        assert verdict.situation.actions[-1].attempts == 1
        assert verdict.plan is None

    def test_never_sooner_than_reads_can_tell(self) -> None:
        """Where reads lag by a minute, a pause is repeated after a minute."""
        uncertain = action(state=ActionState.UNCERTAIN, ended=-30)
        slow = replace(RULES, read_lag=timedelta(seconds=60))
        verdict = pausing.compare(case(uncertain, held=True), slow)
        assert state_of(verdict) is ActionState.UNCERTAIN

    @pytest.mark.parametrize("kind", [PAUSE, RESUME])
    def test_no_longer_wanted(self, kind: ActionKind) -> None:
        """It is not repeated; after 300 s without a trace it had no effect."""
        is_pause = kind is PAUSE
        for seconds, state in ((299, ActionState.UNCERTAIN), (300, ActionState.CANCELLED)):
            uncertain = action(kind, ActionState.UNCERTAIN, level=2, ended=-seconds)
            before = case(uncertain, level=3, held=not is_pause, is_paused=not is_pause)
            assert state_of(pausing.compare(before, RULES)) is state

    def test_a_repetition_no_longer_wanted_is_looked_after(self) -> None:
        """Planned again, then released: uncertain still, and somebody will look again."""
        planned = action(state=ActionState.PLANNED, attempts=1, ended=-16)
        verdict = pausing.compare(case(planned, level=2, held=False), RULES)
        assert state_of(verdict) is ActionState.UNCERTAIN
        assert verdict.look_again_at == at(-16 + 60)

    def test_an_unseen_effect_of_a_planned_repetition_confirms_it(self) -> None:
        """The first try arrived after all: nothing is sent twice."""
        planned = action(state=ActionState.PLANNED, attempts=1, ended=-16)
        verdict = pausing.compare(case(planned, held=True, is_paused=True), RULES)
        assert state_of(verdict) is ActionState.CONFIRMED

    def test_409_is_never_ours(self) -> None:
        """«Already so»: confirmed once seen, and never resumed by us."""
        conflict = action(state=ActionState.UNCERTAIN, ended=-5, is_ours=False)
        verdict = pausing.compare(case(conflict, held=True, is_paused=True), RULES)
        assert state_of(verdict) is ActionState.CONFIRMED
        released = replace(
            verdict.situation, holds=(hold(released=5),), read_began_at=at(6), now=at(7)
        )
        after = pausing.compare(released, RULES)
        assert after.plan is None
        assert after.steps[-1].outcome == "not_ours"

    def test_409_and_not_so(self) -> None:
        """It conflicts with something else: that is a no."""
        conflict = action(state=ActionState.UNCERTAIN, ended=-15, is_ours=False)
        assert state_of(pausing.compare(case(conflict, held=True), RULES)) is ActionState.REFUSED


class TestContradiction:
    def test_resumed_by_somebody_else_and_enforced(self) -> None:
        """A confirmed pause that is gone is asked for anew, on a level of its own, at once."""
        verdict = pausing.compare(case(action(), held=True), RULES)
        assert state_of(verdict) is ActionState.CONTRADICTED
        assert (verdict.plan, verdict.situation.level) == (PAUSE, 2)
        assert verdict.not_before is None
        assert [s.outcome for s in verdict.steps] == ["contradicted", "enforced", "planned"]

    def test_resumed_by_somebody_else_and_respected(self) -> None:
        """It is written down, and nothing is asked for, at this look and at the next."""
        respect = replace(RULES, enforce=False)
        verdict = pausing.compare(case(action(), held=True), respect)
        assert (state_of(verdict), verdict.plan) == (ActionState.CONTRADICTED, None)
        assert pausing.compare(verdict.situation, respect).plan is None

    def test_resumed_by_somebody_else_and_not_held(self) -> None:
        """Nothing is asked for, and a pause by others after it is not ours."""
        verdict = pausing.compare(case(action(), level=2, held=False), RULES)
        assert (state_of(verdict), verdict.plan) == (ActionState.CONTRADICTED, None)
        again = replace(verdict.situation, is_paused=True, read_began_at=at(5), now=at(6))
        assert pausing.compare(again, RULES).plan is None

    @pytest.mark.parametrize("held", [True, False])
    def test_a_read_soon_after_may_lag(self, held: bool) -> None:
        """Seen a moment ago, and now not: an older answer, to be read again."""
        pause = replace(action(ended=-20), closed_at=at(-4))
        verdict = pausing.compare(case(pause, level=2, held=held), RULES)
        assert (verdict.changed, verdict.plan) == ((), None)
        assert verdict.look_again_at == at(6.5)

    def test_a_read_soon_after_a_resume_may_lag(self) -> None:
        """Held again while a read still shows paused: it may be old, so it is read again."""
        resumed = action(RESUME, level=2, ended=-5)
        verdict = pausing.compare(
            case(action(), resumed, level=3, held=True, is_paused=True), RULES
        )
        assert (verdict.plan, verdict.look_again_at) == (None, at(6.5))

    def test_in_a_row_they_come_ever_more_slowly(self) -> None:
        """Whoever resumes again and again is not fought by the second; an hour is the most."""
        waits = []
        for row in range(1, 12):
            pauses = [action(state=ActionState.CONTRADICTED, level=n) for n in range(1, row)]
            before = case(*pauses, action(level=row), level=row, held=True)
            verdict = pausing.compare(before, RULES)
            assert verdict.plan is PAUSE
            wait = verdict.not_before and (verdict.not_before - before.now).total_seconds()
            waits.append(wait)
        assert waits[0] is None
        later = [wait for wait in waits[1:] if wait is not None]
        assert len(later) == len(waits) - 1
        assert later == sorted(later)
        assert (later[0], later[-1]) == (120, 3600)


class TestBeforeSending:
    def test_a_wanted_pause(self) -> None:
        """Held, running, of this level: send it."""
        planned = action(state=ActionState.PLANNED, attempts=0)
        assert pausing.still_wanted(planned, case(planned, held=True))

    @pytest.mark.parametrize(
        "situation",
        [
            case(level=2, held=True),
            case(held=False),
            case(held=True, is_closed=True),
            case(held=True, is_paused=True),
            case(holds=(hold(until=0.5),)),
        ],
        ids=["another level", "released", "closed", "paused already", "expired this moment"],
    )
    def test_an_unwanted_pause(self, situation: Situation) -> None:
        """Anything that changed since it was planned stops it."""
        planned = action(state=ActionState.PLANNED, attempts=0)
        assert not pausing.still_wanted(planned, replace(situation, actions=(planned,)))

    def test_a_wanted_resume(self) -> None:
        """Ours, not held, read after the holds: send it."""
        planned = action(RESUME, ActionState.PLANNED, attempts=0, level=2)
        before = case(action(), planned, level=2, held=False, is_paused=True)
        assert pausing.still_wanted(planned, before)

    def test_a_swept_expiry_stops_no_resume(self) -> None:
        """The sweeper's release of a hold that had expired before the read changes nothing."""
        planned = action(RESUME, ActionState.PLANNED, attempts=0, level=2)
        before = case(
            action(), planned, level=2, holds=(hold(until=-1, released=0.4),), is_paused=True
        )
        assert pausing.still_wanted(planned, before)

    @pytest.mark.parametrize("attempts", [0, 1])
    def test_a_resume_of_a_held_case_is_never_sent(self, attempts: int) -> None:
        """No path resumes a case that has an active hold, repetitions included."""
        planned = action(RESUME, ActionState.PLANNED, attempts=attempts, level=2)
        before = case(action(), planned, level=2, held=True, is_paused=True)
        assert not pausing.still_wanted(planned, before)

    def test_a_resume_after_the_pause_was_contradicted_is_not_sent(self) -> None:
        """What is no longer ours is no longer resumed."""
        planned = action(RESUME, ActionState.PLANNED, attempts=0, level=2)
        gone = action(state=ActionState.CONTRADICTED)
        before = case(gone, planned, level=2, held=False, is_paused=True)
        assert not pausing.still_wanted(planned, before)

    def test_a_repetition_is_sent_whatever_the_read_shows(self) -> None:
        """Its first try may have arrived; repeating it harms nobody."""
        planned = action(state=ActionState.PLANNED, attempts=1)
        assert pausing.still_wanted(planned, case(planned, held=True, is_paused=True))
