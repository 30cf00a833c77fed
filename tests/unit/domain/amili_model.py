"""A small world with a virtual clock: a model of Amili, and the workers' steps around `pausing`.

The steps are those of `workers.judging`, `workers.acting`, `workers.sweeping` and
`service.store.entities`, without their rows: what they ask of the pure rooms is asked here
in the same order. Every law that must hold at each moment is asserted where it could break.
"""

from __future__ import annotations

import heapq
import math
import random
from bisect import bisect_right
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

from service.domain import pausing
from service.domain.actions import OPEN, Action, ActionKind, ActionState
from service.domain.holds import Hold, active

START = datetime(2026, 1, 1, tzinfo=UTC)
#: Greatest lag of a read, and of a read and an effect together.
LAG = 8.0
LAG_AND_EFFECT = 30.0
DOUBT_SECONDS = (2, 10, 60)
LEASE_SECONDS = 10.0
#: More looks than any sane course of events needs: an endless loop.
TOO_MANY_LOOKS = 3_000


@dataclass(frozen=True)
class Terms:
    """What may happen in one world."""

    seed: int
    #: Chances of each fate of a call; the rest arrives and is answered.
    lost: float = 0.0
    answer_lost: float = 0.0
    busy: float = 0.0
    #: Amili answers 409 where a case is so already; else it says yes and does nothing.
    conflicts: bool = False
    #: The same idempotency key has its effect once.
    honours_keys: bool = True
    #: Each read has a lag of its own; else all have the same.
    jumpy: bool = True
    #: Amili tells of our own changes too.
    webhooks: bool = True
    failing_reads: float = 0.0
    enforce: bool = True


@dataclass(frozen=True)
class Change:
    """One effective change of the case at Amili."""

    at: float
    is_paused: bool
    by_us: bool


