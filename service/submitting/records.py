"""What the readers of all formats give: items as trees, and where each member stands."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple, TypeAlias

from service.submitting.problems import Problem, Severity

#: From an item to one of its members: names, and numbers in lists.
Path: TypeAlias = tuple[str | int, ...]
#: A line and a column, both from 1.
Place: TypeAlias = tuple[int, int]

PLAIN_MEMBER = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,59}")
#: Characters of one item.
MOST_CHARACTERS = 1024 * 1024


class Flaw(NamedTuple):
    """What is wrong with one member."""

    path: Path
    message: str


@dataclass(frozen=True, slots=True)
class Record:
    """One item as it was read. `value` is None when nothing can be read out of it."""

    line: int
    value: dict[str, Any] | None = field(repr=False)
    flaws: Sequence[Flaw]
    #: Where a member stands; the place of what is around it when it is missing.
    place: Callable[[Path], Place] = field(repr=False)


def problem_of(
    record: Record, flaw: Flaw, severity: Severity = Severity.ERROR, position: int | None = None
) -> Problem:
    """Tell a flaw by its place; names of members are told where they are plain ones."""
    names = (
        part if isinstance(part, int) or PLAIN_MEMBER.fullmatch(part) else "…" for part in flaw.path
    )
    line, column = record.place(flaw.path)
    return Problem(line, column, dotted(names), flaw.message, severity, position)


def dotted(path: Iterable[str | int]) -> str:
    """Write a path as headers of CSV are written."""
    return ".".join(str(part) for part in path)


def member(value: object, *path: str | int) -> Any:
    """Return what stands at a path of a tree; None when there is nothing."""
    for part in path:
        if isinstance(part, str) and isinstance(value, Mapping):
            value = value.get(part)
        elif isinstance(part, int) and isinstance(value, list) and part < len(value):
            value = value[part]
        else:
            return None
    return value
