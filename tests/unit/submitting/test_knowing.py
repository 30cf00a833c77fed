"""Payments on invoices that are not known here: told, each at its place, and sent all the same."""

from __future__ import annotations

import json
from collections.abc import Set
from dataclasses import dataclass, field

import pytest

from service.domain.submissions import SubmissionKind
from service.errors import StoreUnavailable
from service.settings import CHECKS
from service.submitting.examining import Report, examine_body
from service.submitting.knowing import TOGETHER
from service.submitting.rules import rules_of
from tests.unit.submitting.written import INVOICES, PAYMENTS, correction, invoice, payment, words


@dataclass
class Mirror:
    """Which invoices are known, and what was asked."""

    known: Set[str]
    is_away: bool = False
    asked: list[Set[str]] = field(default_factory=list)

    def unknown(self, ids: Set[str]) -> Set[str]:
        """Say which of these are not known."""
        self.asked.append(ids)
        if self.is_away:
            raise StoreUnavailable
        return ids - self.known


def examined(
    mirror: Mirror, items: list[object], kind: SubmissionKind = PAYMENTS, severity: str = "warning"
) -> Report:
    """Examine a body of these items."""
    body = json.dumps({kind: items}).encode()
    rules = rules_of({**CHECKS, "known_invoice": severity, "twice": "off"})
    return examine_body(body, kind, rules, mirror.unknown)


@pytest.mark.parametrize("make", [payment, correction])
def test_it_is_told_at_its_place(make: object) -> None:
    """A warning for each item, at the value; what is known is not told."""
    assert callable(make)
    kind = PAYMENTS if make is payment else SubmissionKind.CORRECTIONS
    mirror = Mirror({"known"})
    report = examined(mirror, [make(invoiceId="known"), make(invoiceId="4711")], kind)
    assert (report.fit, report.count, report.warnings) == (True, 2, 1)
    (problem,) = report.problems
    assert (problem.position, problem.field) == (1, "invoiceId")
    assert "4711" not in words(report)
    assert "rule known_invoice" in words(report)


def test_severities() -> None:
    """It may be an error, or not be asked at all."""
    mirror = Mirror(frozenset())
    assert not examined(mirror, [payment()], severity="error").fit
    mirror.asked.clear()
    assert examined(mirror, [payment()], severity="off").warnings == 0
    assert mirror.asked == []


def test_asked_some_at_a_time() -> None:
    """Many items are few questions, and none is forgotten."""
    mirror = Mirror({f"i-{n}" for n in range(0, 500, 2)})
    report = examined(mirror, [payment(invoiceId=f"i-{n}") for n in range(500)])
    assert [len(each) for each in mirror.asked] == [TOGETHER, TOGETHER, 500 - 2 * TOGETHER]
    assert report.warnings == 250


def test_a_database_that_is_away() -> None:
    """One warning says so, nothing is asked again, and nothing else is lost."""
    mirror = Mirror(frozenset(), is_away=True)
    report = examined(mirror, [payment(invoiceId=f"i-{n}") for n in range(500)])
    assert (report.fit, report.count, report.warnings, len(mirror.asked)) == (True, 500, 1, 1)
    assert "was not checked" in words(report)


def test_nothing_is_asked_for_invoices() -> None:
    """Invoices that are handed over are not known yet."""
    mirror = Mirror(frozenset())
    assert examined(mirror, [invoice()], INVOICES).fit
    assert mirror.asked == []
