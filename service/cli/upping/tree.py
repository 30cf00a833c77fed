"""The processes that `up` starts: kept running, and ended together and in order.

Each has a session of its own, so that Ctrl-C reaches only `up`, and a log file, so that nothing
is written over what the user looks at. What it says of itself goes to `say`.
"""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from service.cli.upping import family
from service.embedded import private_log, tied
from service.errors import AmiliEventsError

LONGEST_REST_SECONDS = 15.0
#: Whose first life is shorter than this never started: most likely a setting is wrong.
STILLBORN_SECONDS = 5.0
HEALTHY_SECONDS = 30.0
LOOK_SECONDS = 0.05
LAST_LINES = 8
LAST_BYTES = 4096

Say = Callable[[str], None]


class NotStarted(AmiliEventsError):
    """A process ended as soon as it was started."""


@dataclass
class Child:
    """One process, and how often it had to be started."""

    name: str
    command: list[str]
    log: Path
    #: How long it may take to end, before it is ended.
    grace: float
    environ: Mapping[str, str] = field(default_factory=dict)
    process: subprocess.Popen[bytes] | None = None
    starts: int = 0
    failures: int = 0
    started_at: float = 0.0
    again_at: float = 0.0

    @property
    def is_running(self) -> bool:
        """It lives, as far as we know."""
        return self.process is not None and self.process.poll() is None

    def start(self) -> None:
        """Start it; it ends when we do, however we end. Main thread only."""
        with private_log(self.log) as log:
            self.process = subprocess.Popen(
                tied(self.command, signal.SIGTERM),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env={**os.environ, **self.environ},
                start_new_session=True,
            )
        self.starts += 1
        self.started_at = time.monotonic()

    def watch(self, say: Say) -> None:
        """Start it again when it ended. Raises NotStarted when it never really lived."""
        now = time.monotonic()
        if self.process is None:
            if self.starts and now >= self.again_at:
                self.start()
                say(f"{self.name} runs again")
            return
        code = self.process.poll()
        if code is None:
            return
        lived = now - self.started_at
        if self.starts == 1 and lived < STILLBORN_SECONDS:
            raise NotStarted(self.obituary(code))
        self.failures = 0 if lived > HEALTHY_SECONDS else self.failures + 1
        rest = min(LONGEST_REST_SECONDS, 0.5 * 2.0**self.failures)
        self.process, self.again_at = None, now + rest
        last = self.last_words()[-1:]
        said = f": {last[0]}" if last else ""
        say(f"{self.name} ended {reason(code)}, starts again in {rest:.1f} s{said}")

    def obituary(self, code: int) -> str:
        """Say how it ended, its last words, and what to do."""
        words = "".join(f"\n    {line}" for line in self.last_words()) or " nothing."
        return (
            f"the {self.name} did not start (it ended {reason(code)}). Its last words:{words}\n"
            f"Mend what they name and run `up` again; all of it is in {self.log}."
        )

    def last_words(self) -> list[str]:
        """Read the end of its log."""
        try:
            with self.log.open("rb") as file:
                file.seek(max(0, self.log.stat().st_size - LAST_BYTES))
                text = file.read().decode(errors="replace")
        except OSError:
            return []
        return [line for line in text.splitlines() if line.strip()][-LAST_LINES:]


class Tree:
    """All children of one `up`."""

    def __init__(self, children: Sequence[Child]) -> None:
        self.children = list(children)

    def start(self, *names: str) -> None:
        """Start the children of these names, those that there are."""
        for child in self.children:
            if child.name in names:
                child.start()

    def watch(self, say: Say) -> None:
        """Look after every child once."""
        for child in self.children:
            child.watch(say)

    def stop(self, groups: Sequence[Sequence[str]], is_hurried: Callable[[], bool]) -> None:
        """Ask each group in turn to end, each child once; who does not is ended."""
        for group in groups:
            ending = [child for child in self.children if child.name in group and child.is_running]
            for child in ending:
                terminate(child)
            until = time.monotonic()
            for child in ending:
                wait(child, until + child.grace, is_hurried)


def terminate(child: Child) -> None:
    """Ask a child to end."""
    if child.process is not None:
        child.process.terminate()


def wait(child: Child, until: float, is_hurried: Callable[[], bool]) -> None:
    """Wait for a child's end; past its time, or in a hurry, end it and its descendants."""
    while child.process is not None and child.is_running:
        if is_hurried() or time.monotonic() > until:
            family.kill(child.process.pid)
            child.process.wait()
            return
        time.sleep(LOOK_SECONDS)


def reason(code: int) -> str:
    """Put an exit code into words."""
    if code < 0:
        return f"by {signal.Signals(-code).name}"
    return f"with exit code {code}"
