"""Items and files for the tests of what is handed over."""

from __future__ import annotations

import io
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from hypothesis import strategies as st

from service.domain.submissions import NewItem, SubmissionKind
from service.settings import CHECKS
from service.submitting.examining import Report, examine
from service.submitting.giving import read
from service.submitting.options import Format, Options
from service.submitting.rules import rules_of

INVOICES, PAYMENTS, CORRECTIONS = SubmissionKind
RULES = rules_of(CHECKS)
CSV, JSON, NDJSON = Options(Format.CSV), Options(Format.JSON), Options(Format.NDJSON)

#: The columns of `ROW`, which is a good one.
HEADER = (
    "uniqueSourceInvoiceId,invoiceNumber,type,originalInvoiceAmount,currency,invoiceDate,dueDate,"
    "debtor.lastname,debtor.customerNumber"
)
ROW = "S-1,1001,PAYMENT_REMINDER,4500.00,NOK,2026-01-05,2026-02-05,Nordmann,17"


def invoice(**members: Any) -> dict[str, Any]:
    """Make a good invoice; None takes a member away."""
    made = {
        "uniqueSourceInvoiceId": "S-1",
        "invoiceNumber": "1001",
        "type": "PAYMENT_REMINDER",
        "originalInvoiceAmount": 4500,
        "currency": "NOK",
        "invoiceDate": "2026-01-05",
        "dueDate": "2026-02-05",
        "debtors": [{"lastname": "Nordmann", "customerNumber": "17"}],
    } | members
    return {name: value for name, value in made.items() if value is not None}


def payment(**members: Any) -> dict[str, Any]:
    """Make a good payment."""
    made = {"invoiceId": "i-1", "type": "DIRECT_PAYMENT", "amount": 100, "currency": "NOK"}
    return made | members


def correction(**members: Any) -> dict[str, Any]:
    """Make a good correction."""
    made = {"invoiceId": "i-1", "amount": 100, "currency": "NOK", "date": "2026-03-01"}
    return made | members


def examined(
    folder: Path,
    content: str | bytes,
    options: Options = CSV,
    kind: SubmissionKind = INVOICES,
    checks: Mapping[str, str] = CHECKS,
) -> Report:
    """Examine a file of this content."""
    path = folder / "handed-over"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return examine(path, kind, options, rules_of(checks))


def given_back(
    folder: Path,
    content: str | bytes,
    options: Options = CSV,
    kind: SubmissionKind = INVOICES,
) -> list[NewItem]:
    """Examine a file, which must be good, and read its items."""
    report = examined(folder, content, options, kind)
    assert report.fit, report.problems
    return list(read(folder / "handed-over", kind, options, report.digest))


def one(folder: Path, content: str | bytes, options: Options = CSV) -> str:
    """Examine a file with exactly one problem, an error, and return it."""
    report = examined(folder, content, options)
    assert (report.errors, report.warnings) == (1, 0), words(report)
    return str(report.problems[0])


def said(report: Report) -> list[tuple[int, int, str]]:
    """List where the problems are."""
    return [(problem.line, problem.column, problem.field) for problem in report.problems]


def words(report: Report) -> str:
    """Join what the problems say."""
    return "\n".join(str(problem) for problem in report.problems)


class Endless(io.RawIOBase):
    """A stream that repeats some bytes, and counts how often it was asked."""

    def __init__(self, pieces: Iterable[bytes]) -> None:
        super().__init__()
        self._pieces = iter(pieces)
        self.given = 0

    def read(self, _size: int = -1, /) -> bytes:
        """Give the next piece, whatever its size."""
        piece = next(self._pieces, b"")
        self.given += len(piece)
        return piece


# --- items of every form ------------------------------------------------------

#: Without space around: cells are read without it.
texts = st.text(
    st.characters(exclude_categories=["C", "Z"]) | st.sampled_from(' ,;"\n'), min_size=1
).map(str.strip)
some_text = texts.filter(bool)
names = st.text(st.characters(categories=["L", "N", "P", "S"]), min_size=1, max_size=50)
days = st.dates().map(str).filter(lambda day: len(day) == 10)
amounts = st.decimals(min_value=1, max_value=10**12, places=2)


def some(required: Mapping[str, Any], optional: Mapping[str, Any]) -> st.SearchStrategy[Any]:
    """Draw objects with all of the first members and any of the others."""
    return st.fixed_dictionaries(dict(required), optional=dict(optional))


phones = some({"value": some_text}, {"countryCode": some_text, "originalValue": some_text})
debtors = some(
    {"lastname": some_text},
    {
        "type": names,
        "firstname": some_text,
        "customerNumber": some_text,
        "dateOfBirth": days,
        "emails": st.lists(some({"value": some_text}, {}), min_size=1, max_size=2),
        "phoneNumbers": st.lists(phones, min_size=1, max_size=2),
        "addresses": st.lists(some({"street": some_text}, {"city": some_text}), min_size=1),
    },
)
claims = some({"remainingAmount": amounts}, {"type": names, "description": some_text})
invoices = some(
    {
        "uniqueSourceInvoiceId": names,
        "invoiceNumber": names,
        "type": names,
        "originalInvoiceAmount": amounts,
        "currency": st.sampled_from(["NOK", "SEK", "EUR"]),
        "invoiceDate": days,
        "dueDate": days,
        "debtors": st.lists(debtors, min_size=1, max_size=2),
    },
    {
        "claims": st.lists(claims, min_size=1, max_size=3),
        "vat": st.booleans(),
        "fees": st.booleans(),
        "description": some_text,
        "ocrReferenceNumber": some_text,
    },
)
payments = some(
    {"invoiceId": names, "type": names, "amount": amounts, "currency": st.just("NOK")},
    {"paymentDate": days, "reference": some_text},
)
corrections = some(
    {"invoiceId": names, "amount": amounts, "currency": st.just("NOK"), "date": days},
    {"description": some_text},
)
items_of = {INVOICES: invoices, PAYMENTS: payments, CORRECTIONS: corrections}
