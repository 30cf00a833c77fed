"""CSV: a header of paths, then one item a row."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from service.domain.submissions import SubmissionKind
from service.submitting.cells import BadCell, read_cell
from service.submitting.columns import type_of
from service.submitting.header import Target, read_header
from service.submitting.lines import Lines, too_long
from service.submitting.options import Options
from service.submitting.problems import refuse
from service.submitting.records import MOST_CHARACTERS, Flaw, Path, Place, Record
from service.submitting.text import Text

#: Behind it, nobody knows where the next row begins.
LOST = "field larger"
#: What the csv module says, and what is to be done about it.
ADVICE: Mapping[str, str] = {
    "expected after": "a quotation mark in a quoted cell: write it twice",
    "unexpected end": "a quotation mark is opened here and never closed",
    LOST: "a cell is too long: is a quotation mark opened and not closed?",
    "new-line character": "a line ends in a carriage return alone: save the file again",
}


class Rows:
    """The rows of a file: where each begins, and its cells or what is wrong with it."""

    def __init__(self, text: Text, delimiter: str) -> None:
        self._lines = Lines(text)
        self._characters = 0
        self._reader = csv.reader(self._counted(), strict=True, delimiter=delimiter)

    def __iter__(self) -> Iterator[tuple[int, list[str] | str]]:
        while True:
            begin = self._lines.number + 1
            self._characters = 0
            try:
                yield begin, next(self._reader)
            except StopIteration:
                return
            except csv.Error as exc:
                if LOST in str(exc):
                    raise refuse(begin, 1, advice(LOST)) from None
                yield begin, advice(str(exc))

    def _counted(self) -> Iterator[str]:
        begin = 1
        for line in self._lines:
            begin = begin if self._characters else self._lines.number
            self._characters += len(line)
            if self._characters > MOST_CHARACTERS + 1:
                raise too_long(begin)
            yield line


def read_csv(text: Text, kind: SubmissionKind, options: Options) -> Iterator[Record]:
    """Give the items of a file. Raises SubmissionRefused where it cannot be read on."""
    targets: list[Target] | None = None
    for line, cells in Rows(text, options.delimiter):
        if isinstance(cells, str):
            if targets is None:
                raise refuse(line, 1, cells)
            yield broken(line, cells)
        elif not any(cell.strip() for cell in cells):
            if not options.skip_empty_lines:
                yield broken(line, "an empty line: remove it, or use --skip-empty-lines")
        elif targets is None:
            targets = read_header(cells, line, kind, options)
        elif len(cells) != len(targets):
            more = "more" if len(cells) > len(targets) else "fewer"
            message = f"{len(cells)} cells, {more} than the {len(targets)} columns of the header"
            yield broken(line, message)
        else:
            yield Row(line, cells, targets, kind).record(options)


def broken(line: int, message: str) -> Record:
    """Make the record of a row that is none."""
    return Record(line, None, [Flaw((), message)], lambda _: (line, 0))


class Row:
    """One row of cells, on its way to an item."""

    def __init__(
        self, line: int, cells: Sequence[str], targets: Sequence[Target], kind: SubmissionKind
    ) -> None:
        self._line = line
        self._cells = cells
        self._targets = targets
        self._kind = kind
        self._columns: dict[Path, int] = {}
        self._flaws: list[Flaw] = []

    def record(self, options: Options) -> Record:
        """Read every cell that is not empty."""
        item: dict[str, Any] = {}
        pairs = zip(self._cells, self._targets, strict=True)
        for number, (cell, target) in enumerate(pairs, start=1):
            said = cell.strip()
            if not said:
                continue
            if target.nameless:
                self._flaws.append(Flaw((), f"cell {number} is in a column without a name"))
            if target.path is not None:
                self._columns[target.path] = number
                self._put(item, target.path, said, options)
        whole = self._listed(item, ())
        return Record(self._line, whole, self._flaws, self._place)

    def _put(self, item: dict[Any, Any], path: Path, said: str, options: Options) -> None:
        inside: dict[Any, Any] = item
        for part in path[:-1]:
            inside = inside.setdefault(part, {})
        try:
            inside[path[-1]] = read_cell(said, type_of(self._kind, path), options)
        except BadCell as exc:
            inside[path[-1]] = None
            self._flaws.append(Flaw(path, str(exc)))

    def _listed(self, value: Any, path: Path) -> Any:
        """Turn objects whose members are numbers into lists."""
        if not isinstance(value, dict):
            return value
        inside = {key: self._listed(each, (*path, key)) for key, each in value.items()}
        if not any(isinstance(key, int) for key in inside):
            return inside
        last = max(inside)
        for gap in (at for at in range(last) if at not in inside):
            here = (*path, gap)
            self._flaws.append(Flaw(here, f"is empty, but {path[-1]}.{last} is not: close the gap"))
        return [inside.get(at, {}) for at in range(last + 1)]

    def _place(self, path: Path) -> Place:
        """Say in which cell a member stands; column 0 when it stands in none."""
        return self._line, self._columns.get(path, 0)


def advice(said: str) -> str:
    """Say what to do about an error of the csv module."""
    return next((words for sign, words in ADVICE.items() if sign in said), "this is no CSV")
