"""Pausing is a level, not an edge: from holds, ledger and one read to the next step.

`compare` looks at one case and says what its level is now, which open action the
read settles, which action is to be planned, and when to look again. It is the only
place where a pause or a resume is born, and it keeps three laws:

* a case is resumed only if the newest thing that we did to it was a confirmed pause of
  ours, no hold is in force, and the read began after the last hold had ended;
* a read disproves a call only when it began long enough after the call had ended;
* each level asks for one pause or one resume, never for two.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Literal

from service.domain.actions import Action, ActionKind, ActionState
from service.domain.holds import Hold, active, codes, last_ended
from service.domain.vain import after_vain

Desired = Literal["running", "paused"]

#: Seconds after an uncertain call at which the case is read back.
UNCERTAIN_READS = (5.0, 15.0, 60.0, 300.0)
#: A pause of unknown fate is repeated after this; pausing twice harms nobody.
REPEAT_PAUSE_AFTER = timedelta(seconds=15)
#: A resume of unknown fate is repeated (or given up) after this.
REPEAT_RESUME_AFTER = timedelta(seconds=300)
#: How many read lags an answered call may stay unseen before it is contradicted.
PATIENCE = 3


@dataclass(frozen=True, slots=True)
class Rules:
    """What is assumed about Amili's reads, and what the owner wants on a contradiction."""

    read_lag: timedelta
    enforce: bool = True


@dataclass(frozen=True, slots=True)
class Situation:
    """All that is known about one case at `now`."""

    level: int
    desired: Desired
    holds: tuple[Hold, ...]
    #: Pauses and resumes of this case, oldest first.
    actions: tuple[Action, ...]
    #: What the read showed, and when it began.
    is_paused: bool
    is_closed: bool
    read_began_at: datetime
    now: datetime

    @property
    def open(self) -> Action | None:
        """The one action under way."""
        return next((action for action in self.actions if action.is_open), None)

    @property
    def newest(self) -> Action | None:
        """The newest action that had, or may have had, an effect."""
        without = (ActionState.CANCELLED, ActionState.REFUSED)
        done = [action for action in self.actions if action.state not in without]
        return done[-1] if done else None

    @property
    def cause(self) -> str:
        """The cause that an action of the present level has."""
        return f"level:{self.level}"


@dataclass(frozen=True, slots=True)
class Step:
    """One thing that was concluded: `outcome` from a small set, and why in words."""

    outcome: str
    words: str


@dataclass(frozen=True, slots=True)
class Verdict:
    """What is to be saved."""

    situation: Situation
    #: Actions whose state changed.
    changed: tuple[Action, ...] = ()
    plan: ActionKind | None = None
    #: The planned action is not to be sent before.
    not_before: datetime | None = None
    look_again_at: datetime | None = None
    steps: tuple[Step, ...] = ()


def level(situation: Situation) -> tuple[Situation, tuple[Step, ...]]:
    """Bring the level up to the holds in force: it rises at each change of `desired`."""
    holds = active(situation.holds, situation.now)
    desired: Desired = "paused" if holds else "running"
    if desired == situation.desired:
        return situation, ()
    risen = replace(situation, level=situation.level + 1, desired=desired)
    why = "held by " + ", ".join(codes(holds)) if holds else "the last hold has ended"
    return risen, (Step(desired, f"Level {risen.level}: {desired}, {why}."),)


def compare(situation: Situation, rules: Rules) -> Verdict:
    """Say what follows from one read of a case."""
    situation, steps = level(situation)
    verdict = settle_open(Verdict(situation, steps=steps), rules)
    if verdict.situation.open is not None or situation.is_closed:
        return verdict
    if verdict.situation.desired == "paused":
        return towards_paused(verdict, rules)
    return towards_running(verdict, rules)


