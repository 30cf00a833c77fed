"""Ctrl-C and SIGTERM: the first asks to stop, the second to hurry."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType


class Interrupted(KeyboardInterrupt):
    """The user asked to stop before everything was up."""


class Asked:
    """How often the user asked us to stop."""

    def __init__(self) -> None:
        self.event = threading.Event()
        self._times = 0
        self._at_once = False

    @property
    def to_stop(self) -> bool:
        """Somebody asked."""
        return self._times > 0

    @property
    def to_hurry(self) -> bool:
        """Somebody asked again."""
        return self._times > 1

    def listen(self) -> None:
        """Take the signals; a terminal that closes is a Ctrl-C too, unless `nohup` said not."""
        signal.signal(signal.SIGINT, self._note)
        signal.signal(signal.SIGTERM, self._note)
        if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:
            signal.signal(signal.SIGHUP, self._note)

    @contextmanager
    def at_once(self) -> Iterator[None]:
        """Raise Interrupted where the signal comes, for steps that ask nobody."""
        if self.to_stop:
            raise Interrupted
        self._at_once = True
        try:
            yield
        finally:
            self._at_once = False

    def _note(self, number: int, frame: FrameType | None) -> None:
        self._times += 1
        self.event.set()
        if self._at_once:
            self._at_once = False  # once: the clean-up that follows is not interrupted
            raise Interrupted
