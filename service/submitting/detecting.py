"""Which encoding a file has whose writer does not say: its bytes tell."""

from __future__ import annotations

import codecs
import re
from typing import BinaryIO

from service.submitting.text import CONTROL, PIECE, UTF8_MARK

#: Norwegian letters in UTF-8; in windows-1252 they would be such as `Ã¦`, which nobody writes.
UTF8_LETTERS = re.compile(rb"\xc3[\x85\x86\x98\xa5\xa6\xb8]")


def encoding_of(stream: BinaryIO) -> str:
    """Name the encoding of a file that can be read twice.

    A byte order mark means utf-8-sig; else what is all UTF-8 is that, and the rest windows-1252.
    Bytes that are no text, or UTF-8 but for a few, are called utf-8: reading them then tells the
    place of the first wrong one, where windows-1252 would let mangled names pass.
    """
    stream.seek(0)
    if stream.read(len(UTF8_MARK)) == UTF8_MARK:
        return "utf-8-sig"
    return "utf-8" if is_utf8(stream) or is_strange(stream) else "windows-1252"


def is_utf8(stream: BinaryIO) -> bool:
    """Say whether every byte is UTF-8."""
    stream.seek(0)
    decoder = codecs.getincrementaldecoder("utf-8")()
    try:
        while data := stream.read(PIECE):
            decoder.decode(data)
        decoder.decode(b"", final=True)
    except UnicodeDecodeError:
        return False
    return True


def is_strange(stream: BinaryIO) -> bool:
    """Say whether bytes that are not all UTF-8 are no windows-1252 either."""
    stream.seek(0)
    last = b""
    while data := stream.read(PIECE):
        if CONTROL.search(data) or UTF8_LETTERS.search(last + data):
            return True
        last = data[-1:]
    return False
