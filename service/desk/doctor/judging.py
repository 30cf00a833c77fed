"""From the rows of our database to evidence for and against the assumptions. Pure."""

from __future__ import annotations

from datetime import timedelta

from service.amili.contract import Contract
from service.amili.schemes import RECIPES
from service.desk.doctor.assumptions import FIELDS, Evidence
from service.domain.actions import ActionKind
from service.domain.records import CLOSED
from service.store.evidence import Traces

KNOWN_DEBTORS = {"PRIVATE", "COMPANY"}


def judge(traces: Traces, contract: Contract, evidence: Evidence) -> None:
    """Tell all that the rows say."""
    judge_signature(traces, contract, evidence)
    judge_paths(traces, evidence)
    judge_reads(traces, contract, evidence)
    judge_records(traces, evidence)
    judge_cases(traces, evidence)


def judge_signature(traces: Traces, contract: Contract, evidence: Evidence) -> None:
    """Webhooks that were worked on to the end were signed as assumed."""
    if traces.variants:
        said = f"{traces.variants} of the newest webhooks had the id or key of another body."
        evidence.contradict("same_id", said)
    if not traces.applied:
        return
    seen = f"{traces.applied} of the newest webhooks were accepted and led to what Amili has."
    evidence.confirm("signature_scheme", f"{seen} Scheme {contract.signature_scheme}.")
    evidence.confirm("any_2xx", f"{seen} They were answered 202.")
    form = RECIPES[contract.signature_scheme].form
    if form != "plain":
        evidence.confirm("signature_tolerance_seconds", seen)
    if form == "standard":
        for name in ("id", "timestamp", "signature"):
            evidence.confirm(f"standard_{name}_header", seen)


def judge_paths(traces: Traces, evidence: Evidence) -> None:
    """The ledger says which operations Amili took, and which paths it did not know."""
    for kind in ActionKind:
        taken, unknown, wrong, conflicts = (
            traces.actions[(str(kind), fate)]
            for fate in ("taken", "unknown_path", "invalid", "conflict")
        )
        name = f"path_{snake(kind)}"
        if name in FIELDS and taken:
            evidence.confirm(name, f"Amili took {taken} of these calls.")
            evidence.confirm("case_answer", f"{kind}: {taken} were taken.")
        if name in FIELDS and unknown:
            evidence.contradict(name, f"{unknown} were answered 404 or 405.")
        if conflicts:
            evidence.note("already_so", f"{kind}: {conflicts} were answered 409.")
        for member in members_of(kind):
            if taken:
                evidence.note(
                    member, f"{kind}: {taken} were taken; whether it is read is not seen."
                )
            if wrong:
                evidence.note(member, f"{kind}: {wrong} were answered 400 or 422, see `actions`.")


def members_of(kind: ActionKind) -> tuple[str, ...]:
    """Name the assumed members of the body that this action sends."""
    if f"path_{snake(kind)}" in FIELDS:
        return ("case_reason_member", "case_comment_member")
    if kind is ActionKind.CREATE_PAYMENTS:
        return ("payment_date_member", "payment_reference_member")
    return ()


def judge_reads(traces: Traces, contract: Contract, evidence: Evidence) -> None:
    """How soon a read showed what a call had changed."""
    slowest = traces.slowest_effect
    if slowest is None:
        return
    said = (
        f"The slowest of the newest effects showed {slowest.total_seconds():.1f} s after the call."
    )
    if slowest <= timedelta(seconds=contract.read_lag_seconds):
        evidence.confirm("read_lag_seconds", said)
    else:
        evidence.note("read_lag_seconds", f"{said} Nobody knows whether a read lagged so long.")


def judge_records(traces: Traces, evidence: Evidence) -> None:
    """What batches and settlements looked like."""
    if told := traces.failed_items - traces.silent_items:
        evidence.confirm("failed_members", f"{told} failed items named an invoice or an error.")
    elif traces.failed_items:
        said = f"{traces.failed_items} failed items had none of these members."
        evidence.contradict("failed_members", said)
    if traces.with_amounts:
        evidence.confirm("settlement_amounts", f"{traces.with_amounts} settlements had some.")
    elif traces.settlements:
        evidence.contradict("settlement_amounts", f"{traces.settlements} settlements had none.")


def judge_cases(traces: Traces, evidence: Evidence) -> None:
    """What cases looked like: words and forms, nothing of a person."""
    for status in sorted(traces.closed_statuses):
        tell = evidence.confirm if status in CLOSED else evidence.contradict
        tell("closed_status", f"A case that has ended has the status {status[:40]}.")
    strange = traces.debtor_types - KNOWN_DEBTORS
    if strange:
        evidence.contradict("company_debtor", f"{len(strange)} other types were seen.")
    elif "COMPANY" in traces.debtor_types:
        evidence.confirm("company_debtor", "COMPANY was seen.")
    if traces.times_without_offset:
        evidence.note("times", f"{traces.times_without_offset} times had no offset.")
    elif traces.times:
        evidence.confirm("times", f"All {traces.times} times of cases had an offset.")


def snake(name: str) -> str:
    """Write `pauseCase` as `pause_case`."""
    return "".join(f"_{letter.lower()}" if letter.isupper() else letter for letter in name)
