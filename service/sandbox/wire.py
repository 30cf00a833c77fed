"""JSON and times as they stand on the wire.

Money keeps its scale, which the standard library's encoder cannot do: 4500.00 stays 4500.00.
"""

from __future__ import annotations

import json
import re
import secrets
from collections.abc import Mapping
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

Record = dict[str, Any]

MOST_DIGITS = 15

#: A Decimal goes through the encoder as a string that nobody else can write, then loses its quotes.
_MARK = f"amount-{secrets.token_hex(8)}:"
_MARKED = re.compile(f'"{_MARK}(-?[0-9.]+)"')


def dumps(value: Any) -> bytes:
    """Write JSON; Decimals become numbers with every digit that they have."""
    text = json.dumps(value, default=_mark, allow_nan=False, separators=(",", ":"))
    return (_MARKED.sub(r"\1", text) if _MARK in text else text).encode("ascii")


def loads(raw: bytes | str) -> Any:
    """Read JSON with Decimals for fractions; ValueError when it is none."""
    try:
        return json.loads(raw, parse_float=Decimal, parse_constant=_no_constant)
    except RecursionError as exc:
        raise ValueError("nested too deeply") from exc


def amount(value: Any) -> Decimal:
    """Make money of a number or a string; floats are refused, they have lost digits."""
    if isinstance(value, bool) or not isinstance(value, int | str | Decimal):
        raise ValueError(f"{value!r} is no amount: use a Decimal, a string or a whole number")
    try:
        made = Decimal(value)
    except ArithmeticError as exc:
        raise ValueError(f"{value!r} is no amount") from exc
    if not is_sane(made):
        raise ValueError(f"{value!r} is no amount")
    return made


def is_sane(money: Decimal) -> bool:
    """Say whether a number can be money at all: 1e999999 would be a megabyte of digits."""
    return money.is_finite() and abs(money.adjusted()) <= MOST_DIGITS


def without_decimals(given: Mapping[str, Any]) -> dict[str, Any]:
    """Make floats of the Decimals that JSON was read into, where no money is meant."""
    return {k: float(v) if isinstance(v, Decimal) else v for k, v in given.items()}


def moment(at: float) -> str:
    """Write a date-time as Amili's answers do: 2019-08-24T14:15:22.123Z."""
    return datetime.fromtimestamp(at, UTC).isoformat(timespec="milliseconds")[:-6] + "Z"


def stamp(at: float) -> str:
    """Write a webhook's timeStamp: whole seconds."""
    return datetime.fromtimestamp(at, UTC).isoformat(timespec="seconds")[:-6] + "Z"


def day(at: float) -> str:
    """Write a date."""
    return datetime.fromtimestamp(at, UTC).date().isoformat()


def unix(text: str) -> float:
    """Read a date or date-time as Unix time; ValueError when it is neither."""
    read = datetime.fromisoformat(text)
    return (read if read.tzinfo else read.replace(tzinfo=UTC)).timestamp()


def _mark(value: Any) -> str:
    if isinstance(value, Decimal) and value.is_finite():
        return f"{_MARK}{value:f}"
    raise TypeError(f"{type(value).__name__} cannot be written as JSON")


def _no_constant(name: str) -> Any:
    raise ValueError(f"{name} is not JSON")
