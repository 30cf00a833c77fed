"""Ids as somebody outside writes them, who may write anything."""

from __future__ import annotations

from service.errors import RecordMissing

LONGEST = 200


def known(text: str) -> str:
    """Return an id that a record may have. Raises RecordMissing for one that none can have.

    NUL and lone surrogates, which databases refuse, are in no id that we keep.
    """
    if 0 < len(text) <= LONGEST and text.isprintable():
        return text
    raise RecordMissing("There is no record with such an id.")
