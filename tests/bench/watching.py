"""Memory of processes: what they hold now, what they held at most, and by kind."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from tests.bench.stage import Running

LOOK_SECONDS = 0.2
#: The kernel walks all pages to share them out: not at each look.
LOOKS_A_SHARE = 3
PEAK = "VmHWM:"
#: `python -m workers` supervises, the others are named for what they do.
NAMES = {"workers": "supervisor"}


@dataclass
class Watch:
    """Looks at the memory of processes and of their children, a few times a second.

    What a process held at most the kernel keeps, so that rare looks miss nothing but the last
    moments of one that ends.
    """

    running: Sequence[Running]
    #: The largest that any one process was.
    peak: int = 0
    #: All of them at once, what they share counted once.
    together: int = 0
    #: The largest of each kind.
    kinds: dict[str, int] = field(default_factory=dict)
    _stop: threading.Event = field(default_factory=threading.Event)

    def __enter__(self) -> Watch:
        self._thread = threading.Thread(target=self._run, name="watch", daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def _run(self) -> None:
        looks = 0
        while not self._stop.wait(LOOK_SECONDS):
            self.look(shares=looks % LOOKS_A_SHARE == 0)
            looks += 1

    def look(self, *, shares: bool) -> None:
        """Look once."""
        tree = [process for each in self.running for process in each.tree()]
        for process in tree:
            held = highest(process)
            kind = kind_of(process)
            self.peak = max(self.peak, held)
            self.kinds[kind] = max(self.kinds.get(kind, 0), held)
        if shares:
            self.together = max(self.together, sum(map(share, tree)))


def kind_of(process: psutil.Process) -> str:
    """Name what a process of the product is: by its words, and a fork by its parent's."""
    with contextlib.suppress(psutil.Error):
        words = process.cmdline()
        parent = process.parent()
        forked = parent is not None and words and parent.cmdline() == words
        name = NAMES.get(words[-1], words[-1].rpartition(".")[2]) if words else "gone"
        return f"{name}, a job's child" if forked else name
    return "gone"


def highest(process: psutil.Process) -> int:
    """Read the most bytes that a process ever held (`ru_maxrss`); what it holds, if unknown."""
    with contextlib.suppress(OSError):
        for line in Path(f"/proc/{process.pid}/status").read_text().splitlines():
            if line.startswith(PEAK):
                return 1024 * int(line.split()[1])
    return resident(process)


def resident(process: psutil.Process) -> int:
    """Read the resident memory of a process; 0 of one that is gone."""
    with contextlib.suppress(psutil.Error):
        return int(process.memory_info().rss)
    return 0


def share(process: psutil.Process) -> int:
    """Read a process's memory, what it shares with others divided among them."""
    with contextlib.suppress(psutil.Error):
        full = process.memory_full_info()
        return int(getattr(full, "pss", full.rss))
    return 0
