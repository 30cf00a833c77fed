"""Settlements as rows and sums: every member kept, amounts exact. Pure.

Of a settlement only a few members are documented (contract §3), so nothing is left out: nested
members go by dotted path, and every decimal number but an exchange rate is an amount [assumed].
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from decimal import Context, Decimal
from typing import Any, NamedTuple

from service.amili.texts import encode

#: Members whose names are known [doc; the invoice's from the webhook], in this order.
KNOWN = (
    *("settlementId", "organizationId", "settlementDate", "caseNumber", "invoiceId"),
    *("invoiceNumber", "collectionType", "currency", "customerReference", "exchangeRate"),
)
CURRENCY = "currency"
NO_AMOUNTS = frozenset({"exchangeRate"})
UNKNOWN = "unknown"
#: Enough digits for any sum of money: nothing is rounded.
EXACT = Context(prec=100)
NUMBER = re.compile(r"[+-]?\d+([.,]\d+)?")
#: What a spreadsheet takes for a formula when a cell begins with it.
FORMULA = ("=", "+", "-", "@", "\t", "\r")


class Figure(NamedTuple):
    """A number in a settlement: the dotted path of its member, and the currency around it."""

    currency: str
    path: str
    value: Decimal
    #: It was written with a point; a whole number may be an id.
    has_point: bool


def members(record: Mapping[str, Any], path: str = "") -> Iterator[tuple[str, Any]]:
    """Walk through the members of a record by dotted path; a list is one member."""
    for name, value in record.items():
        if isinstance(value, dict) and value:
            yield from members(value, f"{path}{name}.")
        else:
            yield f"{path}{name}", value


def figures(value: Any, currency: str = UNKNOWN, path: str = "") -> Iterator[Figure]:
    """Walk through the numbers of a record, those in lists too; a rate is no amount."""
    if isinstance(value, dict):
        own = value.get(CURRENCY)
        currency = own if isinstance(own, str) and own else currency
        for name, each in value.items():
            if name not in NO_AMOUNTS:
                yield from figures(each, currency, f"{path}.{name}" if path else name)
    elif isinstance(value, list):
        for each in value:
            yield from figures(each, currency, path)
    elif isinstance(value, Decimal):
        yield Figure(currency, path, value, True)
    elif isinstance(value, int) and not isinstance(value, bool):
        yield Figure(currency, path, Decimal(value), False)


class Totals:
    """Adds up amounts by currency and member.

    A member is an amount once any settlement has it with a decimal point: then its whole
    numbers count, too.
    """

    def __init__(self) -> None:
        self._sums: dict[tuple[str, str], Decimal] = {}
        self._amounts: set[str] = set()

    def add(self, record: Mapping[str, Any]) -> None:
        """Add the amounts of one settlement."""
        for figure in figures(record):
            key = (figure.currency, figure.path)
            self._sums[key] = EXACT.add(self._sums.get(key, Decimal(0)), figure.value)
            if figure.has_point:
                self._amounts.add(figure.path)

    def told(self) -> dict[str, dict[str, str]]:
        """Give currency → member → sum, as decimal strings."""
        found: dict[str, dict[str, str]] = {}
        for (currency, path), total in sorted(self._sums.items()):
            if path in self._amounts:
                found.setdefault(currency, {})[path] = format(total, "f")
        return found


def cell(value: Any) -> str:
    """Write a value into a cell of CSV: no spreadsheet takes it for a formula."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, Decimal):
        return format(value, "f")
    text = value if isinstance(value, str) else encode(value)
    if text.startswith(FORMULA) and not NUMBER.fullmatch(text):
        return f"'{text}"
    return text
