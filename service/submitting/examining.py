"""Tells all that is wrong with a file or body in one pass, keeping nothing but numbers."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal, localcontext
from pathlib import Path
from typing import Any, NamedTuple

from service.domain.checks.currencies import DECIMALS
from service.domain.submissions import SubmissionKind
from service.errors import SubmissionRefused
from service.submitting.knowing import KnownInvoices, Unknown
from service.submitting.options import Options
from service.submitting.problems import Problem, Problems, Severity, refuse
from service.submitting.reading import BODY, Progress, Source, opened, settled
from service.submitting.records import Flaw, Record, problem_of
from service.submitting.rules import Rules, broken_rules, text
from service.submitting.shapes import Whole, whole

#: What has more is another thing than what it is called: the rest is not looked at.
MOST_ERRORS = 10_000
#: Of a name; some 150 bytes of memory for each item.
HASH_BYTES = 8
#: Sums of the largest amounts are exact.
MOST_DIGITS = 60
NAME, NUMBER = "uniqueSourceInvoiceId", "invoiceNumber"
AMOUNT: Mapping[SubmissionKind, str] = {
    SubmissionKind.INVOICES: "originalInvoiceAmount",
    SubmissionKind.PAYMENTS: "amount",
    SubmissionKind.CORRECTIONS: "amount",
}


class Aid(NamedTuple):
    """What an examination tells and asks meanwhile."""

    #: It is told how many bytes are read.
    progress: Progress | None = None
    #: It says which invoices are not known here.
    unknown: Unknown | None = None


NO_AID = Aid()


@dataclass(frozen=True, slots=True)
class Report:
    """What a file or body holds, and what is wrong with it."""

    kind: SubmissionKind
    #: Items that could be read, right or wrong.
    count: int
    #: SHA-256 of the bytes and of kind and options; empty when it could not be read to its end.
    digest: bytes
    #: The first of each severity, in the order of the file.
    problems: tuple[Problem, ...]
    errors: int
    warnings: int
    #: By currency: the sum of what was invoiced, paid or corrected; of whole items only. It has
    #: the currency's decimals, as in 100.50.
    totals: Mapping[str, Decimal]

    @property
    def fit(self) -> bool:
        """Tell whether it may be sent."""
        return not self.errors


def examine(
    path: Path, kind: SubmissionKind, options: Options, rules: Rules, aid: Aid = NO_AID
) -> Report:
    """Examine a file. Raises nothing of the file's."""
    examination = Examination(kind, rules, aid.unknown)
    try:
        options = settled(path, options)
        with opened(path) as stream:
            examination.run(Source(stream, kind, options, aid.progress))
    except SubmissionRefused as exc:
        examination.refused(exc)
    return examination.report()


def examine_body(
    body: bytes, kind: SubmissionKind, rules: Rules, unknown: Unknown | None = None
) -> Report:
    """Examine a body as Amili's API takes it, `{"invoices": [...]}`, or the list alone."""
    examination = Examination(kind, rules, unknown)
    try:
        examination.run(Source(io.BytesIO(body), kind, BODY))
    except SubmissionRefused as exc:
        examination.refused(exc)
    return examination.report()


