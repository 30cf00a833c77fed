"""What a Norwegian creditor expects to be checked, each rule with a severity of its own.

`AMILI_CHECKS` sets the severities; `service.settings.CHECKS` has the defaults. A rule gets the
item as a tree, says nothing about members that are missing or of another type, and repeats no
value.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import date
from decimal import Decimal
from typing import Any, TypeAlias

from service.domain.checks.currencies import DECIMALS
from service.domain.checks.identity_numbers import fits_birth_date, is_identity_number
from service.domain.checks.kid import is_kid
from service.domain.checks.organization_numbers import is_organization_number
from service.domain.submissions import SubmissionKind
from service.submitting.problems import Severity
from service.submitting.records import Flaw, Path, member
from service.submitting.spelling import misspelt

Item: TypeAlias = Mapping[str, Any]
Rules: TypeAlias = Mapping[str, Severity]

DAY = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
#: What a spreadsheet makes of a long reference: the digits are lost.
MADE_A_NUMBER = re.compile(r"[0-9]+[.,]?[0-9]*[eE][+-]?[0-9]+")
AMOUNTS = ("originalInvoiceAmount", "amount")


def rules_of(checks: Mapping[str, str]) -> Rules:
    """Read the severities of `Settings.checks`."""
    return {name: Severity(severity) for name, severity in checks.items()}


def broken_rules(
    kind: SubmissionKind, item: Item, rules: Rules
) -> Iterator[tuple[str, Severity, Flaw]]:
    """Name each rule that an item breaks, and where."""
    known = RULES_OF_CORRECTIONS if kind is SubmissionKind.CORRECTIONS else RULES
    for name, rule in known.items():
        severity = rules.get(name, Severity.OFF)
        if severity is not Severity.OFF:
            for flaw in rule(item):
                yield name, severity, flaw


# --- references and numbers ---------------------------------------------------


def kid(item: Item) -> Iterator[Flaw]:
    """`ocrReferenceNumber` is a KID."""
    said = text(item, "ocrReferenceNumber")
    if said and MADE_A_NUMBER.fullmatch(said):
        message = "a spreadsheet made a number of the KID: format its column as text"
        yield Flaw(("ocrReferenceNumber",), message)
    elif said and not is_kid(said):
        message = "is no KID: 2 to 25 digits, the last one a check digit (mod 10 or mod 11)"
        yield Flaw(("ocrReferenceNumber",), message)


def organization_number(item: Item) -> Iterator[Flaw]:
    """A Norwegian debtor's `organizationNumber` has a fitting check digit."""
    for path, debtor in norwegians(item):
        said = text(debtor, "organizationNumber")
        if said and not is_organization_number(said):
            message = "is no organization number: nine digits, the last one a check digit"
            yield Flaw((*path, "organizationNumber"), message)


def identity_number(item: Item) -> Iterator[Flaw]:
    """A Norwegian person's `identificationNumber` has a day and two fitting check digits."""
    for path, debtor in norwegians(item):
        said = text(debtor, "identificationNumber")
        if said and debtor.get("type") != "COMPANY" and not is_identity_number(said):
            message = "is no national identity number: eleven digits, the last two check digits"
            yield Flaw((*path, "identificationNumber"), message)


def birth_date(item: Item) -> Iterator[Flaw]:
    """`dateOfBirth` is the day that the identity number tells."""
    for path, debtor in norwegians(item):
        said, born = text(debtor, "identificationNumber"), day(debtor, "dateOfBirth")
        if said and born and is_identity_number(said) and not fits_birth_date(said, born):
            yield Flaw((*path, "dateOfBirth"), "is not the day in identificationNumber")


def debtor_name(item: Item) -> Iterator[Flaw]:
    """A debtor has a name."""
    for path, debtor in listed(item, "debtors"):
        if not any(text(debtor, name) for name in ("name", "lastname")):
            yield Flaw(path, "the debtor has no name: give name, or firstname and lastname")


def debtor_number(item: Item) -> Iterator[Flaw]:
    """A debtor has a number by which debts of one debtor come together."""
    numbers = ("customerNumber", "identificationNumber", "organizationNumber")
    for path, debtor in listed(item, "debtors"):
        if not any(text(debtor, name) for name in numbers):
            yield Flaw(path, f"the debtor has none of {', '.join(numbers)}")


# --- money and days -----------------------------------------------------------


def currency(item: Item) -> Iterator[Flaw]:
    """`currency` is an active code of ISO 4217."""
    said = text(item, "currency")
    if said and said not in DECIMALS:
        yield Flaw(("currency",), "is no currency of ISO 4217, such as NOK")


