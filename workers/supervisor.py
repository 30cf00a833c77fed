"""Starts the processes of a worker, starts them again when they end, and stops them together.

Any end of a child is an accident until we stop: RQ workers leave with exit code 0, too.
"""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from types import FrameType

import structlog

from service.embedded import tied

log = structlog.get_logger()

#: RQ lets a running job end: it stops by itself within 20 seconds.
GRACE_SECONDS = 60.0
LOOK_SECONDS = 0.2
LONGEST_REST_SECONDS = 5.0
STUCK_SECONDS = 30.0
#: Who lived this long is taken to have started well.
HEALTHY_SECONDS = 10.0


@dataclass
class Child:
    """One process and its fate."""

    kind: str
    process: subprocess.Popen[bytes] | None = None
    started_at: float = 0.0
    failures: int = 0
    start_again_at: float = field(default=0.0)

    def start(self) -> None:
        """Start the process in a session of its own: Ctrl-C reaches only the supervisor."""
        command = tied([sys.executable, "-m", "workers.child", self.kind], signal.SIGTERM)
        self.process = subprocess.Popen(command, start_new_session=True)
        self.started_at = time.monotonic()

    def watch(self) -> None:
        """Start it if it is due; note its end if it ended."""
        now = time.monotonic()
        if self.process is None:
            if now >= self.start_again_at:
                self.start()
            return
        code = self.process.poll()
        if code is None:
            return
        lived = now - self.started_at
        self.failures = 0 if lived > HEALTHY_SECONDS else self.failures + 1
        rest = min(LONGEST_REST_SECONDS, 0.2 * 2**self.failures)
        log.warning("worker_ended", kind=self.kind, code=code, again_in_seconds=rest)
        self.process, self.start_again_at = None, now + rest


class Supervisor:
    """Keeps one process of each kind running."""

    def __init__(self, kinds: Sequence[str]) -> None:
        self.children = [Child(kind) for kind in kinds]
        self._stop = threading.Event()
        self._looked_at = time.monotonic()

    @property
    def is_alive(self) -> bool:
        """It looked at its children a moment ago. That one of them waits is no reason to die."""
        return time.monotonic() - self._looked_at < STUCK_SECONDS

    def run(self) -> None:
        """Keep them running until SIGTERM or SIGINT; return when all are gone."""
        signal.signal(signal.SIGTERM, self._ask)
        signal.signal(signal.SIGINT, self._ask)
        while not self._stop.is_set():
            for child in self.children:
                child.watch()
            self._looked_at = time.monotonic()
            self._stop.wait(LOOK_SECONDS)
        self.stop()

    def stop(self) -> None:
        """Ask each once to stop; after the grace period, end them."""
        processes = [c.process for c in self.children if c.process is not None]
        for process in processes:
            process.terminate()
        until = time.monotonic() + GRACE_SECONDS
        for process in processes:
            try:
                process.wait(max(0.1, until - time.monotonic()))
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()

    def _ask(self, number: int, frame: FrameType | None) -> None:
        self._stop.set()