def still_wanted(action: Action, situation: Situation) -> bool:
    """Compare again, just before an action is sent."""
    if situation.is_closed or action.cause != situation.cause:
        return False
    held = bool(active(situation.holds, situation.now))
    if action.kind is ActionKind.PAUSE_CASE:
        return held and (action.attempts > 0 or not situation.is_paused)
    return not held and (action.attempts > 0 or may_resume(situation, but=action))


def may_resume(situation: Situation, but: Action | None = None) -> bool:
    """Only what we paused, only while nothing holds it, only by a read begun after the holds."""
    others = tuple(action for action in situation.actions if action != but)
    newest = replace(situation, actions=others).newest
    ours = (
        newest is not None
        and newest.kind is ActionKind.PAUSE_CASE
        and newest.state is ActionState.CONFIRMED
        and newest.is_ours
    )
    ended = last_ended(situation.holds, situation.now)
    fresh = ended is None or situation.read_began_at > ended
    return ours and fresh and situation.is_paused and not active(situation.holds, situation.now)


# --- the open action --------------------------------------------------------


def settle_open(verdict: Verdict, rules: Rules) -> Verdict:
    """Let the read settle the action under way, if it can."""
    situation = verdict.situation
    action = situation.open
    if action is None or action.state is ActionState.SENT:
        return verdict
    wanted = action.wants_paused == (situation.desired == "paused")
    wanted = wanted and action.cause == situation.cause and not situation.is_closed
    judge = {
        ActionState.PLANNED: judge_planned,
        ActionState.ANSWERED: judge_answered,
        ActionState.UNCERTAIN: judge_uncertain,
    }[action.state]
    state, words = judge(action, situation, wanted, rules)
    if state is not action.state:
        verdict = close(verdict, action, state, words)
    still = verdict.situation.open
    if still is None:
        return verdict
    return replace(verdict, look_again_at=next_look(still, situation.now, rules))


def close(verdict: Verdict, action: Action, state: ActionState, words: str) -> Verdict:
    """Give an action its new state."""
    situation = verdict.situation
    final = state not in (ActionState.PLANNED, ActionState.UNCERTAIN)
    after = replace(
        action,
        state=state,
        closed_at=situation.now if final else None,
        not_before=None,
    )
    actions = tuple(after if old == action else old for old in situation.actions)
    return replace(
        verdict,
        situation=replace(situation, actions=actions),
        changed=(*(old for old in verdict.changed if old.action_id != after.action_id), after),
        steps=(*verdict.steps, Step(str(state), f"{action.kind} of {action.cause}: {words}.")),
    )


Judgement = tuple[ActionState, str]


def judge_planned(action: Action, situation: Situation, wanted: bool, rules: Rules) -> Judgement:
    """A planned action is dropped when it is no longer wanted, or already so."""
    if shows(action, situation, rules):
        if action.attempts:
            return ActionState.CONFIRMED, "a read shows its effect"
        return ActionState.CANCELLED, "a read shows that it is so already"
    if wanted:
        return ActionState.PLANNED, ""
    if action.attempts:
        return ActionState.UNCERTAIN, "no longer wanted, but it may have arrived"
    return ActionState.CANCELLED, "no longer wanted"


def judge_answered(action: Action, situation: Situation, wanted: bool, rules: Rules) -> Judgement:
    """Amili said yes: a read shows it, or long enough after shows it not."""
    if shows(action, situation, rules):
        return ActionState.CONFIRMED, "a read shows its effect"
    if since_call(action, situation) >= PATIENCE * rules.read_lag:
        return ActionState.CONTRADICTED, "Amili accepted it, and no read shows its effect"
    return ActionState.ANSWERED, ""


