"""How a file is to be read: its format, its letters, its columns."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from pathlib import PurePath
from typing import Any

from service.domain.submissions import SubmissionKind
from service.errors import SubmissionRefused

#: Encodings in which every byte, or nearly, is a letter.
ONE_BYTE = ("windows-1252", "iso-8859-1", "iso-8859-15")
ENCODINGS = ("utf-8", "utf-8-sig", *ONE_BYTE, "utf-16")
#: The bytes of the file tell: UTF-8 with or without a mark, else windows-1252.
DETECT = "detect"
DELIMITERS: Mapping[str, str] = {"tab": "\t", "comma": ",", "semicolon": ";", "pipe": "|"}


class Format(StrEnum):
    """How items are written down."""

    #: As Amili's API takes it, `{"invoices": [...]}`, or the list alone.
    JSON = "json"
    #: One item a line.
    NDJSON = "ndjson"
    #: One item a row, below a header of paths.
    CSV = "csv"


ENDINGS: Mapping[str, Format] = {
    ".json": Format.JSON,
    ".ndjson": Format.NDJSON,
    ".jsonl": Format.NDJSON,
    ".csv": Format.CSV,
}


@dataclass(frozen=True, slots=True)
class Options:
    """How a file is to be read. Raises SubmissionRefused when it makes no sense."""

    #: None: as the file's ending says.
    format: Format | None = None
    #: One character, or its name: tab, comma, semicolon, pipe.
    delimiter: str = ","
    #: Amounts are written 4500,00.
    decimal_comma: bool = False
    encoding: str = "utf-8"
    skip_empty_lines: bool = False
    #: From a header of the file to a path of ours; `_` leaves the column out.
    mapping: Mapping[str, str] = field(default_factory=dict)
    #: CSV may have dates such as 31.12.2026, and spaces between thousands, 4 500,00.
    norwegian: bool = False

    def __post_init__(self) -> None:
        """Read names, refuse nonsense."""
        object.__setattr__(self, "delimiter", DELIMITERS.get(self.delimiter, self.delimiter))
        if self.delimiter not in DELIMITERS.values():
            raise SubmissionRefused(f"The delimiter is one of: {', '.join(DELIMITERS)}.")
        if self.encoding not in (*ENCODINGS, DETECT):
            raise SubmissionRefused(f"The encoding is one of: {', '.join((*ENCODINGS, DETECT))}.")

    def resolved(self, path: PurePath) -> Options:
        """Settle the format by the file's ending. Raises SubmissionRefused when it tells none."""
        found = self.format or ENDINGS.get(path.suffix.lower())
        if found is None:
            endings = ", ".join(ENDINGS)
            raise SubmissionRefused(f"The file ends in none of {endings}: give --format.")
        return replace(self, format=found)


def norwegian_excel(mapping: Mapping[str, str] | None = None) -> Options:
    """Return the options for either sort of CSV that a Norwegian Excel writes."""
    return Options(Format.CSV, ";", True, DETECT, True, mapping or {}, norwegian=True)


def options_of(mapping: Mapping[str, str], *, excel: bool, **given: Any) -> Options:
    """Put options together: those given that are not None win. Raises SubmissionRefused."""
    defaults = norwegian_excel(mapping) if excel else Options(mapping=mapping)
    return replace(defaults, **{name: each for name, each in given.items() if each is not None})


def meaning(kind: SubmissionKind, options: Options) -> bytes:
    """Write down what, besides its bytes, says what a file means; nothing is left to detect."""
    parts: dict[str, Any] = {
        "kind": kind,
        "format": options.format,
        "delimiter": options.delimiter,
        "decimalComma": options.decimal_comma,
        "encoding": options.encoding,
        "skipEmptyLines": options.skip_empty_lines,
        "mapping": sorted(options.mapping.items()),
    }
    if options.norwegian:
        parts["norwegian"] = True
    return json.dumps(parts).encode() + b"\n"
