"""What a read says about what a person asked for: withdraw, accept, reject. Pure.

Such a request is sent once. What it brings about in the case is [assumed], for nobody has read it:

* withdraw: the case is closed, or its status is another one;
* accept or reject a debt-collection list: its subStatus is another one;
* accept or reject an eviction request or confirmation: status, subStatus or type is another one.

A change from or to PAUSED counts for none of them: pausing has its own ledger rows. A subStatus
that a read does not tell is no other one.

What Amili answered with yes is confirmed by these. Of what is uncertain nobody knows whether it
arrived, and cases change by themselves and by other hands: only a closed case confirms, and only
a withdrawal. Any other change is told to the person who must judge it.

What was before is noted when the request is planned, and again by each read until it is sent.
A read shows a change only when it began after the call was sent, and a read lag after the read
that what was before was noted from: an older one may show what was before that.

Several requests may be under way on one case. In doubt nobody claims a change: when it may be
the work of two of them, it confirms neither. A closed case is the work of the withdrawal, if
there is one. What waits no longer (it has `closed_at`) claims only what no request that is
still waiting could have done.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from service.domain.actions import ASKED, Action, ActionKind, ActionState
from service.domain.pausing import PATIENCE, UNCERTAIN_READS, Rules, Step, next_look
from service.domain.records import CLOSED, PAUSED

#: The status of a case that runs [doc: seen].
RUNNING = "OPEN"
LISTS = frozenset({ActionKind.ACCEPT_DEBT_COLLECTION_LIST, ActionKind.REJECT_DEBT_COLLECTION_LIST})
#: The two answers to each question; one case gets one of them at a time.
ANSWERS: tuple[frozenset[ActionKind], ...] = (
    frozenset({ActionKind.WITHDRAW_CASE}),
    LISTS,
    frozenset({ActionKind.ACCEPT_EVICTION_REQUEST, ActionKind.REJECT_EVICTION_REQUEST}),
    frozenset({ActionKind.ACCEPT_EVICTION_CONFIRMATION, ActionKind.REJECT_EVICTION_CONFIRMATION}),
)
#: States in which it is not known yet, or never was, what came of a call.
OPEN_ENDED = frozenset({ActionState.SENT, ActionState.ANSWERED, ActionState.UNCERTAIN})


@dataclass(frozen=True, slots=True)
class Seen:
    """What a read showed of a case, as far as a request may change it."""

    status: str | None
    sub_status: str | None
    type: str | None
    closed_at: datetime | None
    #: When the read began.
    began_at: datetime
    #: The read tells a subStatus; one that is null is told, too.
    tells_sub_status: bool = True

    @property
    def is_closed(self) -> bool:
        """Amili's work on it has ended [assumed]."""
        return self.closed_at is not None or self.status in CLOSED


@dataclass(frozen=True, slots=True)
class Verdict:
    """What is to be saved after a read."""

    #: Actions with a new state.
    settled: tuple[Action, ...] = ()
    #: Actions of which something else changed.
    noted: tuple[Action, ...] = ()
    steps: tuple[tuple[Action, Step], ...] = ()
    look_again_at: datetime | None = None


# --- what was before ----------------------------------------------------------


def note(seen: Seen) -> dict[str, str]:
    """Write down for an action's detail what the case shows before it is asked for."""
    told = {
        "beforeStatus": seen.status,
        "beforeSubStatus": seen.sub_status,
        "beforeType": seen.type,
        "beforeClosedAt": None if seen.closed_at is None else seen.closed_at.isoformat(),
        "beforeReadAt": seen.began_at.isoformat(),
    }
    return {name: value for name, value in told.items() if value is not None}


def before(detail: Mapping[str, str]) -> Seen | None:
    """Read back what `note` wrote; None when nothing was noted."""
    if "beforeReadAt" not in detail:
        return None
    closed_at = detail.get("beforeClosedAt")
    return Seen(
        status=detail.get("beforeStatus"),
        sub_status=detail.get("beforeSubStatus"),
        type=detail.get("beforeType"),
        closed_at=None if closed_at is None else datetime.fromisoformat(closed_at),
        began_at=datetime.fromisoformat(detail["beforeReadAt"]),
    )


def renoted(action: Action, seen: Seen) -> Action:
    """Note anew what was before."""
    kept = {name: text for name, text in action.detail.items() if not name.startswith("before")}
    return replace(action, detail=kept | note(seen))


# --- may it be asked for? -------------------------------------------------------


def in_the_way(actions: Sequence[Action], kind: ActionKind) -> Action | None:
    """Return the request that is under way and answers the same question; None: there is none.

    One of unknown fate is in the way, too, until a person has judged it.
    """
    same = next(answers for answers in ANSWERS if kind in answers)
    for action in reversed(actions):
        if action.kind in same and (action.is_open or action.state is ActionState.UNCERTAIN):
            return action
    return None


def may_cancel(action: Action) -> bool:
    """It was asked for by a person, and never sent."""
    return action.kind in ASKED and action.state is ActionState.PLANNED and action.attempts == 0


def may_resend(action: Action) -> bool:
    """Nobody knows whether it arrived, and reads did not tell: a person may have it sent again."""
    waits = action.state is ActionState.UNCERTAIN and action.closed_at is not None
    return action.kind in ASKED and waits