def judge_uncertain(action: Action, situation: Situation, wanted: bool, rules: Rules) -> Judgement:
    """Nobody knows whether it arrived: only reads can tell, and they may lag."""
    if shows(action, situation, rules):
        return ActionState.CONFIRMED, "a read shows its effect"
    since = since_call(action, situation)
    is_pause = action.kind is ActionKind.PAUSE_CASE
    repeat_after = max(REPEAT_PAUSE_AFTER if is_pause else REPEAT_RESUME_AFTER, rules.read_lag)
    if not action.is_ours and since >= repeat_after:
        return ActionState.REFUSED, "Amili said that it conflicts, and no read shows that it is so"
    if wanted and since >= repeat_after:
        return ActionState.PLANNED, "no read shows its effect, it is repeated with the same key"
    if not wanted and since >= max(REPEAT_RESUME_AFTER, rules.read_lag):
        # It had none, then: what was before it still stands.
        return ActionState.CANCELLED, "no read shows its effect, and it is no longer wanted"
    return ActionState.UNCERTAIN, ""


def shows(action: Action, situation: Situation, rules: Rules) -> bool:
    """The read shows what the action wants, began after it was sent, and is no echo."""
    since = action.sent_at or action.planned_at
    seen = situation.read_began_at > since and situation.is_paused == action.wants_paused
    return seen and echo_until(situation, rules, but=action) is None


def echo_until(situation: Situation, rules: Rules, but: Action | None = None) -> datetime | None:
    """Return until when a read may show what was before the last change; None: this one does not.

    Reads lag, each by its own time: one that shows a change may be followed by one that does not.
    """
    others = tuple(action for action in situation.actions if action != but)
    newest = replace(situation, actions=others).newest
    if newest is None or newest.closed_at is None:
        return None
    was_seen = newest.state is ActionState.CONFIRMED
    until = max(newest.closed_at, newest.ended_at or newest.closed_at) + rules.read_lag
    differs = situation.is_paused != (newest.wants_paused == was_seen)
    return until if differs and situation.read_began_at < until else None


def since_call(action: Action, situation: Situation) -> timedelta:
    """How long after the end of the newest call the read began."""
    return situation.read_began_at - (action.ended_at or action.planned_at)


def next_look(action: Action, now: datetime, rules: Rules) -> datetime | None:
    """When to read the case back for an action under way; None: something else will come."""
    if action.ended_at is None or action.state in (ActionState.PLANNED, ActionState.SENT):
        return None
    lag = rules.read_lag.total_seconds()
    if action.state is ActionState.ANSWERED:
        pauses: tuple[float, ...] = (1, 3, 6, lag + 0.5, 2 * lag + 0.5, PATIENCE * lag + 0.5)
    else:
        pauses = (*UNCERTAIN_READS, lag + 0.5)
    looks = sorted(action.ended_at + timedelta(seconds=pause) for pause in pauses)
    later = [at for at in looks if at > now]
    # Past the last: keep looking, slowly; a state that is not final is never left alone.
    return later[0] if later else now + timedelta(seconds=60)


# --- no action is open ------------------------------------------------------


def towards_paused(verdict: Verdict, rules: Rules) -> Verdict:
    """The case should be paused: plan it where a read shows that it is not."""
    situation = verdict.situation
    newest = situation.newest
    if situation.is_paused:
        return look_after(verdict, echo_until(situation, rules))
    if newest is not None and is_confirmed_pause(newest):
        verdict = by_somebody_else(verdict, newest, rules)
        if verdict.look_again_at is not None:
            return verdict
    return plan_pause(verdict, rules)


def by_somebody_else(verdict: Verdict, pause: Action, rules: Rules) -> Verdict:
    """Our pause was seen, and now is not: somebody resumed the case, or the read lags."""
    until = echo_until(verdict.situation, rules)
    if until is not None:
        return look_after(verdict, until)
    words = "the case was resumed by somebody else"
    return close(verdict, pause, ActionState.CONTRADICTED, words)


