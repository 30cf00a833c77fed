"""The API's own limit: so many calls in a second, then 429 until there is room again.

The documentation has the 429 but neither numbers nor Retry-After, so all of this is [assumed].
"""

from __future__ import annotations

import math


class Limit:
    """A bucket that holds what one second allows, and fills with time."""

    def __init__(self) -> None:
        self._room: float | None = None
        self._looked = 0.0

    def take(self, rate: float, now: float) -> int | None:
        """Let a call pass, or return after how many whole seconds it may come again.

        `rate` is calls a second; 0 lets everything pass.
        """
        if not rate:
            self._room = None
            return None
        most = max(1.0, rate)
        grown = most if self._room is None else self._room + (now - self._looked) * rate
        self._room, self._looked = min(most, grown), now
        if self._room >= 1:
            self._room -= 1
            return None
        return math.ceil((1 - self._room) / rate)
