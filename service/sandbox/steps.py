"""What a creditor may ask of a case: pause, resume, withdraw, accept, reject.

Whether a step fits is judged on the real present state with all promised changes applied in
order, never on the lagged one. [assumed]: that a second pause, or a resume of a running case,
is a 409 (a knob makes it a 202 without effect); that a closed case answers 422; every value that
is not OPEN, PAUSED or DEBT_COLLECTION_LIST_MANUAL; what accepting or rejecting a list or an
eviction changes in the case.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from service.sandbox import cases
from service.sandbox.errors import Refused
from service.sandbox.wire import Record, moment
from service.sandbox.world import World

MANUAL_LIST = "DEBT_COLLECTION_LIST_MANUAL"


@dataclass(frozen=True)
class Step:
    """One case operation: its path's end, its word in the record, what it changes and needs."""

    path: str
    effect: str
    changes: Record = field(default_factory=dict)
    needs: tuple[str, str] | None = None
    refuses: tuple[str, str] | None = None
    #: The subStatus that it ends, where the case has it; it fits without, too.
    ends: str | None = None


STEPS = {
    "PauseCase": Step(
        "pause", "paused", {"status": cases.PAUSED}, refuses=("status", cases.PAUSED)
    ),
    "ResumeCase": Step("resume", "resumed", {"status": cases.OPEN}, needs=("status", cases.PAUSED)),
    "WithdrawCase": Step(
        "withdraw", "withdrawn", {"status": cases.CLOSED, "subStatus": "WITHDRAWN"}
    ),
    "AcceptDebtCollectionList": Step(
        "debt-collection-list/accept",
        "accepted",
        {"subStatus": None, "type": "DEBT_COLLECTION"},
        needs=("subStatus", MANUAL_LIST),
    ),
    "RejectDebtCollectionList": Step(
        "debt-collection-list/reject",
        "rejected",
        {"subStatus": "DEBT_COLLECTION_LIST_REJECTED"},
        needs=("subStatus", MANUAL_LIST),
    ),
    "AcceptEvictionRequest": Step("eviction-request/accept", "accepted", ends="EVICTION_REQUEST"),
    "RejectEvictionRequest": Step("eviction-request/reject", "rejected", ends="EVICTION_REQUEST"),
    "AcceptEvictionConfirmation": Step(
        "eviction-confirmation/accept", "accepted", ends="EVICTION_CONFIRMATION"
    ),
    "RejectEvictionConfirmation": Step(
        "eviction-confirmation/reject", "rejected", ends="EVICTION_CONFIRMATION"
    ),
}
#: Of these a repetition changes nothing, so that Amili may as well answer 202.
LEVELS = (STEPS["PauseCase"], STEPS["ResumeCase"])


def take(world: World, case_id: str, step: Step, at: float) -> float | None:
    """Promise a step, or refuse it; return the time of its effect, None when it has none."""
    case = expected(world, case_id)
    is_so_already = step in LEVELS and _misfit(case, step) is not None
    if is_so_already and case["status"] != cases.CLOSED and not world.behaviour.repeats_conflict:
        return None
    refuse_unfit(case, step)
    changes = step.changes
    if step.ends and case["subStatus"] == step.ends:
        changes = {"subStatus": None}
    promised = world.promised[case_id]
    # A promise never overtakes an earlier one, even when the delay was shortened meanwhile.
    due = max([at + world.behaviour.effect_delay_seconds, *(when for when, _ in promised)])
    promised.append((due, changes))
    world.agenda.add(due, lambda when: _keep_promise(world, case_id, when))
    world.agenda.advance(at)
    return due


def expected(world: World, case_id: str) -> Record:
    """Return the case as it will be when all promises are kept."""
    case = dict(cases.must(world, case_id))
    for _, changes in world.promised.get(case_id, []):
        case.update(changes)
    return case


def refuse_unfit(case: Record, step: Step) -> None:
    """Raise Refused when the step does not fit the case."""
    if case["status"] == cases.CLOSED:
        raise Refused(422, "the case is closed")
    misfit = _misfit(case, step)
    if misfit:
        raise Refused(409, misfit)


def _misfit(case: Record, step: Step) -> str | None:
    if step.refuses and case[step.refuses[0]] == step.refuses[1]:
        return f"the case is {step.effect} already"
    if step.needs and case[step.needs[0]] != step.needs[1]:
        return f"{step.needs[0]} is not {step.needs[1]}"
    return None


def _keep_promise(world: World, case_id: str, at: float) -> None:
    _, changes = world.promised[case_id].pop(0)
    case = cases.must(world, case_id)
    if case["status"] == cases.CLOSED or not changes:
        return
    closing = {"closedAt": moment(at)} if changes.get("status") == cases.CLOSED else {}
    cases.change(world, case_id, {**changes, **closing}, at)