# --- what a read says -------------------------------------------------------------


def judge(actions: Sequence[Action], seen: Seen, now: datetime, rules: Rules) -> Verdict:
    """Say what one read of a case means for everything that was asked of it, oldest first."""
    asked = [action for action in actions if action.kind in ASKED]
    rivals = [action for action in asked if may_have_done(action, asked, seen)]
    winner, steps = claim(rivals, seen, rules)
    losers = [each for each in rivals if winner is not None and not_held(each)]
    changes: list[tuple[Action, Action]] = []
    for action in asked:
        after = action
        if action == winner:
            after = replace(action, state=ActionState.CONFIRMED, closed_at=now, not_before=None)
        elif may_cancel(action) or action in losers:
            after = renoted(action, seen)
        why = overdue(after, seen, rules)
        if why is not None:
            after = replace(after, closed_at=now)
            steps = (*steps, (action, why))
        changes.append((action, after))
    looks = [next_look(after, now, rules) for _, after in changes if after.is_open]
    return Verdict(
        settled=tuple(after for old, after in changes if after.state is not old.state),
        noted=tuple(after for old, after in changes if after.state is old.state and after != old),
        steps=steps,
        look_again_at=min((at for at in looks if at is not None), default=None),
    )


Claim = tuple[Action | None, tuple[tuple[Action, Step], ...]]


def claim(rivals: Sequence[Action], seen: Seen, rules: Rules) -> Claim:
    """Return whose work the change is, if it can only be one's, and what is to be said."""
    pool = [each for each in rivals if each.closed_at is None] or list(rivals)
    if len({each.kind for each in pool}) > 1:
        words = "the case changed, and more than one request may have done it"
        return None, tuple((each, step("ambiguous", each, words)) for each in pool)
    sure = [each for each in pool if is_proof(each, seen) and is_believed(each, seen, rules)]
    if not sure:
        return None, ()
    words = "a read shows its effect"
    return sure[-1], ((sure[-1], step("confirmed", sure[-1], words)),)


def may_have_done(action: Action, asked: Sequence[Action], seen: Seen) -> bool:
    """The read shows what this action, which may have arrived, would bring about."""
    called = action.state in OPEN_ENDED or (action.state is ActionState.PLANNED and action.attempts)
    was = before(action.detail)
    if not called or was is None:
        return False
    if action.kind is ActionKind.WITHDRAW_CASE:
        return seen.is_closed or has_moved(was, seen)
    if seen.is_closed and any(is_withdrawal(each) for each in asked):
        return False
    if action.kind in LISTS:
        return has_other_sub_status(was, seen)
    is_other_type = seen.type not in (None, was.type)
    return has_other_sub_status(was, seen) or is_other_type or has_moved(was, seen)


def has_other_sub_status(was: Seen, seen: Seen) -> bool:
    """The subStatus is told, and is another one."""
    return seen.tells_sub_status and seen.sub_status != was.sub_status


def has_moved(was: Seen, seen: Seen) -> bool:
    """The status is another one, and not for a pause or a resume."""
    plain = RUNNING if was.status == PAUSED else was.status
    return seen.status not in (None, plain, PAUSED)


def is_withdrawal(action: Action) -> bool:
    """It withdrew the case, or may have done so."""
    done = OPEN_ENDED | {ActionState.CONFIRMED}
    return action.kind is ActionKind.WITHDRAW_CASE and action.state in done


def is_proof(action: Action, seen: Seen) -> bool:
    """What the read shows is surely the work of an action of which this is one of the effects."""
    if action.state is ActionState.ANSWERED:
        return True
    return action.kind is ActionKind.WITHDRAW_CASE and seen.is_closed and not_held(action)


def is_believed(action: Action, seen: Seen, rules: Rules) -> bool:
    """The read began late enough to show no state that is older than what was noted."""
    was = before(action.detail)
    if was is None or action.sent_at is None or seen.began_at <= action.sent_at:
        return False
    return seen.began_at >= was.began_at + rules.read_lag


def not_held(action: Action) -> bool:
    """Nobody makes its call at this moment: whoever does will write the row."""
    return action.state is not ActionState.SENT


def overdue(action: Action, seen: Seen, rules: Rules) -> Step | None:
    """Say why an action is looked at no longer; None: it still is, or was never."""
    if action.closed_at is not None or action.ended_at is None:
        return None
    since = seen.began_at - action.ended_at
    if action.state is ActionState.ANSWERED and since >= PATIENCE * rules.read_lag:
        return step("taken", action, "Amili accepted it, and no read shows what it changed")
    longest = max(timedelta(seconds=max(UNCERTAIN_READS)), rules.read_lag)
    if action.state is ActionState.UNCERTAIN and since >= longest:
        return step("waits", action, words_of_waiting(action, seen))
    return None


def words_of_waiting(action: Action, seen: Seen) -> str:
    """Say what a person has to judge."""
    if may_have_done(action, (), seen):
        return "nobody knows whether it arrived; the case changed meanwhile: ask Amili"
    return "nobody knows whether it arrived, and no read tells: it waits for a person"


def step(outcome: str, action: Action, words: str) -> Step:
    """Conclude one thing about an action."""
    return Step(outcome, f"{action.kind}: {words}.")
