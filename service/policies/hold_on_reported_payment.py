"""A payment or credit note that the creditor reported holds its case until Amili shows it.

Whoever has paid must not be chased for it while the report is still on its way. Each report
holds its case once, for ever: where a person released the hold, it is not placed again. A report
that Amili did not take keeps its hold, for the debtor may well have paid and a person must look;
but where its failed batch holds the same case for the same invoice, that hold is enough.

A credit note with a negative amount makes the claim larger [assumed]: it holds nothing. One
that is booked between others lowers the amount that they wait for, and so keeps them waiting.
"""

from __future__ import annotations

from datetime import datetime

from service.domain.decisions import Decision
from service.domain.holds import Hold
from service.domain.reports import Report, next_look, reflected
from service.domain.submissions import ItemState, SubmissionKind
from service.policies.situations import CaseSituation, Place, Policy, Release, Wishes

NAME = "hold_on_reported_payment"
REASON = "payment_reported"
#: Why a hold ended: the amounts contain the report; its failed batch holds the case instead.
REFLECTED, BATCH_FAILED = "reflected", "batch_failed"
WORDS = {SubmissionKind.PAYMENTS: "payment", SubmissionKind.CORRECTIONS: "credit note"}


def on_case(situation: CaseSituation) -> Wishes:
    """Hold the case for each report that its amounts do not contain; release what they do."""
    if situation.is_over or not situation.reported:
        return Wishes()
    holds = {hold.key: hold for hold in situation.holds if hold.key is not None}
    contained = set(reflected(situation.reported, noted(holds), situation.seen_until))
    place, release, decisions, waiting = [], [], [], []
    for report in situation.reported:
        hold = holds.get(report.key)
        is_held = hold is not None and hold.is_active(situation.now)
        by = answer(situation, report, holds, is_contained=report in contained)
        if hold is not None and is_held and by is not None:
            release.append(Release(hold.hold_id, by))
            decisions.append(released(situation, report, by))
        elif hold is None and by is None:
            place.append(Place(REASON, report.key))
            decisions.append(placed(situation, report))
        if by is None and (is_held or hold is None):
            waiting.append(report)
    again = look_again_at(situation, waiting)
    return Wishes(tuple(place), tuple(release), (), tuple(decisions), again)


def noted(holds: dict[str, Hold]) -> dict[str, datetime]:
    """Say which reports were seen reflected before, and when."""
    return {
        key: hold.released_at
        for key, hold in holds.items()
        if hold.released_by == REFLECTED and hold.released_at is not None
    }


def answer(
    situation: CaseSituation, report: Report, holds: dict[str, Hold], *, is_contained: bool
) -> str | None:
    """Say why a report needs no hold of its own; None: it does.

    A failed batch that was looked into before this report ever held the case is an answer, too.
    """
    if is_contained:
        return REFLECTED
    failure = holds.get(f"batch:{report.batch_id}:{report.invoice_id}")
    if report.state is not ItemState.FAILED or failure is None:
        return None
    is_new = report.key not in holds
    return BATCH_FAILED if is_new or failure.is_active(situation.now) else None


def look_again_at(situation: CaseSituation, waiting: list[Report]) -> datetime | None:
    """Say when to read again, for amounts may move late and untold.

    What its failed batch told just now becomes a hold after this look: the next one sees it.
    """
    told = {
        (cause.detail["batch_id"], cause.detail["invoice_id"])
        for cause in situation.causes
        if cause.name == "batch_failed"
    }
    if any((report.batch_id, report.invoice_id) in told for report in waiting):
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
