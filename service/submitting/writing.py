"""Writes items into a file that can be handed over again: those that failed, for correction."""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, TextIO

from service.amili.texts import decode, encode
from service.domain.submissions import SubmissionKind
from service.errors import SubmissionRefused
from service.submitting.columns import leaves, pattern_of, short
from service.submitting.options import Format, Options
from service.submitting.records import Path

#: The member, or column, that says why; it is left out when the file is read.
ERRORS = "_errors"
#: Where a spreadsheet would begin a formula, should it split the cell there.
FORMULA = re.compile(r"""(^|[\t\r\n,;|"'])(\s*)(?=[=+\-@\t])""")


@dataclass(frozen=True, slots=True)
class Line:
    """An item's JSON text and, unless empty, what was wrong with it."""

    body: str = field(repr=False)
    errors: str = ""


def write(file: TextIO, kind: SubmissionKind, options: Options, lines: Sequence[Line]) -> None:
    """Write items as `read` reads them with these options, but for the mapping: headers are ours.

    Open the file with `newline=""` and the options' encoding. Null, and lists and texts that are
    empty, are left out of CSV. Raises SubmissionRefused when CSV cannot hold a member.
    """
    if options.format is Format.CSV:
        write_csv(file, kind, options, lines)
    elif options.format is Format.NDJSON:
        file.writelines(f"{tree}\n" for tree in trees(lines))
    else:
        file.write(f"{{{json.dumps(kind)}: [\n")
        for number, tree in enumerate(trees(lines)):
            file.write(f"{',' if number else ' '}{tree}\n")
        file.write("]}\n")


def trees(lines: Sequence[Line]) -> Iterator[str]:
    """Give each item's JSON with its errors inside."""
    for line in lines:
        more = {ERRORS: line.errors} if line.errors else {}
        yield encode(decode(line.body.encode()) | more) if more else line.body


def write_csv(file: TextIO, kind: SubmissionKind, options: Options, lines: Sequence[Line]) -> None:
    """Write a row for each item, with a column for each member that any of them has."""
    order = {pattern: at for at, pattern in enumerate(leaves(kind))}
    paths: set[Path] = set()
    for line in lines:
        paths |= flat(line, kind).keys()
    columns = sorted(paths, key=lambda path: (order[pattern_of(path)], numbers(path)))
    with_errors = any(line.errors for line in lines)
    writer = csv.writer(file, delimiter=options.delimiter)
    writer.writerow([*map(short, columns), *([ERRORS] if with_errors else [])])
    for line in lines:
        cells = flat(line, kind)
        row = [cell(cells.get(path), options.decimal_comma) for path in columns]
        writer.writerow([*row, *([harmless(line.errors)] if with_errors else [])])


def harmless(words: str) -> str:
    """Write words of Amili's so that no spreadsheet takes them for a formula.

    For what is never read back. The other cells stay as the creditor gave them: reading could not
    tell a guard from what was there before.
    """
    return FORMULA.sub(r"\1\2'", words)


def flat(line: Line, kind: SubmissionKind) -> Mapping[Path, Any]:
    """List the members of an item by path. Raises SubmissionRefused for one without a column."""
    found: dict[Path, Any] = {}
    waiting: list[tuple[Path, Any]] = [((), decode(line.body.encode()))]
    while waiting:
        path, value = waiting.pop()
        if isinstance(value, dict):
            waiting += [((*path, name), each) for name, each in value.items()]
        elif isinstance(value, list):
            waiting += [((*path, at), each) for at, each in enumerate(value)]
        elif value is not None and value != "":
            if pattern_of(path) not in leaves(kind):
                raise SubmissionRefused("An item has members without a column: use --format ndjson")
            found[path] = value
    return found


def cell(value: Any, decimal_comma: bool) -> str:
    """Write a value as its cell."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, Decimal) and decimal_comma:
        return str(value).replace(".", ",")
    return str(value)


def numbers(path: Path) -> list[int]:
    """Sort the second debtor behind the first."""
    return [part for part in path if isinstance(part, int)]
