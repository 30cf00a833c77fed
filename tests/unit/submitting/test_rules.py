"""The rules that a Norwegian creditor expects: each is broken, told, and can be set."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from service.domain.submissions import SubmissionKind
from service.errors import ConfigError
from service.settings import CHECKS, Settings, load
from service.submitting.examining import examine_body
from service.submitting.problems import Severity
from service.submitting.rules import RULES, RULES_OF_CORRECTIONS, broken_rules, rules_of
from tests.unit.submitting.written import INVOICES, invoice

PERSON = {"lastname": "Nordmann", "customerNumber": "17"}


def broken(item: Any, kind: SubmissionKind = INVOICES) -> list[tuple[str, str]]:
    """List rules that are broken with the path of what breaks them."""
    rules = rules_of(dict.fromkeys(CHECKS, "error"))
    return [
        (name, ".".join(str(part) for part in flaw.path))
        for name, _, flaw in broken_rules(kind, item, rules)
    ]


def owed(*debtors: dict[str, Any], **members: Any) -> dict[str, Any]:
    """Make an invoice with other debtors."""
    return invoice(debtors=[PERSON | debtor for debtor in debtors], **members)


def claim(amount: str, type_: str = "PRINCIPAL") -> dict[str, Any]:
    """Make a claim."""
    return {"type": type_, "remainingAmount": Decimal(amount)}


GOOD = [
    invoice(),
    invoice(ocrReferenceNumber="2345676"),
    owed({"type": "COMPANY", "organizationNumber": "988077917", "name": "AS"}),
    owed({"identificationNumber": "15108695088", "dateOfBirth": "1986-10-15"}),
    owed({"identificationNumber": "19860815-1234", "addresses": [{"countryCode": "SE"}]}),
    owed({"type": "COMPANY", "identificationNumber": "988077917"}),
    invoice(originalInvoiceAmount=Decimal("4500.00"), claims=[claim("4000"), claim("500", "FEE")]),
    invoice(originalInvoiceAmount=4500, currency="JPY"),
    invoice(dueDate="2026-01-05T00:00:00Z"),
]
BAD = [
    (invoice(ocrReferenceNumber="2345677"), [("kid", "ocrReferenceNumber")]),
    (invoice(ocrReferenceNumber="1,23457E+24"), [("kid", "ocrReferenceNumber")]),
    (
        owed({}, {"organizationNumber": "988077918"}),
        [("organization_number", "debtors.1.organizationNumber")],
    ),
    (
        owed({"identificationNumber": "15108695089"}),
        [("identity_number", "debtors.0.identificationNumber")],
    ),
    (
        owed({"identificationNumber": "15108695088", "dateOfBirth": "1986-10-16"}),
        [("birth_date", "debtors.0.dateOfBirth")],
    ),
    (owed({"lastname": None}), [("debtor_name", "debtors.0")]),
    (owed({"customerNumber": ""}), [("debtor_number", "debtors.0")]),
    (invoice(currency="NKR"), [("currency", "currency")]),
    (
        invoice(originalInvoiceAmount=Decimal("4.500")),
        [("decimals", "originalInvoiceAmount")],
    ),
    (
        invoice(originalInvoiceAmount=Decimal("45.5"), currency="JPY"),
        [("decimals", "originalInvoiceAmount")],
    ),
    (invoice(originalInvoiceAmount=0), [("amount", "originalInvoiceAmount")]),
    (
        invoice(claims=[claim("4600"), claim("-100", "X")]),
        [("amount", "claims.1.remainingAmount"), ("principal", "claims")],
    ),
    (invoice(dueDate="2026-01-04"), [("due_date", "dueDate")]),
    (
        invoice(claims=[claim("4500.01")]),
        [("principal", "claims"), ("claims_total", "claims")],
    ),
    (invoice(claims=[claim("4000")]), [("claims_total", "claims")]),
    (invoice(ocrReferenceNumer="x"), [("spelling", "ocrReferenceNumer")]),
    (owed({"firstName": "Ola"}), [("spelling", "debtors.0.firstName")]),
]


NAMES = ["debtors", "claims", "currency", "addresses", "amount", "type", "dueDate"]
TREES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.decimals(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.sampled_from(NAMES), inner),
)


class TestRules:
    @pytest.mark.parametrize("item", GOOD)
    def test_good(self, item: Any) -> None:
        """What is as it should be breaks no rule."""
        assert broken(item) == []

    @pytest.mark.parametrize(("item", "expected"), BAD)
    def test_bad(self, item: Any, expected: list[tuple[str, str]]) -> None:
        """What is wrong breaks its own rule at its own place, and no other."""
        assert sorted(broken(item)) == sorted(expected)

    def test_every_rule_is_broken_here(self) -> None:
        """Each rule has a case above and a default; no default is without a rule."""
        shown = {name for _, expected in BAD for name, _ in expected}
        assert shown == RULES.keys() == RULES_OF_CORRECTIONS.keys()
        assert {*RULES, "twice", "known_invoice"} == CHECKS.keys()

    def test_nothing_personal_is_told(self) -> None:
        """No problem repeats a value of the debtor's."""
        secret = {
            "firstname": 5,
            "lastname": "Hemmelig",
            "identificationNumber": "15108695089",
            "organizationNumber": "988077918",
            "dateOfBirth": "15.10.1986",
            "emails": "hemmelig@example.org",
            "Kari Hemmelig": Decimal("NaN"),
            "addresses": [{"street": "Hemmeligveien 5\u0000"}],
        }
        owing = invoice(debtors=[secret], ocrReferenceNumber="666", currency="15108")
        data = json.dumps([owing], default=float)
        report = examine_body(data.encode(), INVOICES, rules_of(CHECKS))
        told = "\n".join(map(str, report.problems)).lower()
        assert report.errors >= 8
        assert any(problem.field == "debtors.0.…" for problem in report.problems)
        for value in ("hemmelig", "15108", "98807", "1986", "666"):
            assert value not in told

    @given(TREES)
    def test_of_any_form(self, value: Any) -> None:
        """Rules look at trees of any form without an error of their own."""
        for kind in SubmissionKind:
            found = broken({"debtors": value, "claims": value, "currency": value}, kind)
            assert all(name in RULES for name, _ in found)


class TestSettings:
    def test_severities(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """One variable sets some severities; the others stay as they are."""
        monkeypatch.setenv("AMILI_CHECKS", "kid=warning, claims_total=off")
        checks = load().checks
        assert checks == {**CHECKS, "kid": "warning", "claims_total": "off"}
        bad = invoice(ocrReferenceNumber="1234", claims=[claim("4000")], dueDate="2026-01-04")
        told = [
            (name, severity) for name, severity, _ in broken_rules(INVOICES, bad, rules_of(checks))
        ]
        assert told == [("kid", Severity.WARNING), ("due_date", Severity.ERROR)]

    @pytest.mark.parametrize("said", ["kidd=off", "kid", "kid=never", "=off"])
    def test_slips(self, said: str, monkeypatch: pytest.MonkeyPatch) -> None:
        """A rule or severity that does not exist is told, with what does."""
        monkeypatch.setenv("AMILI_CHECKS", said)
        with pytest.raises(
            ConfigError, match=r"AMILI_CHECKS: .*(kid, organization_number|warning)"
        ):
            load()

    def test_given(self) -> None:
        """What a caller gives is checked, too."""
        assert Settings(checks={"kid": "off"}).checks["currency"] == "error"
        with pytest.raises(ValidationError):
            Settings(checks={"kid": "never"})
