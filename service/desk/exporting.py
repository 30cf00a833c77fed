"""Settlements as they come, page by page, and then as a table, CSV or JSON.

They are kept on disk meanwhile, since the columns are known only when the last one has come.
"""

from __future__ import annotations

import csv
import json
import os
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Self, TextIO

from service.amili.texts import decode
from service.desk.settling import KNOWN, Totals, cell, members
from service.errors import ConfigError


class Collected:
    """Settlements that were read; a context manager, whose end forgets them."""

    def __init__(self) -> None:
        self._file: IO[str] = tempfile.TemporaryFile("w+", encoding="ascii")  # noqa: SIM115
        self._seen: set[str] = set()
        self._totals = Totals()
        self.count = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, at: TracebackType | None
    ) -> None:
        self._file.close()

    def add(self, raw: str) -> None:
        """Keep one settlement: its JSON text, on one line."""
        record = decode(raw.encode())
        self._totals.add(record)
        self._seen |= {path for path, _ in members(record)}
        self._file.write(f"{raw}\n")
        self.count += 1

    @property
    def columns(self) -> tuple[str, ...]:
        """Name every member that was seen: those that are known first, then by name."""
        known = [name for name in KNOWN if name in self._seen]
        return (*known, *sorted(self._seen.difference(KNOWN)))

    @property
    def totals(self) -> dict[str, dict[str, str]]:
        """Give currency → member → sum."""
        return self._totals.told()

    def raws(self) -> Iterator[str]:
        """Give back each settlement's JSON text, as they came."""
        self._file.flush()
        self._file.seek(0)
        for line in self._file:
            yield line.rstrip("\n")

    def rows(self) -> Iterator[dict[str, Any]]:
        """Give each settlement as its members by dotted path."""
        for raw in self.raws():
            yield dict(members(decode(raw.encode())))

    def write_json(self, file: TextIO) -> None:
        """Write `data`, numbers as they came, and `totals`."""
        file.write('{"data": [')
        for number, raw in enumerate(self.raws()):
            file.write(f"{',' if number else ''}\n{raw}")
        file.write(f'\n], "totals": {json.dumps(self.totals)}}}\n')

    def write_csv(self, file: TextIO) -> None:
        """Write a header and a row for each; open the file with `newline=""`."""
        writer = csv.writer(file)
        columns = self.columns or KNOWN
        writer.writerow(map(cell, columns))
        for row in self.rows():
            writer.writerow([cell(row.get(name)) for name in columns])


def writer_for(path: Path) -> Callable[[Collected, TextIO], None]:
    """Choose the form by the file's ending. Raises ConfigError."""
    forms = {".csv": Collected.write_csv, ".json": Collected.write_json}
    form = forms.get(path.suffix.lower())
    if form is None:
        raise ConfigError(f"{path}: the file's name ends in .csv or .json, which says its form")
    return form


def demand_free(path: Path, *, force: bool) -> None:
    """Raise ConfigError when a file stands there that nobody said may be overwritten."""
    if path.exists() and not force:
        raise ConfigError(f"{path} exists: give another name, or --force to overwrite it")


@contextmanager
def replacing(path: Path, *, force: bool) -> Iterator[TextIO]:
    """Open a file that takes its name only when all is written; readable by the owner only."""
    demand_free(path, force=force)
    handle, temporary = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    try:
        with open(handle, "w", encoding="utf-8", newline="") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        demand_free(path, force=force)
        os.replace(temporary, path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise
