"""Bounds how many refused signatures a source may send each minute.

It replaces a 401 by a 429 and nothing else: a valid signature is never limited, so a
forger behind the same proxy cannot shut Amili out.
"""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable

MOST_SOURCES = 10_000
WINDOW_SECONDS = 60.0


class RefusalLimit:
    """Counts refusals for each source in windows of a minute; memory is bounded."""

    def __init__(self, allowed: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._allowed = allowed
        self._clock = clock
        self._counts: OrderedDict[str, tuple[float, int]] = OrderedDict()

    def exceeded(self, source: str) -> bool:
        """Count one refusal; True when the source had too many of them."""
        now = self._clock()
        began, count = self._counts.pop(source, (now, 0))
        if now - began >= WINDOW_SECONDS:
            began, count = now, 0
        self._counts[source] = (began, count + 1)
        while len(self._counts) > MOST_SOURCES:
            self._counts.popitem(last=False)
        return count + 1 > self._allowed
