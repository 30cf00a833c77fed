"""Text from a stream of bytes, piece by piece: counted, hashed, and never wrongly decoded."""

from __future__ import annotations

import codecs
import hashlib
import re
from collections.abc import Callable
from typing import BinaryIO

from service.errors import SubmissionRefused
from service.submitting.options import ONE_BYTE
from service.submitting.problems import refuse

PIECE = 64 * 1024
SIGNED = "--encoding utf-8-sig"
#: How zip archives, such as newer workbooks, and older workbooks of Excel begin.
WORKBOOKS = (b"PK\x03\x04", b"PK\x05\x06", b"\xd0\xcf\x11\xe0")
#: What no text has, in whatever encoding of one byte a letter; DOS ended its files with 0x1a.
CONTROL = re.compile(rb"[\x00-\x08\x0e-\x19\x1b-\x1f\x7f]")
UTF8_MARK, UTF16_MARKS = codecs.BOM_UTF8, (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)


class Text:
    """The text of a stream. Raises SubmissionRefused at the first byte that is none."""

    def __init__(
        self,
        stream: BinaryIO,
        encoding: str,
        seed: bytes,
        progress: Callable[[int], None] | None = None,
    ) -> None:
        self.encoding = encoding
        self.ended = False
        self._stream = stream
        self._progress = progress
        self._hash = hashlib.sha256(seed)
        self._bytes = 0
        self._letters = False
        self._line, self._column = 1, 1
        self._decoder = codecs.getincrementaldecoder(encoding)()
        self._suspicion = Suspicion() if encoding in ONE_BYTE else None

    def read(self) -> str:
        """Return the next piece; empty: the end."""
        while not self.ended:
            data = self._stream.read(PIECE)
            if self._bytes == 0:
                self._look_at_mark(data)
            self._bytes += len(data)
            self._hash.update(data)
            self.ended = not data
            piece = self._decode(data)
            if self._suspicion is not None:
                self._suspicion.look(data, piece, self._line)
            self._look_for_nul(piece)
            self._letters = self._letters or not piece.isascii()
            self._line, self._column = moved(self._line, self._column, piece)
            if self._progress is not None:
                self._progress(self._bytes)
            if piece:
                return piece
        return ""

    def digest(self) -> bytes:
        """Return SHA-256 of the seed and of every byte; call it at the end."""
        return self._hash.digest()

    def _decode(self, data: bytes) -> str:
        try:
            return self._decoder.decode(data, final=not data)
        except UnicodeDecodeError as exc:
            raise self._wrong(exc) from None

    def _wrong(self, exc: UnicodeDecodeError) -> SubmissionRefused:
        before = exc.object[: exc.start].decode(self.encoding, "replace")
        self._look_for_nul(before)
        line, column = moved(self._line, self._column, before)
        at = self._bytes - len(exc.object) + exc.start
        message = f"byte {at} is not {self.encoding}"
        option = ": name the file's own with --encoding"
        if self.encoding != "utf-16" and CONTROL.search(exc.object):
            message, option = f"{message}: this is no text file", ""
        elif self.encoding.startswith("utf-8") and (self._letters or not before.isascii()):
            message, option = f"{message}, but letters before it are: mend it there", ""
        elif self.encoding.startswith("utf-8"):
            option = ": a file of Windows or of an older Excel needs --encoding windows-1252"
        return refuse(line, column, message, option)

    def _look_at_mark(self, data: bytes) -> None:
        refuse_workbook(data)
        if self.encoding != "utf-8-sig" and data.startswith(UTF8_MARK):
            raise refuse(1, 1, "the file begins with a byte order mark", f": use {SIGNED}")
        if self.encoding == "utf-16" and data and not data.startswith(UTF16_MARKS):
            raise refuse(1, 1, "the file is not UTF-16: it has no byte order mark")
        if self.encoding != "utf-16" and data.startswith(UTF16_MARKS):
            raise refuse(1, 1, "this is UTF-16: save it as UTF-8", ", or use --encoding utf-16")

    def _look_for_nul(self, piece: str) -> None:
        if "\0" in piece:
            line, column = moved(self._line, self._column, piece[: piece.index("\0")])
            message = "a NUL character: this is no text file, or UTF-16"
            raise refuse(line, column, message, " (--encoding utf-16)")


class Suspicion:
    """Finds UTF-8 that is read as something else: every byte is a letter there, but which?"""

    def __init__(self) -> None:
        self._decoder = codecs.getincrementaldecoder("utf-8")()
        self._possible = True
        self._first = 0

    def look(self, data: bytes, piece: str, line: int) -> None:
        """Look at the next bytes; at the end, raise SubmissionRefused when all were UTF-8."""
        if not self._first and not data.isascii():
            first = next(at for at, letter in enumerate(piece) if not letter.isascii())
            self._first = line + piece.count("\n", 0, first)
        if self._possible:
            try:
                self._decoder.decode(data, final=not data)
            except UnicodeDecodeError:
                self._possible = False
        if not data and self._possible and self._first:
            raise refuse(self._first, 0, "the file is UTF-8: leave --encoding away")


def refuse_workbook(data: bytes) -> None:
    """Raise SubmissionRefused when a file that begins so is a workbook."""
    if data.startswith(WORKBOOKS):
        raise refuse(0, 0, "this is an Excel workbook: save it as CSV UTF-8")


def moved(line: int, column: int, over: str) -> tuple[int, int]:
    """Say at which line and column one stands after reading on over a text."""
    lines = over.count("\n")
    if not lines:
        return line, column + len(over)
    return line + lines, len(over) - over.rindex("\n")
