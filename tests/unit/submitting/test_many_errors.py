"""What has more errors than anybody reads is not looked at to its end: work stays bounded."""

from __future__ import annotations

from service.domain.submissions import SubmissionKind
from service.settings import CHECKS
from service.submitting.examining import MOST_ERRORS, examine_body
from service.submitting.problems import MOST_TOLD
from service.submitting.rules import rules_of

EMPTY = b"{},"


def test_the_rest_is_not_looked_at() -> None:
    """Past so many errors the examination ends with one that says so, and nothing is fit."""
    body = b'{"invoices":[' + EMPTY * (MOST_ERRORS + 1) + b"{}]}"
    report = examine_body(body, SubmissionKind.INVOICES, rules_of(CHECKS))
    assert not report.fit
    assert report.count < MOST_ERRORS
    assert len(report.problems) == MOST_TOLD + 1
    assert [each.message for each in report.problems if "see to these first" in each.message] == [
        f"more than {MOST_ERRORS} errors: see to these first"
    ]


def test_fewer_are_all_counted() -> None:
    """Up to there every error is counted, though not every one is told."""
    body = b"[" + EMPTY * 200 + b"{}]"
    report = examine_body(body, SubmissionKind.PAYMENTS, rules_of(CHECKS))
    assert report.count == 201
    assert report.errors % 201 == 0
    assert len(report.problems) == MOST_TOLD