def decimals(item: Item) -> Iterator[Flaw]:
    """No amount has more decimals than its currency."""
    most = DECIMALS.get(text(item, "currency") or "")
    if most is None:
        return
    for path, value in amounts(item):
        exponent = value.as_tuple().exponent
        if isinstance(exponent, int) and -exponent > most:
            yield Flaw(path, f"has more than the {most} decimals of its currency")


def amount(item: Item) -> Iterator[Flaw]:
    """An invoice and a payment are more than nothing, what is left of a part no less."""
    for path, value in amounts(item):
        if path[0] == "claims" and value < 0:
            yield Flaw(path, "must not be less than 0")
        elif path[0] != "claims" and value <= 0:
            yield Flaw(path, "must be more than 0")


def correction_amount(item: Item) -> Iterator[Flaw]:
    """A correction makes the claim smaller, or larger, but changes it."""
    if number(item, "amount") == 0:
        yield Flaw(("amount",), "must not be 0")


def due_date(item: Item) -> Iterator[Flaw]:
    """`dueDate` is not before `invoiceDate`."""
    issued, due = day(item, "invoiceDate"), day(item, "dueDate")
    if issued and due and due < issued:
        yield Flaw(("dueDate",), "is before invoiceDate")


def principal(item: Item) -> Iterator[Flaw]:
    """What is left of the principal is no more than what was invoiced."""
    whole = number(item, "originalInvoiceAmount")
    parts = [each for kind, each in claims(item) if kind == "PRINCIPAL"]
    if whole is not None and sum(parts) > whole:
        yield Flaw(("claims",), "the PRINCIPAL claims are more than originalInvoiceAmount")


def claims_total(item: Item) -> Iterator[Flaw]:
    """The claims add up to what was invoiced; payments, interest and fees explain a difference."""
    whole = number(item, "originalInvoiceAmount")
    parts = [each for _, each in claims(item)]
    if whole is not None and parts and sum(parts) != whole:
        yield Flaw(("claims",), "the claims do not add up to originalInvoiceAmount")


RULES: Mapping[str, Callable[[Item], Iterable[Flaw]]] = {
    "kid": kid,
    "organization_number": organization_number,
    "identity_number": identity_number,
    "birth_date": birth_date,
    "debtor_name": debtor_name,
    "debtor_number": debtor_number,
    "currency": currency,
    "decimals": decimals,
    "amount": amount,
    "due_date": due_date,
    "principal": principal,
    "claims_total": claims_total,
    "spelling": misspelt,
}
RULES_OF_CORRECTIONS: Mapping[str, Callable[[Item], Iterable[Flaw]]] = {
    **RULES,
    "amount": correction_amount,
}


# --- members, if they are of the right type -----------------------------------


def text(item: Item, name: str) -> str | None:
    """Return a text, or None."""
    value = item.get(name)
    return value if isinstance(value, str) else None


def number(item: Item, name: str) -> Decimal | None:
    """Return an amount, or None."""
    value = item.get(name)
    if isinstance(value, int | Decimal) and not isinstance(value, bool):
        return Decimal(value)
    return None


def day(item: Item, name: str) -> date | None:
    """Return the day of a date or date-time, or None."""
    said = (text(item, name) or "")[:10]
    try:
        return date.fromisoformat(said) if DAY.fullmatch(said) else None
    except ValueError:
        return None


def listed(item: Item, name: str) -> Iterator[tuple[Path, Item]]:
    """Return the objects of a list with their paths."""
    found = member(item, name)
    for at, each in enumerate(found if isinstance(found, list) else []):
        if isinstance(each, Mapping):
            yield (name, at), each


def norwegians(item: Item) -> Iterator[tuple[Path, Item]]:
    """Return the debtors whose address, if any, is in Norway."""
    for path, debtor in listed(item, "debtors"):
        country = member(debtor, "addresses", 0, "countryCode")
        if not isinstance(country, str) or country.strip().upper() in ("", "NO", "NOR"):
            yield path, debtor


def claims(item: Item) -> Iterator[tuple[str | None, Decimal]]:
    """Return the type of each claim and what is left of it."""
    for _, claim in listed(item, "claims"):
        value = number(claim, "remainingAmount")
        if value is not None:
            yield text(claim, "type"), value


def amounts(item: Item) -> Iterator[tuple[Path, Decimal]]:
    """Return every amount of an item with its path."""
    places: list[tuple[Path, Item]] = [((name,), item) for name in AMOUNTS]
    places += [((*path, "remainingAmount"), claim) for path, claim in listed(item, "claims")]
    for path, inside in places:
        value = number(inside, str(path[-1]))
        if value is not None:
            yield path, value
