"""What is wrong with a file or body, by line and field, and a list of it that stays short."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum

from service.errors import SubmissionRefused

#: Problems of each severity that are told; the rest is counted.
MOST_TOLD = 100
#: A member's name of somebody else's that is short and plain enough to be repeated.
PLAIN_NAME = re.compile(r"[^\W\d][\w.\- ]{0,59}")


class Severity(StrEnum):
    """What a broken rule means for the whole."""

    OFF = "off"
    WARNING = "warning"
    #: Nothing is sent.
    ERROR = "error"


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that is wrong. It never repeats what may be about a person."""

    #: From 1; 0: the file as a whole.
    line: int
    #: From 1: the cell's number in its row of CSV, else the character's in its line; 0: all of it.
    column: int
    #: The member's path in its item, such as `debtors.0.firstname`; empty: the whole item.
    field: str
    message: str
    severity: Severity = Severity.ERROR
    #: Which item, from 0; None: outside of any.
    position: int | None = None
    #: What helps on the command line, as it goes on behind the message; a body has no options.
    option: str = ""

    def __str__(self) -> str:
        """Say it in one line, as the command line does."""
        place = [f"line {self.line}"] if self.line else []
        place += [f"column {self.column}"] if self.column else []
        place += [self.field] if self.field else []
        said = self.message + self.option
        said = f"{', '.join(place)}: {said}" if place else said
        return f"warning: {said}" if self.severity is Severity.WARNING else said


class Problems:
    """A list of problems that keeps the first of each severity, and counts all."""

    def __init__(self, most: int = MOST_TOLD) -> None:
        self._most = most
        self._kept: dict[Severity, list[Problem]] = {}
        self._counts: dict[Severity, int] = {}

    def add(self, severity: Severity, make: Callable[[], Problem]) -> None:
        """Count a problem; make and keep it while there is room."""
        if severity is Severity.OFF:
            return
        kept = self._kept.setdefault(severity, [])
        if len(kept) < self._most:
            kept.append(make())
        self._counts[severity] = self.count(severity) + 1

    def keep(self, problem: Problem) -> None:
        """Count a problem and keep it, room or not: it ends everything."""
        self._kept.setdefault(problem.severity, []).append(problem)
        self._counts[problem.severity] = self.count(problem.severity) + 1

    def count(self, severity: Severity) -> int:
        """Say how many there are, kept or not."""
        return self._counts.get(severity, 0)

    def kept(self) -> tuple[Problem, ...]:
        """List what was kept in the order of the file."""
        every = [problem for kept in self._kept.values() for problem in kept]
        return tuple(sorted(every, key=lambda problem: (problem.line, problem.column)))


def refuse(line: int, column: int, message: str, option: str = "") -> SubmissionRefused:
    """Make the error for what cannot be read on from here; `option` is `Problem.option`."""
    return SubmissionRefused(problems=[Problem(line, column, "", message, option=option)])


def told(name: str) -> str:
    """Repeat a name that is not ours, if it is surely one."""
    return f"{name!r}" if PLAIN_NAME.fullmatch(name) else "(a name that is not repeated here)"
