"""Where the pure rooms meet the rows: policies and the level of a case, and what they wish."""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime

from service.domain import pausing
from service.domain.actions import LEVEL, Action, ActionState
from service.domain.decisions import Decision
from service.domain.entities import EntityKey, Read
from service.domain.holds import Hold
from service.domain.records import Batch, BatchItem, Case, Invoice
from service.policies.situations import BatchSituation, CaseSituation, Place, Wishes
from service.store.cases import Saved, Standing
from workers.asked import judge_asked
from workers.handlers.looks import After, Look
from workers.kept import Kept
from workers.parts import Parts
from workers.work import Work


@dataclass(frozen=True, slots=True)
class Judged:
    """What a look at a case concluded."""

    decisions: tuple[Decision, ...] = ()
    look_again_at: datetime | None = None


def judge_batch(parts: Parts, batch: Batch, known: Mapping[BatchItem, Invoice]) -> Wishes:
    """Ask every policy about a batch."""
    situation = BatchSituation(batch, known)
    said = [policy.on_batch(situation) for policy in parts.policies if policy.on_batch]
    return Wishes(
        nudges=tuple(nudge for wishes in said for nudge in wishes.nudges),
        decisions=tuple(decision for wishes in said for decision in wishes.decisions),
    )


def judge_case(work: Work, kept: Kept, look: Look, after: After, read: Read) -> Judged:
    """Let the policies place and release holds on a case that was read, and compare its level."""
    case, now, policies = shown(after), work.tx.now, work.parts.policies
    standing = kept.standings.get(case.case_id)
    if standing is not None and standing.fetch_number >= read.number:
        # A later reading stands there already; ours says nothing about now.
        return Judged(look_again_at=now)
    actions = kept.actions[case.case_id]
    situation = CaseSituation(
        case,
        after.invoices,
        kept.holds[case.case_id],
        look.claim.causes,
        now,
        kept.reports.get(case.case_id, ()),
        read.began_at - work.parts.rules.read_lag,
    )
    wishes = [policy.on_case(situation) for policy in policies if policy.on_case]
    held = carry_out(work, situation, wishes)
    standing = standing_of(standing, case, read, is_over=situation.is_over)
    verdict = pausing.compare(situation_of(standing, held, actions, now), work.parts.rules)
    save_verdict(work, verdict, case, read)
    steps = (level_decision(situation.key, verdict.situation, step) for step in verdict.steps)
    said = (decision for wish in wishes for decision in wish.decisions)
    asked = judge_asked(work, actions, case, read)
    wished = (wish.look_again_at for wish in wishes)
    looks = [at for at in (verdict.look_again_at, asked.look_again_at, *wished) if at is not None]
    return Judged((*said, *steps, *asked.decisions), min(looks, default=None))


def shown(after: After) -> Case:
    """Return the case that a look has shown."""
    if after.case is None:
        raise ValueError("this look has shown no case")
    return after.case


def carry_out(work: Work, situation: CaseSituation, wishes: list[Wishes]) -> tuple[Hold, ...]:
    """Place and release what the policies wish; return every hold of the case as it is then."""
    held = {hold.hold_id: hold for hold in situation.holds}
    keys = {hold.key for hold in situation.holds}
    for wish in wishes:
        for place in wish.place:
            if place.key not in keys:  # the same key places it once, for ever
                hold = new_hold(situation, place)
                held[hold.hold_id] = hold
                keys.add(hold.key)
                work.writes.placed.append(hold)
        for release in wish.release:
            hold = held[release.hold_id]
            if hold.released_at is None:
                ended = replace(hold, released_at=situation.now, released_by=release.by)
                held[hold.hold_id] = ended
                work.writes.released.append((release.by, hold.hold_id))
    return tuple(held.values())


def new_hold(situation: CaseSituation, place: Place) -> Hold:
    """Make a policy's hold."""
    return Hold(
        hold_id=str(uuid.uuid4()),
        case_id=situation.case.case_id,
        reason=place.reason,
        owner="policy",
        placed_at=situation.now,
        key=place.key,
    )


def standing_of(before: Standing | None, case: Case, read: Read, *, is_over: bool) -> Standing:
    """Say how a case stands once this read is written; a new one begins at level 0, running."""
    return Standing(
        case_id=case.case_id,
        organization_id=case.organization_id or (before.organization_id if before else None),
        level=before.level if before else 0,
        desired=before.desired if before else "running",
        status=case.status,
        is_over=is_over,
        read_began_at=read.began_at,
        fetch_number=read.number,
    )


def situation_of(
    standing: Standing, held: tuple[Hold, ...], actions: Iterable[Action], now: datetime
) -> pausing.Situation:
    """Gather what the level of a case depends on; its row is locked by the caller."""
    return pausing.Situation(
        level=standing.level,
        desired=standing.desired,
        holds=held,
        actions=tuple(action for action in actions if action.kind in LEVEL),
        is_paused=standing.is_paused,
        is_closed=standing.is_over,
        read_began_at=standing.read_began_at,
        now=now,
    )


def save_verdict(work: Work, verdict: pausing.Verdict, case: Case, read: Read) -> None:
    """Have the case written with its level, changed actions and the plan."""
    outcome, writes, situation = work.outcome, work.writes, verdict.situation
    writes.cases.append(Saved(case, read, situation.is_closed, situation.level, situation.desired))
    writes.changed += verdict.changed
    outcome.actions += [(str(each.kind), str(each.state)) for each in verdict.changed]
    outcome.planned += sum(each.state is ActionState.PLANNED for each in verdict.changed)
    if verdict.plan is None:
        return
    action = Action(
        action_id=str(uuid.uuid4()),
        kind=verdict.plan,
        target=case.case_id,
        organization_id=case.organization_id,
        cause=situation.cause,
        state=ActionState.PLANNED,
        planned_at=situation.now,
        not_before=verdict.not_before,
    )
    writes.planned.append(action)
    outcome.planned += 1
    outcome.actions.append((str(action.kind), str(action.state)))


def level_decision(key: EntityKey, situation: pausing.Situation, step: pausing.Step) -> Decision:
    """Write a step down with what it was concluded from: the level, and the holds in force."""
    held = sorted(h.hold_id for h in situation.holds if h.is_active(situation.now))
    facts = {"level": situation.level, "hold_ids": held}
    return Decision(key, "level", step.outcome, step.words, facts)
