"""Texts, times and JSON as Amili writes them, made safe to keep. Pure.

`decode` is the one reader of JSON: strict UTF-8, no NaN, decimals kept exactly.
"""

from __future__ import annotations

import json
from datetime import UTC, datetime
from decimal import Decimal, InvalidOperation
from typing import Any

import simplejson

#: Longest text that a webhook may bring into an `Event`.
MAX_TEXT = 200
LARGEST_NUMBER = 10**20
REPLACEMENT = "\N{REPLACEMENT CHARACTER}"


def keepable(value: object) -> str | None:
    """Return a text of 1 to 200 printable characters, which any database keeps; else None.

    NUL, other controls and lone surrogates are not printable.
    """
    if isinstance(value, str) and 0 < len(value) <= MAX_TEXT and value.isprintable():
        return value
    return None


def case_number(value: object) -> str | None:
    """Read a case number: a string in webhooks, a number in the API [doc]."""
    if type(value) is int and abs(value) < LARGEST_NUMBER:
        return str(value)
    return keepable(value)


def storable(text: str) -> str:
    """Replace in a text of any length what databases refuse: NUL and lone surrogates."""
    if text.isprintable():
        return text
    whole = text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    return whole.replace("\0", REPLACEMENT)


def read_time(said: object) -> datetime | None:
    """Read a time as Amili writes it [doc: date-times and plain dates]; None when unreadable.

    A time without an offset is [assumed] UTC.
    """
    if not isinstance(said, str):
        return None
    try:
        at = datetime.fromisoformat(said)
        return at.replace(tzinfo=UTC) if at.tzinfo is None else at.astimezone(UTC)
    except (ValueError, OverflowError):
        return None


def _refuse(constant: str) -> None:
    raise ValueError(f"{constant} is not JSON")


_DECODER = json.JSONDecoder(parse_float=Decimal, parse_constant=_refuse)
_ENCODER = simplejson.JSONEncoder(use_decimal=True, separators=(",", ":"))
_BOM = b"\xef\xbb\xbf"


def decode(text: bytes) -> Any:
    """Read JSON, numbers with a point as Decimal; ValueError, without any content, when it is none.

    A byte order mark is accepted.
    """
    try:
        return _DECODER.decode(str(text[len(_BOM) :] if text.startswith(_BOM) else text, "utf-8"))
    except UnicodeDecodeError:
        raise ValueError("expected UTF-8") from None
    except RecursionError:
        raise ValueError("nested too deeply") from None
    except (ValueError, InvalidOperation):  # a JSONDecodeError carries the whole text
        raise ValueError("expected JSON") from None


def encode(record: Any) -> str:
    """Write what `decode` read as ASCII, each number with the value and scale that it had."""
    try:
        return str(_ENCODER.encode(record))
    except RecursionError:
        raise ValueError("nested too deeply") from None
