"""What columns a file may have: told by the models of what we send, so that both always agree."""

from __future__ import annotations

import re
import types
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from functools import cache
from typing import Annotated, Any, Union, get_args, get_origin, get_type_hints

from pydantic import BaseModel, StrictBool

from service.amili.requests import (
    Amount,
    Currency,
    Day,
    DayOrTime,
    NewCorrection,
    NewInvoice,
    NewPayment,
)
from service.domain.submissions import SubmissionKind
from service.submitting.meanings import MEANINGS
from service.submitting.records import Path, dotted

Model = type[NewInvoice] | type[NewPayment] | type[NewCorrection]
MODELS: Mapping[SubmissionKind, Model] = {
    SubmissionKind.INVOICES: NewInvoice,
    SubmissionKind.PAYMENTS: NewPayment,
    SubmissionKind.CORRECTIONS: NewCorrection,
}
#: Stands in a path for any number of a list.
ANY = "#"
#: The number of one of a list; nobody's invoice has more than a hundred debtors or claims.
NUMBER = re.compile(r"0|[1-9][0-9]?")
#: The short word for the first of a list.
FIRST: Mapping[str, str] = {
    "debtor": "debtors",
    "claim": "claims",
    "email": "emails",
    "phone": "phoneNumbers",
    "address": "addresses",
}
SINGULAR: Mapping[str | int, str] = {name: word for word, name in FIRST.items()}
#: Of these a short word alone means its `value`.
OF_ONE_VALUE = ("email", "phone")


class Type(StrEnum):
    """How a cell is read."""

    TEXT = "text"
    #: 4500.00
    AMOUNT = "amount"
    #: NOK
    CURRENCY = "currency"
    #: true, false
    BOOLEAN = "boolean"
    #: 2026-12-31
    DATE = "date"
    #: 2026-12-31, or 2026-12-31T12:00:00Z
    TIME = "date or time"


@dataclass(frozen=True, slots=True)
class Column:
    """One column that a file may have."""

    header: str
    type: Type
    required: bool
    meaning: str


def columns(kind: SubmissionKind) -> list[Column]:
    """List the columns of a kind; `debtor.` is `debtors.0.`, the next one is `debtors.1.`."""
    required = required_members(kind)
    found = []
    for pattern, type_ in leaves(kind).items():
        words = [0 if part == ANY else part for part in pattern.split(".")]
        needed = len(words) == 1 and words[0] in required
        meaning = MEANINGS.get(f"{kind}:{pattern}") or MEANINGS[pattern]
        found.append(Column(short(tuple(words)), type_, needed, meaning))
    return sorted(found, key=lambda column: not column.required)


def path_of(kind: SubmissionKind, header: str) -> Path | None:
    """Read a header such as `debtor.firstname` or `claims.1.remainingAmount`; None: unknown."""
    words = header.split(".")
    path: list[str | int] = []
    for at, word in enumerate(words):
        if word in FIRST:
            path += [FIRST[word], 0]
            path += ["value"] if word in OF_ONE_VALUE and at == len(words) - 1 else []
        else:
            path.append(int(word) if NUMBER.fullmatch(word) else word)
    return tuple(path) if ANY not in words and pattern_of(path) in leaves(kind) else None


def type_of(kind: SubmissionKind, path: Path) -> Type:
    """Say how a cell of this path is read."""
    return leaves(kind)[pattern_of(path)]


def short(path: Path) -> str:
    """Write a path as its shortest header."""
    words: list[str | int] = []
    at = 0
    while at < len(path):
        is_first = path[at] in SINGULAR and path[at + 1 : at + 2] == (0,)
        words.append(SINGULAR[path[at]] if is_first else path[at])
        at += 2 if is_first else 1
    if len(words) > 1 and words[-1] == "value" and words[-2] in OF_ONE_VALUE:
        words.pop()
    return dotted(words)


def pattern_of(path: list[str | int] | Path) -> str:
    """Write a path with the numbers of lists left open."""
    return dotted(ANY if isinstance(part, int) else part for part in path)


@cache
def required_members(kind: SubmissionKind) -> frozenset[str]:
    """Name the members without which there is no item."""
    fields = MODELS[kind].model_fields.values()
    return frozenset(str(each.alias) for each in fields if each.is_required())


@cache
def leaves(kind: SubmissionKind) -> Mapping[str, Type]:
    """List every path of a kind, with its type."""
    return dict(_walk(MODELS[kind], ""))


def _walk(model: type[BaseModel], above: str) -> Iterator[tuple[str, Type]]:
    hints = get_type_hints(model, include_extras=True)
    for name, info in model.model_fields.items():
        hint = _without_none(hints[name])
        path = f"{above}{info.alias or name}"
        if get_origin(hint) is list:
            yield from _walk(get_args(hint)[0], f"{path}.{ANY}.")
        else:
            yield path, _type(hint)


def _type(hint: Any) -> Type:
    """Name the type; what is not known here is text."""
    known = (
        (Amount, Type.AMOUNT),
        (Currency, Type.CURRENCY),
        (StrictBool, Type.BOOLEAN),
        (Day, Type.DATE),
        (DayOrTime, Type.TIME),
    )
    return next((type_ for each, type_ in known if hint == each), Type.TEXT)


def _without_none(hint: Any) -> Any:
    if get_origin(hint) in (Union, types.UnionType):
        return next(each for each in get_args(hint) if each is not type(None))
    if get_origin(hint) is Annotated and get_origin(get_args(hint)[0]) is list:
        return get_args(hint)[0]
    return hint
