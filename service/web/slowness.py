"""Ends requests whose bodies come too slowly, with one timer for all of them.

`asyncio.timeout` sets and cancels a timer for each request, which costs the door more than the
signature does. Nearly every body is there before anybody looks at the clock.
"""

from __future__ import annotations

import asyncio
from types import TracebackType
from typing import Any

from service.errors import BodyTooSlow
from service.intake.running import RunningLoop


class Reading:
    """One body that is being read; raises BodyTooSlow in its task when that takes too long."""

    __slots__ = ("_is_slow", "_slowness", "_task")

    def __init__(self, slowness: Slowness) -> None:
        self._slowness = slowness
        self._is_slow = False

    def __enter__(self) -> None:
        self._task = self._slowness.watch(self)

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._slowness.forget(self)
        # Somebody else may have cancelled the task as well: that goes before.
        if self._is_slow and self._task.uncancel() == 0 and kind is asyncio.CancelledError:
            raise BodyTooSlow from error

    def end(self) -> None:
        """Break the reading off."""
        self._is_slow = True
        self._task.cancel()


class Slowness:
    """Breaks off what takes longer than `seconds`, up to a quarter of that late."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        #: By when each must have ended; the oldest first, for all have the same time.
        self._readings: dict[Reading, float] = {}
        self._timer: asyncio.TimerHandle | None = None
        self._loop = RunningLoop()

    def bounded(self) -> Reading:
        """Bound what is done in a `with` block."""
        return Reading(self)

    def watch(self, reading: Reading) -> asyncio.Task[Any]:
        """Begin to watch one; return the task that reads."""
        loop = self._loop.get()
        task = asyncio.current_task(loop)
        if task is None:
            raise RuntimeError("a body is read in a task")
        self._readings[reading] = loop.time() + self._seconds
        if self._timer is None:
            self._timer = loop.call_later(self._seconds / 4, self._look)
        return task

    def forget(self, reading: Reading) -> None:
        """Watch one no more."""
        self._readings.pop(reading, None)

    def _look(self) -> None:
        loop = self._loop.get()
        for reading, until in list(self._readings.items()):
            if until > loop.time():
                break
            self.forget(reading)
            reading.end()
        # With nothing to watch nothing ticks; the next body sets the timer again.
        self._timer = loop.call_later(self._seconds / 4, self._look) if self._readings else None
