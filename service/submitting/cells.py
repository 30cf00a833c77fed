"""Cells of CSV: a text becomes what its column's type says, or it is told why not."""

from __future__ import annotations

import re
from decimal import Decimal

from service.submitting.columns import Type
from service.submitting.options import Options

#: At most so many digits before and after the point; no money has more.
AMOUNT = re.compile(r"-?(0|[1-9][0-9]{0,14})(\.[0-9]{1,6})?")
EXPONENT = re.compile(r"-?[0-9]+([.,][0-9]+)?[eE][+-]?[0-9]+")
THOUSANDS = re.compile(r"-?[0-9]{1,3}([ .,'\u00a0\u202f\u2009\u2019][0-9]{3})+([.,][0-9]+)?")
WITH_COMMA = re.compile(r"-?[0-9]+,[0-9]+")
WITH_POINT = re.compile(r"-?[0-9]+\.[0-9]+")
#: As a Norwegian Excel writes them: with a space, or one that does not break.
SPACED = re.compile(r"-?[0-9]{1,3}([ \u00a0\u202f][0-9]{3})+([.,][0-9]+)?")
SPACE = re.compile(r"[ \u00a0\u202f]")
NORWEGIAN_DATE = re.compile(r"([0-9]{2})\.([0-9]{2})\.([0-9]{4})")
ISO_DATE = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
#: As a Norwegian Excel writes them, too.
BOOLEANS = {"true": True, "false": False, "sann": True, "usann": False}


class BadCell(Exception):
    """A cell does not fit its column's type."""


def read_cell(text: str, type_: Type, options: Options) -> str | bool | Decimal:
    """Read a cell that is not empty. Raises BadCell with words that do not repeat it."""
    if type_ is Type.AMOUNT:
        return amount(text, options)
    if type_ is Type.BOOLEAN:
        if text.lower() not in BOOLEANS:
            raise BadCell("write true or false")
        return BOOLEANS[text.lower()]
    return day(text, options) if type_ in (Type.DATE, Type.TIME) else text


def day(text: str, options: Options) -> str:
    """Write a date as 2026-12-31, whether or not there is such a day. Raises BadCell."""
    if options.norwegian and (found := NORWEGIAN_DATE.fullmatch(text)):
        return f"{found[3]}-{found[2]}-{found[1]}"
    if not ISO_DATE.match(text):
        other = " or 31.12.2026" if options.norwegian else ""
        raise BadCell(f"write the date in the form 2026-12-31{other}")
    return text


def amount(text: str, options: Options) -> Decimal:
    """Read an amount to its last digit. Raises BadCell."""
    decimal_comma = options.decimal_comma
    if options.norwegian and SPACED.fullmatch(text):
        text = SPACE.sub("", text)
    plain = text.replace(",", ".") if decimal_comma and WITH_COMMA.fullmatch(text) else text
    if decimal_comma and WITH_POINT.fullmatch(text):
        raise BadCell("a decimal point, where a comma is expected: --decimal-point expects one")
    if AMOUNT.fullmatch(plain):
        return Decimal(plain)
    raise BadCell(why_not(text))


def why_not(text: str) -> str:
    """Say what is wrong with an amount."""
    if EXPONENT.fullmatch(text):
        return "write the number in full, without an exponent"
    if WITH_COMMA.fullmatch(text):
        return "a decimal comma: use --decimal-comma, or write 4500.00"
    if THOUSANDS.fullmatch(text):
        return "write the amount without separators of thousands, as in 4500.00"
    return "not an amount such as 4500.00"
