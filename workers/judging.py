"""Where the pure rooms meet the rows: policies and the level of a case, and what they wish."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from service.domain import pausing
from service.domain.actions import LEVEL, Action, ActionState
from service.domain.decisions import Decision
from service.domain.entities import EntityKey, Read
from service.domain.holds import Hold
from service.domain.records import Batch, BatchItem, Case, Invoice
from service.policies.situations import BatchSituation, CaseSituation, Wishes
from service.store import cases, holds, ledger, reports
from service.store.database import Tx
from workers.asked import judge_asked
from workers.handlers.looks import After, Look
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


def judge_case(work: Work, look: Look, after: After, case: Case, read: Read) -> Judged:
    """Save a case, let the policies place and release holds, and compare its level."""
    tx, policies = work.tx, work.parts.policies
    situation = CaseSituation(
        case,
        after.invoices,
        holds.of_cases(tx, [case.case_id])[case.case_id],
        look.claim.causes,
        tx.now,
        reports.of_case(tx, case.case_id),
        read.began_at - work.parts.rules.read_lag,
    )
    if not cases.save(tx, case, read, is_over=situation.is_over):
        # A later reading stands there already; ours says nothing about now.
        return Judged(look_again_at=tx.now)
    wishes = [policy.on_case(situation) for policy in policies if policy.on_case]
    kept = carry_out(tx, case, wishes)
    verdict = pausing.compare(
        situation_of(tx, case.case_id, kept, read, is_over=situation.is_over), work.parts.rules
    )
    save_verdict(work, verdict, case)
    steps = (level_decision(situation.key, verdict.situation, step) for step in verdict.steps)
    said = (decision for wish in wishes for decision in wish.decisions)
    asked = judge_asked(work, case, read)
    wished = (wish.look_again_at for wish in wishes)
    looks = [at for at in (verdict.look_again_at, asked.look_again_at, *wished) if at is not None]
    return Judged((*said, *steps, *asked.decisions), min(looks, default=None))


def carry_out(tx: Tx, case: Case, wishes: list[Wishes]) -> tuple[Hold, ...]:
    """Place and release what the policies wish; return every hold of the case."""
    for wish in wishes:
        for place in wish.place:
            holds.place(tx, new_hold(tx, case, place.reason, place.key))
        for release in wish.release:
            holds.release(tx, [release.hold_id], release.by)
    return holds.of_cases(tx, [case.case_id])[case.case_id]


def new_hold(tx: Tx, case: Case, reason: str, key: str) -> Hold:
    """Make a policy's hold."""
    return Hold(
        hold_id=str(uuid.uuid4()),
        case_id=case.case_id,
        reason=reason,
        owner="policy",
        placed_at=tx.now,
        key=key,
    )


def situation_of(
    tx: Tx, case_id: str, kept: tuple[Hold, ...], read: Read | None, *, is_over: bool | None = None
) -> pausing.Situation:
    """Gather what the level of a case depends on; its row is locked by the caller."""
    standing = cases.lock(tx, [case_id])[case_id]
    return pausing.Situation(
        level=standing.level,
        desired=standing.desired,
        holds=kept,
        actions=tuple(a for a in ledger.of_cases(tx, [case_id])[case_id] if a.kind in LEVEL),
        is_paused=standing.is_paused,
        is_closed=standing.is_over if is_over is None else is_over,
        read_began_at=standing.read_began_at if read is None else read.began_at,
        now=tx.now,
    )


def save_verdict(work: Work, verdict: pausing.Verdict, case: Case) -> None:
    """Write level, changed actions and the plan."""
    tx, outcome = work.tx, work.outcome
    situation = verdict.situation
    cases.set_level(tx, case.case_id, situation.level, situation.desired)
    ledger.save(tx, verdict.changed)
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
        planned_at=tx.now,
        not_before=verdict.not_before,
    )
    ledger.plan(tx, action)
    outcome.planned += 1
    outcome.actions.append((str(action.kind), str(action.state)))


def level_decision(key: EntityKey, situation: pausing.Situation, step: pausing.Step) -> Decision:
    """Write a step down with what it was concluded from: the level, and the holds in force."""
    held = sorted(h.hold_id for h in situation.holds if h.is_active(situation.now))
    facts = {"level": situation.level, "hold_ids": held}
    return Decision(key, "level", step.outcome, step.words, facts)
