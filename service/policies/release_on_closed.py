"""A case that is closed or settled in full needs no hold: they end, and nothing else follows."""

from __future__ import annotations

from service.domain.decisions import Decision
from service.policies.situations import CaseSituation, Policy, Release, Wishes

NAME = "release_on_closed"


def on_case(situation: CaseSituation) -> Wishes:
    """Release every hold in force once the case is over."""
    holds = situation.active_holds
    if not holds or not situation.is_over:
        return Wishes()
    why = "closed" if situation.case.is_closed else "settled in full"
    ids = [hold.hold_id for hold in holds]
    decision = Decision(
        situation.key,
        NAME,
        "release",
        f"The case is {why}: its holds end, and nothing is asked of Amili.",
        {"hold_ids": ids},
    )
    return Wishes(
        release=tuple(Release(hold_id, "case_closed") for hold_id in ids),
        decisions=(decision,),
    )


RELEASE_ON_CLOSED = Policy(NAME, on_case=on_case)
