"""A payment or credit note that the creditor reported holds its case until Amili shows it.

Whoever has paid must not be chased for it while the report is still on its way. Each report
holds its case once, for ever: where a person released the hold, it is not placed again. A report
that Amili did not take keeps its hold, for the debtor may well have paid and a person must look;
but where its failed batch holds the same case for the same invoice, that hold is enough. Both end
once the report was made again, of as much or more, and Amili shows that one.

A credit note with a negative amount makes the claim larger [assumed]: it holds nothing. One
that is booked between others lowers the amount that they wait for, and so keeps them waiting.
"""

from __future__ import annotations

from datetime import datetime

from service.domain.decisions import Decision
from service.domain.holds import Hold
from service.domain.reports import Report, corrected, next_look, reflected
from service.domain.submissions import ItemState, SubmissionKind
from service.policies.situations import CaseSituation, Place, Policy, Release, Wishes

NAME = "hold_on_reported_payment"
REASON = "payment_reported"
#: Why a hold ended: the amounts contain the report; its failed batch holds the case instead; it
#: was not taken, and the amounts contain one that was made for it.
REFLECTED, BATCH_FAILED, CORRECTED = "reflected", "batch_failed", "corrected"
WORDS = {SubmissionKind.PAYMENTS: "payment", SubmissionKind.CORRECTIONS: "credit note"}


def on_case(situation: CaseSituation) -> Wishes:
    """Hold the case for each report that its amounts do not contain; release what they do."""
    if situation.is_over or not situation.reported:
        return Wishes()
    holds = {hold.key: hold for hold in situation.holds if hold.key is not None}
    answers = answered(situation, holds)
    place, release, decisions, waiting = [], [], [], []
    for report in situation.reported:
        hold = holds.get(report.key)
        is_held = hold is not None and hold.is_active(situation.now)
        by = answers.get(report.key)
        if hold is not None and is_held and by is not None:
            release.append(Release(hold.hold_id, by))
            decisions.append(released(situation, report, by))
        elif hold is None and by is None:
            place.append(Place(REASON, report.key))
            decisions.append(placed(situation, report))
        if by is None and (is_held or hold is None):
            waiting.append(report)
    release += mended(situation, holds, answers)
    again = look_again_at(situation, waiting)
    return Wishes(tuple(place), tuple(release), (), tuple(decisions), again)


def noted(holds: dict[str, Hold]) -> dict[str, datetime]:
    """Say which reports were seen reflected before, and when."""
    return {
        key: hold.released_at
        for key, hold in holds.items()
        if hold.released_by == REFLECTED and hold.released_at is not None
    }


def answered(situation: CaseSituation, holds: dict[str, Hold]) -> dict[str, str]:
    """Say which reports need no hold of their own, by key, and why.

    A failed batch that was looked into before this report ever held the case is an answer, too.
    """
    before = noted(holds)
    contained = {each.key for each in reflected(situation.reported, before, situation.seen_until)}
    known = {
        each.key
        for each in situation.reported
        if any(is_corrected(holds.get(key)) for key in (each.key, batch_key(each)))
    }
    again = corrected(situation.reported, contained | before.keys(), known)
    found = dict.fromkeys(contained, REFLECTED) | dict.fromkeys(again, CORRECTED)
    for report in situation.reported:
        failure = holds.get(batch_key(report))
        if report.key in found or report.state is not ItemState.FAILED or failure is None:
            continue
        if report.key not in holds or failure.is_active(situation.now):
            found[report.key] = BATCH_FAILED
    return found


def is_corrected(hold: Hold | None) -> bool:
    """Say whether a hold ended since the report was made again."""
    return hold is not None and hold.released_by == CORRECTED


def batch_key(report: Report) -> str:
    """Name the hold of a report's failed batch."""
    return f"batch:{report.batch_id}:{report.invoice_id}"


def mended(
    situation: CaseSituation, holds: dict[str, Hold], answers: dict[str, str]
) -> list[Release]:
    """Release the holds of failed batches of which every failed report was made again."""
    failed: dict[str, list[Report]] = {}
    for report in situation.reported:
        if report.state is ItemState.FAILED:
            failed.setdefault(batch_key(report), []).append(report)
    return [
        Release(holds[key].hold_id, CORRECTED)
        for key, reports in failed.items()
        if key in holds
        and holds[key].is_active(situation.now)
        and all(answers.get(report.key) == CORRECTED for report in reports)
    ]


def look_again_at(situation: CaseSituation, waiting: list[Report]) -> datetime | None:
    """Say when to read again, for amounts may move late and untold.

    What its failed batch told just now becomes a hold after this look: the next one sees it.
    """
    told = {
        (cause.detail["batch_id"], cause.detail["invoice_id"])
        for cause in situation.causes
        if cause.name == "batch_failed"
    }
    if any((report.batch_id, report.invoice_id) in told for report in situation.reported):
        return situation.now
    return next_look(waiting, situation.now)


def placed(situation: CaseSituation, report: Report) -> Decision:
    """Write down why the case is held."""
    words = (
        f"The creditor reported a {WORDS[report.kind]} on invoice {report.invoice_id}, and the "
        "invoice does not contain it yet."
    )
    return Decision(situation.key, NAME, "hold", words, facts(report))


def released(situation: CaseSituation, report: Report, by: str) -> Decision:
    """Write down why a hold ends."""
    why = {
        REFLECTED: "is contained in it: its hold ends.",
        CORRECTED: "was not taken; it was made again, and that is contained: its hold ends.",
        BATCH_FAILED: "was not taken, and its failed batch holds this case: one hold is enough.",
    }
    words = f"The {WORDS[report.kind]} reported on invoice {report.invoice_id} {why[by]}"
    return Decision(situation.key, NAME, "release", words, facts(report))


def facts(report: Report) -> dict[str, object]:
    """Name a report by ids only."""
    return {
        "submission_id": report.submission_id,
        "position": report.position,
        "invoice_id": report.invoice_id,
    }


HOLD_ON_REPORTED_PAYMENT = Policy(NAME, on_case=on_case)