def plan_pause(verdict: Verdict, rules: Rules) -> Verdict:
    """Plan the pause of this level; a contradicted one is asked for anew on a level of its own."""
    situation = verdict.situation
    used = used_at(situation, ActionKind.PAUSE_CASE)
    if used is None:
        return planned(verdict, ActionKind.PAUSE_CASE, None)
    if used.state is ActionState.CONTRADICTED and not rules.enforce:
        return verdict
    risen = replace(situation, level=situation.level + 1)
    step = Step("enforced", f"Level {risen.level}: paused, for the hold is still in force.")
    verdict = replace(verdict, situation=risen, steps=(*verdict.steps, step))
    return planned(verdict, ActionKind.PAUSE_CASE, not_before(situation, rules))


def not_before(situation: Situation, rules: Rules) -> datetime | None:
    """Return when a pause may be asked for after others came to nothing; None: at once."""
    wait = after_vain(situation.actions, PATIENCE * rules.read_lag)
    return None if wait is None else situation.now + wait


def towards_running(verdict: Verdict, rules: Rules) -> Verdict:
    """Nothing holds the case: resume it if we paused it, else leave it as it is."""
    situation = verdict.situation
    newest = situation.newest
    if newest is None or not is_confirmed_pause(newest):
        return not_ours(verdict)
    if not situation.is_paused:
        return by_somebody_else(verdict, newest, rules)
    if not newest.is_ours or ended_with_case(situation):
        return not_ours(verdict)
    if not may_resume(situation):  # the read began before the last hold ended
        return replace(verdict, look_again_at=situation.now)
    return plan_resume(verdict)


def ended_with_case(situation: Situation) -> bool:
    """The last hold was never released: it ended because the case did, and nothing follows.

    Should the case come back to life, whoever placed the hold has not been asked.
    """
    ended = [hold for hold in situation.holds if hold.ended_at(situation.now) is not None]
    last = max(ended, key=lambda hold: hold.ended_at(situation.now) or hold.placed_at, default=None)
    return last is not None and last.released_by == "case_closed"


def plan_resume(verdict: Verdict) -> Verdict:
    """Plan the resume of this level; one that was cancelled is asked for anew on the next."""
    situation = verdict.situation
    used = used_at(situation, ActionKind.RESUME_CASE)
    if used is None:
        return planned(verdict, ActionKind.RESUME_CASE, None)
    if used.state is not ActionState.CANCELLED:
        return verdict
    risen = replace(situation, level=situation.level + 1)
    step = Step("again", f"Level {risen.level}: running, for nothing came of the resume before.")
    verdict = replace(verdict, situation=risen, steps=(*verdict.steps, step))
    return planned(verdict, ActionKind.RESUME_CASE, None)


def not_ours(verdict: Verdict) -> Verdict:
    """Say once for each level that a paused case stays paused because we did not pause it."""
    situation = verdict.situation
    if not (situation.is_paused and verdict.steps):
        return verdict
    step = Step("not_ours", "It stays paused: no confirmed pause of ours stands behind it.")
    return replace(verdict, steps=(*verdict.steps, step))


def planned(verdict: Verdict, kind: ActionKind, not_before: datetime | None) -> Verdict:
    """Plan one action for the present level."""
    step = Step("planned", f"{kind} is planned for {verdict.situation.cause}.")
    return replace(verdict, plan=kind, not_before=not_before, steps=(*verdict.steps, step))


def used_at(situation: Situation, kind: ActionKind) -> Action | None:
    """Return the action that the present level already asked for."""
    cause = situation.cause
    same = (a for a in situation.actions if a.cause == cause and a.kind is kind)
    return next(same, None)


def is_confirmed_pause(action: Action) -> bool:
    """It is a pause whose effect was seen."""
    return action.kind is ActionKind.PAUSE_CASE and action.state is ActionState.CONFIRMED


def look_after(verdict: Verdict, until: datetime | None) -> Verdict:
    """Look again just after `until`, and never in the past; None: no need."""
    if until is None:
        return verdict
    now = verdict.situation.now
    again = max(until + timedelta(milliseconds=500), now + timedelta(seconds=1))
    return replace(verdict, look_again_at=again)
