"""Opens files and bodies, and gives their records in whatever format they are."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import BinaryIO

from service.domain.submissions import SubmissionKind
from service.errors import SubmissionRefused
from service.submitting.csvrows import read_csv
from service.submitting.detecting import encoding_of
from service.submitting.jsonfiles import Document, read_lines
from service.submitting.options import DETECT, Format, Options, meaning
from service.submitting.problems import Problem, refuse
from service.submitting.records import Record
from service.submitting.text import Text, refuse_workbook

#: How a body of our API is read. A byte order mark is let pass.
BODY = Options(Format.JSON, encoding="utf-8-sig")
Progress = Callable[[int], None]


class Source:
    """A stream of one kind of items, and the digest of what it says."""

    def __init__(
        self,
        stream: BinaryIO,
        kind: SubmissionKind,
        options: Options,
        progress: Progress | None = None,
    ) -> None:
        self._text = Text(stream, options.encoding, meaning(kind, options), progress)
        self._kind = kind
        self._options = options

    def __iter__(self) -> Iterator[Record]:
        if self._options.format is Format.CSV:
            yield from read_csv(self._text, self._kind, self._options)
        elif self._options.format is Format.NDJSON:
            yield from read_lines(self._text, self._options.skip_empty_lines)
        else:
            yield from Document(self._text, self._kind)

    def digest(self) -> bytes:
        """Return SHA-256 of kind, options and bytes; only when all was read."""
        return self._text.digest() if self._text.ended else b""


def settled(path: Path, options: Options) -> Options:
    """Settle format and encoding by a file's name and bytes; of the same file, always the same.

    Raises SubmissionRefused for a workbook, and for what `opened` and `Options.resolved` refuse.
    """
    with opened(path) as stream:
        refuse_workbook(stream.read(8))
        options = options.resolved(path)
        if options.encoding != DETECT:
            return options
        return replace(options, encoding=encoding_of(stream))


@contextmanager
def opened(path: Path) -> Iterator[BinaryIO]:
    """Open a file. Raises SubmissionRefused for what is none, or cannot be read to its end."""
    if path.exists() and not path.is_file():
        what = "a directory" if path.is_dir() else "no plain file, which can be read twice"
        raise SubmissionRefused(problems=[Problem(0, 0, "", f"this is {what}")])
    if "\0" in str(path):
        raise refuse(0, 0, "no file has a NUL in its name")
    try:
        with path.open("rb") as stream:
            yield stream
    except OSError as exc:
        raise refuse(0, 0, f"the file cannot be read: {exc.strerror or 'error'}") from None
