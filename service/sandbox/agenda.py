"""What is to happen later: effects of a 202, batches that leave the queue.

Time is given from outside, so that a test with a clock of its own decides when.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable
from itertools import count

#: Takes the time at which it was due, so that a late look cannot shift the history.
Happening = Callable[[float], None]


class Agenda:
    """Happenings by due time; those of one time keep their order."""

    def __init__(self) -> None:
        self._heap: list[tuple[float, int, Happening]] = []
        self._order = count()

    def add(self, due: float, happening: Happening) -> None:
        """Let this happen at `due`."""
        heapq.heappush(self._heap, (due, next(self._order), happening))

    def advance(self, now: float) -> None:
        """Let everything happen that is due."""
        while self._heap and self._heap[0][0] <= now:
            due, _, happening = heapq.heappop(self._heap)
            happening(due)
