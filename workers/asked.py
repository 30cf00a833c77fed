"""Where a read of a case meets what people asked of it: saved, counted, and told why."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from service.amili.texts import decode
from service.domain import asking
from service.domain.actions import ASKED, Action
from service.domain.decisions import Decision
from service.domain.entities import EntityKey, Kind, Read
from service.domain.records import Case
from workers.work import Work


@dataclass(frozen=True, slots=True)
class Concluded:
    """What a read said about requests, and when to read again."""

    decisions: tuple[Decision, ...] = ()
    look_again_at: datetime | None = None


def judge_asked(work: Work, actions: Sequence[Action], case: Case, read: Read) -> Concluded:
    """Let a read settle what was asked of a case; its row is locked by the caller."""
    if not any(action.kind in ASKED for action in actions):
        return Concluded()
    seen = seen_of(case, read)
    verdict = asking.judge(actions, seen, work.tx.now, work.parts.rules)
    work.writes.changed += (*verdict.settled, *verdict.noted)
    work.outcome.actions += [(str(each.kind), str(each.state)) for each in verdict.settled]
    key = EntityKey(Kind.CASE, case.case_id)
    decisions = tuple(
        Decision(key, "asked", step.outcome, step.words, {"action_id": action.action_id})
        for action, step in verdict.steps
    )
    return Concluded(decisions, verdict.look_again_at)


def seen_of(case: Case, read: Read) -> asking.Seen:
    """Say what a read showed of a case; a subStatus that is left out is not told."""
    told = decode(case.raw.encode())
    return asking.Seen(
        status=case.status,
        sub_status=case.sub_status,
        type=case.type,
        closed_at=case.closed_at,
        began_at=read.began_at,
        tells_sub_status=isinstance(told, dict) and "subStatus" in told,
    )