class World:
    """One case, here and at Amili."""

    def __init__(self, terms: Terms) -> None:
        self.terms = terms
        self.rules = pausing.Rules(timedelta(seconds=10), enforce=terms.enforce)
        self.chance = random.Random(terms.seed)
        self.now = 0.0
        self.stopped = False
        self._queue: list[tuple[float, int, Callable[[], None]]] = []
        self._count = 0
        # Amili
        self.history: list[Change] = []
        self._steady_lag = self.chance.uniform(0, LAG)
        self._last_effect = self._last_told = 0.0
        self._keys: set[str] = set()
        self.interfered: list[tuple[float, bool]] = []
        # our rows
        self.holds: dict[str, Hold] = {}
        self.actions: list[Action] = []
        self.level = 0
        self.desired: pausing.Desired = "running"
        self.stored_paused = False
        self.stored_began = self.at(-60)
        # the entity
        self.wanted = self.done = self.doubt = 0
        self.due_at = self.not_before = 0.0
        self.is_claimed = False
        self.claim: bool | None = None
        # what was seen
        self.calls: list[tuple[float, ActionKind, str]] = []
        self.uncertainties = 0
        self.conflicts = 0
        self.looks = 0
        self.reads: list[tuple[float, float]] = []
        self.trace: list[str] = []

    # --- the clock --------------------------------------------------------------

    def at(self, seconds: float) -> datetime:
        """Turn virtual seconds into a moment."""
        return START + timedelta(seconds=seconds)

    def later(self, seconds: float, what: Callable[[], None]) -> None:
        """Do something after so many seconds."""
        self._count += 1
        heapq.heappush(self._queue, (self.now + max(0.0, seconds), self._count, what))

    def run(self, until: float) -> None:
        """Let time pass."""
        while self._queue and self._queue[0][0] <= until:
            self.now, _, what = heapq.heappop(self._queue)
            what()
        self.now = until

    @property
    def is_quiet(self) -> bool:
        """Nothing will ever happen again by itself."""
        return not self._queue

    def note(self, words: str) -> None:
        """Tell what happened, for whoever reads a failure."""
        self.trace.append(f"{self.now:8.2f}  {words}")

    # --- Amili --------------------------------------------------------------------

    @property
    def is_paused(self) -> bool:
        """How the case truly stands."""
        return self.was_paused(self.now)

    def was_paused(self, at: float) -> bool:
        """How the case truly stood."""
        index = bisect_right(self.history, at, key=lambda change: change.at)
        return index > 0 and self.history[index - 1].is_paused

    def change(self, is_paused: bool, *, by_us: bool) -> None:
        """Bring a change about, and tell of it."""
        if self.is_paused == is_paused:
            return
        self.history.append(Change(self.now, is_paused, by_us))
        self.note(f"AMILI {'paused' if is_paused else 'running'} by {'us' if by_us else 'them'}")
        if self.terms.webhooks or not by_us:
            # In order: else the newest payload would be no hint at what is newest.
            self._last_told = max(self._last_told, self.now + self.chance.uniform(0, 3))
            self.later(self._last_told - self.now, lambda: self.webhook(is_paused))

    def webhook(self, is_paused: bool) -> None:
        """Deliver an event whose payload claims a status."""
        self.claim = is_paused
        self.want(0.0)

    def interfere(self, is_paused: bool) -> None:
        """Somebody else pauses or resumes the case by hand."""
        self.interfered.append((self.now, is_paused))
        self.change(is_paused, by_us=False)

    def arrive(self, action: Action) -> bool:
        """Take a call; False for a conflict. Effects come in the order of the calls."""
        if self.terms.honours_keys and action.action_id in self._keys:
            return True
        if self.terms.conflicts and self.is_paused == action.wants_paused:
            return False
        self._keys.add(action.action_id)
        delay = self.chance.uniform(0, LAG_AND_EFFECT - LAG) if self.chance.random() < 0.5 else 0.2
        self._last_effect = max(self._last_effect, self.now + delay)
        self.later(
            self._last_effect - self.now,
            lambda: self.change(action.wants_paused, by_us=True),
        )
        return True

    # --- holds ----------------------------------------------------------------------

    def place(self, until: float | None) -> None:
        """Place a hold: a row, a nudge."""
        name = f"hold-{len(self.holds)}"
        end = None if until is None else self.at(self.now + until)
        self.holds[name] = Hold(name, "case", "dispute", "api", self.at(self.now), until=end)
        self.note(f"{name} placed until {until}")
        self.want(0.0)
        if until is not None:
            self.later(until + self.chance.uniform(0, 2), self.sweep)

    def release(self) -> None:
        """Release every hold in force."""
        for hold in active(self.holds.values(), self.at(self.now)):
            self.end(hold, "released")
        self.want(0.0)

    def sweep(self) -> None:
        """Release what has expired, a moment after it did."""
        over = [
            hold
            for hold in self.holds.values()
            if hold.released_at is None and hold.until and hold.until <= self.at(self.now)
        ]
        for hold in over:
            self.end(hold, "expired")
        if over:
            self.want(0.0)

    def end(self, hold: Hold, by: str) -> None:
        """Write a hold's end."""
        self.note(f"{hold.hold_id} {by}")
        self.holds[hold.hold_id] = replace(hold, released_at=self.at(self.now), released_by=by)

    @property
    def is_held(self) -> bool:
        """A hold is in force."""
        return bool(active(self.holds.values(), self.at(self.now)))

    # --- the entity ---------------------------------------------------------------

    def want(self, after: float) -> None:
        """Raise `wanted`, as `entities.want` does."""
        due = self.now + after
        self.due_at = due if self.wanted == self.done else min(due, self.due_at)
        self.wanted += 1
        self.doubt = 0
        self.consider()

    def consider(self) -> None:
        """Look when the entity is due, or come back when it is."""
        if self.is_claimed or self.wanted == self.done:
            return
        wait = max(self.due_at, self.not_before) - self.now
        if wait > 0:
            self.later(wait, self.consider)
            return
        self.is_claimed = True
        noted, doubt, began = self.wanted, self.doubt, self.now
        takes = self.chance.choice((0.0, 0.05, 0.3, 2.0))
        lag = self.chance.uniform(0, LAG) if self.terms.jumpy else self._steady_lag
        self.later(takes, lambda: self.apply(noted, doubt, began, lag))

    def apply(self, noted: int, doubt: int, began: float, lag: float) -> None:
        """Apply one read, as `judge_case` and `applying.settle` do."""
        self.looks += 1
        assert self.looks < TOO_MANY_LOOKS, "it never comes to rest"
        self.is_claimed = False
        if not self.stopped and self.chance.random() < self.terms.failing_reads:
            self.not_before = self.now + self.chance.uniform(0.2, 30)
            self.consider()
            return
        self.reads.append((began, self.now))
        shown = self.was_paused(began - lag)
        self.stored_paused, self.stored_began = shown, self.at(began)
        verdict = pausing.compare(self.situation(), self.rules)
        self.note(
            f"read {'paused' if shown else 'running'} (began {began:.2f}, lag {lag:.1f}): "
            + "; ".join(step.words for step in verdict.steps)
        )
        self.save(verdict)
        again = [] if verdict.look_again_at is None else [seconds(verdict.look_again_at)]
        is_doubted = self.claim is not None and self.claim != shown
        if is_doubted and doubt < len(DOUBT_SECONDS):
            again.append(self.now + DOUBT_SECONDS[doubt])
        self.done = noted
        if self.wanted == noted:
            self.doubt = min(doubt + 1, len(DOUBT_SECONDS)) if is_doubted else 0
            self.wanted += bool(again)
            self.due_at = min(again, default=self.now)
        self.not_before = 0.0
        self.consider()

    def situation(self) -> pausing.Situation:
        """Gather what the level depends on."""
        return pausing.Situation(
            level=self.level,
            desired=self.desired,
            holds=tuple(self.holds.values()),
            actions=tuple(self.actions),
            is_paused=self.stored_paused,
            is_closed=False,
            read_began_at=self.stored_began,
            now=self.at(self.now),
        )

    # --- the ledger -----------------------------------------------------------------

    def save(self, verdict: pausing.Verdict) -> None:
        """Write level, changed actions and the plan."""
        self.level, self.desired = verdict.situation.level, verdict.situation.desired
        for action in verdict.changed:
            self.write(action)
            if action.state is ActionState.PLANNED:
                self.later(self.chance.uniform(0, 1), lambda name=action.action_id: self.act(name))  # type: ignore[misc]
        if verdict.plan is None:
            return
        cause = verdict.situation.cause
        assert not [a for a in self.actions if a.is_open], "two actions are open"
        same = [a for a in self.actions if (a.cause, a.kind) == (cause, verdict.plan)]
        assert not same, "a level asked twice for the same"
        name = f"action-{len(self.actions)}"
        self.actions.append(
            Action(
                name,
                verdict.plan,
                "case",
                "org",
                cause,
                ActionState.PLANNED,
                self.at(self.now),
                not_before=verdict.not_before,
            )
        )
        self.later(self.chance.choice((0.01, 0.5, 2.0)), lambda: self.act(name))

    def write(self, action: Action) -> None:
        """Write one action back."""
        self.actions = [action if a.action_id == action.action_id else a for a in self.actions]
        assert sum(a.is_open for a in self.actions) <= 1, "two actions are open"

    def get(self, name: str) -> Action:
        """Return an action as it stands."""
        return next(action for action in self.actions if action.action_id == name)

    def act(self, name: str) -> None:
        """Compare once more and call, as `acting.begin_in` and `acting.make` do."""
        action = self.get(name)
        if action.state is not ActionState.PLANNED:
            return
        if action.not_before is not None and action.not_before > self.at(self.now):
            self.later(seconds(action.not_before) - self.now, lambda: self.act(name))
            return
        situation, steps = pausing.level(self.situation())
        if not pausing.still_wanted(action, situation):
            if steps:
                self.level, self.desired = situation.level, situation.desired
            state = ActionState.UNCERTAIN if action.attempts else ActionState.CANCELLED
            closed = None if action.attempts else self.at(self.now)
            self.write(replace(action, state=state, closed_at=closed))
            self.note(f"{name} {state} before it was sent")
            self.want(5.0 if action.attempts else 0.0)
            return
        self.judge_call(action)
        sent = replace(
            action,
            state=ActionState.SENT,
            attempts=action.attempts + 1,
            sent_at=self.at(self.now),
            error=None,
        )
        self.write(sent)
        self.make(sent)

    def make(self, sent: Action) -> None:
        """Throw the dice for one call."""
        dice = math.inf if self.stopped else self.chance.random() * 1.25
        terms = self.terms
        takes = self.chance.choice((0.01, 0.2, 3.0))
        for chance, fate in (
            (terms.lost, self.lose),
            (terms.answer_lost, self.lose_answer),
            (terms.busy, self.turn_away),
        ):
            if dice < chance:
                fate(sent)
                return
            dice -= chance
        self.calls.append((self.now, sent.kind, sent.cause))
        self.note(f"{sent.kind} of {sent.cause} called, answered in {takes}")
        self.later(takes, lambda: self.answer(sent))

    def lose(self, sent: Action) -> None:
        """The call never arrives, and nobody knows."""
        self.uncertainties += 1
        self.note(f"{sent.kind} of {sent.cause} called, lost")
        self.calls.append((self.now, sent.kind, sent.cause))
        self.later(self.chance.choice((1.0, LEASE_SECONDS, 12.0)), lambda: self.give_up(sent))

    def lose_answer(self, sent: Action) -> None:
        """The call arrives, its answer does not."""
        self.uncertainties += 1
        self.note(f"{sent.kind} of {sent.cause} called, answer lost")
        self.calls.append((self.now, sent.kind, sent.cause))
        self.later(self.chance.uniform(0, 1), lambda: (self.arrive(sent), None)[1])
        self.later(self.chance.choice((1.0, LEASE_SECONDS, 12.0)), lambda: self.give_up(sent))

    def turn_away(self, sent: Action) -> None:
        """Amili is busy: it surely did not arrive, and counts as no try."""
        self.note(f"{sent.kind} of {sent.cause} turned away")
        wait = self.chance.uniform(0.2, 30)
        back = replace(
            sent,
            state=ActionState.PLANNED,
            attempts=sent.attempts - 1,
            sent_at=sent.sent_at if sent.attempts > 1 else None,
            not_before=self.at(self.now + wait),
        )
        self.write(back)
        self.later(wait, lambda: self.act(sent.action_id))

    def give_up(self, sent: Action) -> None:
        """Nobody answered."""
        self.finish(replace(sent, state=ActionState.UNCERTAIN), 5.0)

    def answer(self, sent: Action) -> None:
        """Amili answers."""
        if self.arrive(sent):
            self.finish(replace(sent, state=ActionState.ANSWERED), 1.0)
            return
        self.conflicts += 1
        self.note("409")
        self.finish(replace(sent, state=ActionState.UNCERTAIN, is_ours=False), 5.0)

    def finish(self, action: Action, look_after: float) -> None:
        """Write down what a call brought, as `acting.finish_in` does."""
        self.note(f"{action.action_id} {action.state}")
        self.write(replace(action, ended_at=self.at(self.now)))
        self.want(look_after)

    # --- the laws of each moment ------------------------------------------------------

    def judge_call(self, action: Action) -> None:
        """Assert what must hold when a call is made."""
        assert sum(a.state in OPEN for a in self.actions) == 1
        if action.kind is ActionKind.PAUSE_CASE:
            undisturbed = not (self.interfered or self.uncertainties or self.conflicts)
            assert not (undisturbed and self.is_paused), "paused what we had paused"
            assert self.is_held, "paused without a hold"
            return
        assert not self.is_held, "resumed what is held"
        pauses = [change for change in self.history if change.is_paused]
        if not (self.is_paused and pauses) or pauses[-1].by_us:
            return
        ours = [
            other.sent_at
            for other in self.actions
            if other.wants_paused and other.state is ActionState.CONFIRMED and other.sent_at
        ]
        assert ours, "resumed without a pause of ours"
        sent, theirs = seconds(max(ours)), pauses[-1].at
        told = any(theirs + LAG <= began and known < sent for began, known in self.reads)
        long_before = sent - theirs >= LAG_AND_EFFECT
        assert not (told and long_before), "resumed what somebody else had paused before we did"


def seconds(at: datetime) -> float:
    """Turn a moment into virtual seconds."""
    return (at - START).total_seconds()
