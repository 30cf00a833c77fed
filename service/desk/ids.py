"""Ids as somebody outside writes them, who may write anything."""

from __future__ import annotations

from service.errors import RecordMissing
from service.store import retention
from service.store.database import Tx

LONGEST = 200


def known(text: str) -> str:
    """Return an id that a record may have. Raises RecordMissing for one that none can have.

    NUL and lone surrogates, which databases refuse, are in no id that we keep.
    """
    if 0 < len(text) <= LONGEST and text.isprintable():
        return text
    raise RecordMissing("There is no record with such an id.")


def no_event(tx: Tx) -> RecordMissing:
    """Say that there is no event of an id, and from when on one can know."""
    removed = retention.removed_before(tx)
    words = "There is no event with this id."
    if removed is not None:
        words += (
            f" Settled ones that were received before {removed:%Y-%m-%d %H:%M} UTC were removed."
        )
    return RecordMissing(words)
