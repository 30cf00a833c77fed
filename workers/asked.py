"""Where a read of a case meets what people asked of it: saved, counted, and told why."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from service.domain import asking
from service.domain.decisions import Decision
from service.domain.entities import EntityKey, Kind, Read
from service.domain.records import Case
from service.store import ledger
from workers.work import Work


@dataclass(frozen=True, slots=True)
class Concluded:
    """What a read said about requests, and when to read again."""

    decisions: tuple[Decision, ...] = ()
    look_again_at: datetime | None = None


def judge_asked(work: Work, case: Case, read: Read) -> Concluded:
    """Let a read settle what was asked of a case; its row is locked by the caller."""
    tx, outcome = work.tx, work.outcome
    actions = ledger.of_cases(tx, [case.case_id])[case.case_id]
    seen = asking.Seen(case.status, case.sub_status, case.type, case.closed_at, read.began_at)
    verdict = asking.judge(actions, seen, tx.now, work.parts.rules)
    ledger.save(tx, (*verdict.settled, *verdict.noted))
    outcome.actions += [(str(each.kind), str(each.state)) for each in verdict.settled]
    key = EntityKey(Kind.CASE, case.case_id)
    decisions = tuple(
        Decision(key, "asked", step.outcome, step.words, {"action_id": action.action_id})
        for action, step in verdict.steps
    )
    return Concluded(decisions, verdict.look_again_at)