class Examination:
    """One pass over a source."""

    def __init__(self, kind: SubmissionKind, rules: Rules, unknown: Unknown | None = None) -> None:
        self._kind = kind
        self._rules = rules
        self._known = KnownInvoices(rules.get("known_invoice", Severity.OFF), unknown)
        self._problems = Problems()
        self._count = 0
        self._digest = b""
        self._totals: dict[str, Decimal] = {}
        #: From a hash of an item's name to its line.
        self._lines: dict[bytes, int] = {}

    def run(self, source: Source) -> None:
        """Look at every record. Raises SubmissionRefused where it cannot be read on."""
        for record in source:
            self._look(record)
            self._count += record.value is not None
            if self._problems.count(Severity.ERROR) > MOST_ERRORS:
                raise refuse(record.line, 0, f"more than {MOST_ERRORS} errors: see to these first")
        self._known.ask(self._problems)
        self._digest = source.digest()
        if not self._count and not self._problems.count(Severity.ERROR):
            raise SubmissionRefused(f"There are no {self._kind} in it.")

    def refused(self, error: SubmissionRefused) -> None:
        """Note why it could not be read on."""
        for problem in error.problems or [Problem(0, 0, "", str(error))]:
            self._problems.keep(problem)

    def report(self) -> Report:
        """Sum up."""
        return Report(
            kind=self._kind,
            count=self._count,
            digest=self._digest,
            problems=self._problems.kept(),
            errors=self._problems.count(Severity.ERROR),
            warnings=self._problems.count(Severity.WARNING),
            totals={code: in_full(code, sum_) for code, sum_ in sorted(self._totals.items())},
        )

    def _look(self, record: Record) -> None:
        found, flaws = whole(record, self._kind)
        for flaw in flaws:
            self._tell(record, flaw)
        if record.value is None:
            return
        seen = found.model.model_dump(by_alias=True, exclude_unset=True) if found else record.value
        wrong = {flaw.path for flaw in flaws}
        for name, severity, flaw in broken_rules(self._kind, seen, self._rules):
            if flaw.path not in wrong:
                self._tell(record, Flaw(flaw.path, f"{flaw.message} (rule {name})"), severity)
        if self._kind is SubmissionKind.INVOICES:
            self._look_for_name(record, seen)
        elif found:
            self._look_for_twin(record, found)
            self._known.look(record, self._count, str(seen["invoiceId"]), self._problems)
        if found:
            self._add(str(seen["currency"]), Decimal(seen[AMOUNT[self._kind]]))

    def _look_for_name(self, record: Record, seen: Mapping[str, Any]) -> None:
        """Two invoices of one name would be one at Amili; those of one number may be meant so."""
        name = text(seen, NAME)
        first = self._first(record, name) if name else None
        if first is not None:
            self._tell(record, Flaw((NAME,), f"{ascii(name)[:60]} is {first} already"))
            return
        severity = self._rules.get("twice", Severity.OFF)
        number = text(seen, NUMBER) if severity is not Severity.OFF else None
        # No name has a NUL.
        first = self._first(record, f"\0{number}") if number else None
        if first is not None:
            self._tell(record, Flaw((NUMBER,), f"is {first} already (rule twice)"), severity)

    def _look_for_twin(self, record: Record, found: Whole) -> None:
        """Two payments that are alike may be meant so."""
        severity = self._rules.get("twice", Severity.OFF)
        first = self._first(record, found.text) if severity is not Severity.OFF else None
        if first is not None:
            self._tell(record, Flaw((), f"the same is {first} already (rule twice)"), severity)

    def _first(self, record: Record, words: str) -> str | None:
        """Say where these words were first; None: here."""
        data = words.encode("utf-8", "surrogatepass")
        key = hashlib.blake2b(data, digest_size=HASH_BYTES).digest()
        line = self._lines.get(key)
        if line is None:
            self._lines[key] = record.line
            return None
        return "in this line" if line == record.line else f"in line {line}"

    def _add(self, currency: str, amount: Decimal) -> None:
        with localcontext(prec=MOST_DIGITS):
            self._totals[currency] = self._totals.get(currency, Decimal()) + amount

    def _tell(self, record: Record, flaw: Flaw, severity: Severity = Severity.ERROR) -> None:
        position = self._count
        self._problems.add(severity, lambda: problem_of(record, flaw, severity, position))


def in_full(currency: str, amount: Decimal) -> Decimal:
    """Give an amount at least the decimals of its currency, and take none away."""
    exponent = amount.as_tuple().exponent
    least = -DECIMALS.get(currency, 0)
    if not isinstance(exponent, int) or exponent <= least:
        return amount
    with localcontext(prec=MOST_DIGITS):
        return amount.quantize(Decimal(1).scaleb(least))
