"""The header of a CSV file: which column holds which member."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from dataclasses import dataclass

from service.domain.submissions import SubmissionKind
from service.errors import SubmissionRefused
from service.submitting.columns import columns, path_of, required_members
from service.submitting.options import DELIMITERS, Options
from service.submitting.problems import Problem, told
from service.submitting.records import Path

#: Headers, and targets of a mapping, that begin with it are left out.
LEFT_OUT = "_"


@dataclass(frozen=True, slots=True)
class Target:
    """What a column holds; no path: it is left out."""

    path: Path | None
    #: A column without a name must be empty.
    nameless: bool = False


def read_header(
    cells: Sequence[str], line: int, kind: SubmissionKind, options: Options
) -> list[Target]:
    """Read the first row. Raises SubmissionRefused with all that is wrong with it."""
    names = [cell.strip() for cell in cells]
    paths = [path_of(kind, options.mapping.get(name, name)) for name in names]
    if not any(paths):
        raise SubmissionRefused(problems=[Problem(line, 1, "", no_header(names, kind, options))])
    problems: list[Problem] = []
    targets = []
    for number, (name, path) in enumerate(zip(names, paths, strict=True), start=1):
        wanted = options.mapping.get(name, name)
        targets.append(Target(path, nameless=not wanted))
        if path is None and wanted and not wanted.startswith(LEFT_OUT):
            problems.append(Problem(line, number, "", unknown(name, wanted, kind)))
        elif path is not None and path in paths[: number - 1]:
            first = paths.index(path) + 1
            message = f"column {told(name)} holds the same as column {first}"
            problems.append(Problem(line, number, "", message))
    problems += missing(names, paths, line, kind, options)
    if problems:
        raise SubmissionRefused(problems=problems)
    return targets


def missing(
    names: Sequence[str],
    paths: Sequence[Path | None],
    line: int,
    kind: SubmissionKind,
    options: Options,
) -> list[Problem]:
    """Name required columns, and headers of the mapping, that are not there."""
    there = {path[0] for path in paths if path}
    found = [
        Problem(line, 0, name, f'column {name!r} is missing; --map "HEADER={name}" names another')
        for name in sorted(required_members(kind) - there - {"debtors"})
    ]
    if kind is SubmissionKind.INVOICES and "debtors" not in there:
        found.append(Problem(line, 0, "debtors", "a column of the debtor is missing: 'debtor.…'"))
    return found + [
        Problem(line, 0, "", f"--map names column {header!r}, which the file does not have")
        for header in options.mapping
        if header not in names
    ]


def no_header(names: Sequence[str], kind: SubmissionKind, options: Options) -> str:
    """Say what the first row seems to be; it is not repeated, since it may be about a person."""
    whole = options.delimiter.join(names)
    for name, delimiter in DELIMITERS.items():
        parts = [part.strip().strip('"') for part in whole.split(delimiter)]
        if any(path_of(kind, options.mapping.get(part, part)) for part in parts):
            return f"the columns are separated by {name}: use --delimiter {name}"
    required = ", ".join(sorted(required_members(kind)))
    return (
        f"the first row names no column of {kind}, such as {required}: add a header, or name the "
        "file's own columns with --map"
    )


def unknown(name: str, wanted: str, kind: SubmissionKind) -> str:
    """Say that a column is unknown, and which known one may be meant."""
    known = {column.header.lower(): column.header for column in columns(kind)}
    near = difflib.get_close_matches(wanted.lower(), known, n=1, cutoff=0.75)
    advice = 'leave it out with --map "HEADER=_", or let its name begin with _'
    meant = f"is {known[near[0]]!r} meant?" if near else advice
    return f"column {told(name)} is unknown: {meant}"
