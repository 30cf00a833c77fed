"""The header of a CSV file: which column holds which member."""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from service.domain.submissions import SubmissionKind
from service.errors import SubmissionRefused
from service.submitting.columns import columns, path_of, required_members
from service.submitting.options import DELIMITERS, Options
from service.submitting.problems import Problem, told
from service.submitting.records import Path

#: Headers, and targets of a mapping, that begin with it are left out.
LEFT_OUT = "_"
#: The column to be named where any below a required list would do.
SOME_COLUMN: Mapping[str, str] = {"debtors": "debtor.name"}
#: Columns that are listed in one problem.
MOST_NAMED = 40


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
        problems = [Problem(line, 1, "", no_header(names, kind, options))]
        raise SubmissionRefused(problems=problems + wrong_targets(names, line, kind, options))
    problems = []
    targets = []
    for number, (name, path) in enumerate(zip(names, paths, strict=True), start=1):
        wanted = options.mapping.get(name, name)
        targets.append(Target(path, nameless=not wanted))
        if path is None and wanted == name and wanted and not wanted.startswith(LEFT_OUT):
            problems.append(Problem(line, number, "", unknown(name, kind)))
        elif path is not None and path in paths[: number - 1]:
            first = paths.index(path) + 1
            message = f"column {told(name)} holds the same as column {first}"
            problems.append(Problem(line, number, "", message))
    problems += wrong_targets(names, line, kind, options)
    problems += absent(names, line, options)
    problems += missing(paths, line, kind, options)
    if problems:
        raise SubmissionRefused(problems=problems)
    return targets


def wrong_targets(
    names: Sequence[str], line: int, kind: SubmissionKind, options: Options
) -> list[Problem]:
    """Name the paths of the mapping that are none."""
    found = []
    for header, target in options.mapping.items():
        if target == header or target.startswith(LEFT_OUT) or path_of(kind, target):
            continue
        near = meant(target, kind, cutoff=0.6)
        advice = f"; did you mean {near!r}?" if near else f": see amili-events {kind} columns"
        number = names.index(header) + 1 if header in names else 0
        message = f"{told(target)} is no column of {kind}{advice}"
        found.append(Problem(line, number, "", message))
    return found


def absent(names: Sequence[str], line: int, options: Options) -> list[Problem]:
    """Name the headers of the mapping that the file has not, and those that it has."""
    there = [told(name) for name in names if name]
    more = ", …" if len(there) > MOST_NAMED else ""
    has = ", ".join(there[:MOST_NAMED]) + more
    return [
        Problem(line, 0, "", f"the file has no column {header!r} (it has: {has})")
        for header in options.mapping
        if header not in names
    ]


def missing(
    paths: Sequence[Path | None], line: int, kind: SubmissionKind, options: Options
) -> list[Problem]:
    """Name required columns that are not there, but for those that the mapping aims at."""
    there = {path[0] for path in paths if path}
    for target in options.mapping.values():
        aim = path_of(kind, target) or path_of(kind, meant(target, kind, cutoff=0.6) or "")
        there |= {aim[0]} if aim else set()
    return [
        Problem(line, 0, name, f'column {name!r} is missing; --map "HEADER={name}" names another')
        for member, name in needed(kind).items()
        if member not in there
    ]


def needed(kind: SubmissionKind) -> Mapping[str, str]:
    """List a column for each required member; any column of a debtor makes a debtor."""
    return {name: SOME_COLUMN.get(name, name) for name in sorted(required_members(kind))}


def no_header(names: Sequence[str], kind: SubmissionKind, options: Options) -> str:
    """Say what the first row seems to be; it is not repeated, since it may be about a person."""
    whole = options.delimiter.join(names)
    for name, delimiter in DELIMITERS.items():
        parts = [part.strip().strip('"') for part in whole.split(delimiter)]
        if any(path_of(kind, options.mapping.get(part, part)) for part in parts):
            return f"the columns are separated by {name}: use --delimiter {name}"
    if options.mapping and not options.mapping.keys() & names:
        headers = ", ".join(f"{header!r}" for header in list(options.mapping)[:MOST_NAMED])
        return f"the first row names no column of {kind}, and none that --map names: {headers}"
    required = ", ".join(needed(kind).values())
    return (
        f"the first row names no column of {kind}, such as {required}: add a header, or name the "
        "file's own columns with --map"
    )


def unknown(name: str, kind: SubmissionKind) -> str:
    """Say that a column is unknown, and which known one may be meant."""
    near = meant(name, kind, cutoff=0.75)
    advice = 'leave it out with --map "HEADER=_", or let its name begin with _'
    return f"column {told(name)} is unknown: {f'is {near!r} meant?' if near else advice}"


def meant(word: str, kind: SubmissionKind, cutoff: float) -> str | None:
    """Name the column that is most like a word, or ends with it; `cutoff` is that of difflib."""
    known = {column.header.lower(): column.header for column in columns(kind)}
    ends = [low for low in known if low.endswith(f".{word.lower()}")]
    near = ends or difflib.get_close_matches(word.lower(), known, n=1, cutoff=cutoff)
    return known[near[0]] if near else None
