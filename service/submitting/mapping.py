"""Which column of a file is which of ours, as `--map` says: in words, or in a file of lines."""

from __future__ import annotations

import io
from collections.abc import Iterable, Iterator
from pathlib import Path

from service.errors import SubmissionRefused
from service.submitting.detecting import encoding_of

#: A word that begins with it names a file.
FILE = "@"
LARGEST_FILE = 1024 * 1024


def mapping_of(words: Iterable[str]) -> dict[str, str]:
    """Read `Fakturanr=invoiceNumber` words, and `@FILE` with such a word in each line.

    Raises SubmissionRefused for what is none.
    """
    found: dict[str, str] = {}
    for word in words:
        lines = read_file(word) if word.startswith(FILE) else [("--map", word, f", not {word!r}")]
        for place, line, shown in lines:
            header, sign, path = (part.strip() for part in line.rpartition("="))
            if not sign or not header or not path:
                raise SubmissionRefused(f"{place} takes HEADER=PATH{shown}.")
            if header in found:
                raise SubmissionRefused(f"{place} names {header!r} twice.")
            found[header] = path
    return found


def read_file(word: str) -> Iterator[tuple[str, str, str]]:
    """Give each line that is not empty, where it is, and nothing: it may be any file's.

    Raises SubmissionRefused.
    """
    for number, line in enumerate(text_of(word).split("\n"), start=1):
        if line.strip():
            yield f"--map {word!r}, line {number},", line, ""


def text_of(word: str) -> str:
    """Read the text of `@FILE`. Raises SubmissionRefused."""
    try:
        with Path(word.removeprefix(FILE)).open("rb") as stream:
            data = stream.read(LARGEST_FILE + 1)
    except OSError as exc:
        raise refused(word, f"the file cannot be read: {exc.strerror or 'error'}") from None
    except ValueError:
        raise refused(word, "no file has a NUL in its name") from None
    if len(data) > LARGEST_FILE:
        raise refused(word, "the file is too large: it takes lines HEADER=PATH") from None
    try:
        return data.decode(encoding_of(io.BytesIO(data)))
    except UnicodeDecodeError:
        raise refused(word, "this is no text file, or not UTF-8") from None


def refused(word: str, why: str) -> SubmissionRefused:
    """Make the error for a file."""
    return SubmissionRefused(f"--map {word!r}: {why}.")
