"""The stage of one measurement: a folder, and processes that are all ended with it.

Each is started in a session of its own, is told when we are gone, and is ended by its process id:
asked first, then killed, and with it whatever it has started.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import TypeVar

import psutil

from service.embedded import tied

T = TypeVar("T")
CHECKOUT = Path(__file__).parents[2]
PYTHON = sys.executable
START_SECONDS = 60.0
STOP_SECONDS = 10.0


class Broken(Exception):
    """A measurement could not be made; the words say why."""


@dataclass
class Running:
    """One process that we started, and its log."""

    name: str
    popen: subprocess.Popen[bytes]
    log: Path
    asked: bool = False

    def tree(self) -> list[psutil.Process]:
        """Return the process and everything below it, from the top."""
        with contextlib.suppress(psutil.NoSuchProcess):
            top = psutil.Process(self.popen.pid)
            return [top, *top.children(recursive=True)]
        return []

    def cpu_seconds(self) -> float:
        """Add up the processor time of the tree, children that have ended included."""
        total = 0.0
        for process in self.tree():
            with contextlib.suppress(psutil.NoSuchProcess):
                times = process.cpu_times()
                total += times.user + times.system + times.children_user + times.children_system
        return total

    def freeze(self) -> None:
        """Stop the whole tree where it stands."""
        for process in self.tree():
            with contextlib.suppress(psutil.NoSuchProcess):
                process.suspend()

    def thaw(self) -> None:
        """Let it go on."""
        for process in self.tree():
            with contextlib.suppress(psutil.NoSuchProcess):
                process.resume()

    def said(self, size: int = 2000) -> str:
        """Return the end of the log."""
        return self.log.read_text(errors="replace")[-size:]

    def ask(self) -> None:
        """Ask it once to end."""
        if self.popen.poll() is None and not self.asked:
            self.thaw()
            self.popen.send_signal(signal.SIGTERM)
        self.asked = True

    def end(self) -> None:
        """Ask it to end; kill what is left of it after a while."""
        self.ask()
        tree = self.tree()
        _, left = psutil.wait_procs(tree, timeout=STOP_SECONDS)
        for process in left:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()
        self.popen.wait(STOP_SECONDS)


class Stage:
    """A folder and its processes; a context manager that leaves neither behind."""

    def __init__(self) -> None:
        self.folder = Path()
        self._running: list[Running] = []
        self._servers: list[object] = []
        self._kept = ExitStack()

    def __enter__(self) -> Stage:
        self.folder = Path(tempfile.mkdtemp(prefix="amili-bench-"))
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        try:
            for each in self._running:
                each.ask()
            for each in reversed(self._running):
                each.end()
        finally:
            self._kept.close()
            shutil.rmtree(self.folder, ignore_errors=True)

    def keep(self, context: AbstractContextManager[T]) -> T:
        """Enter a server that is left once all processes have ended."""
        entered = self._kept.enter_context(context)
        self._servers.append(entered)
        return entered

    def server(self, kind: type[T]) -> T:
        """Return the server of this kind that is kept. Raises Broken when there is none."""
        for each in self._servers:
            if isinstance(each, kind):
                return each
        raise Broken(f"no {kind.__name__} on this stage")

    def start(
        self, name: str, command: Sequence[object], environment: Mapping[str, object]
    ) -> Running:
        """Start a program; its first word is a path. Nothing of our own settings is inherited."""
        log = self.folder / f"{name}-{len(self._running)}.log"
        inherited = {k: v for k, v in os.environ.items() if not k.startswith("AMILI_")}
        given = {name: str(value) for name, value in environment.items()}
        with log.open("ab") as out:
            popen = subprocess.Popen(
                tied([str(word) for word in command], signal.SIGTERM),
                env=inherited | {"PYTHONPATH": str(CHECKOUT)} | given,
                cwd=CHECKOUT,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=out,
                start_new_session=True,  # Ctrl-C reaches us alone, and we end the others
            )
        running = Running(name, popen, log)
        self._running.append(running)
        return running


def until(
    true: Callable[[], object], running: Running | None = None, seconds: float = START_SECONDS
) -> None:
    """Wait for something. Raises Broken when it does not come, or its process ends first."""
    end = time.monotonic() + seconds
    while not true():
        if running is not None and running.popen.poll() is not None:
            raise Broken(f"{running.name} ended:\n{running.said()}")
        if time.monotonic() > end:
            said = f":\n{running.said()}" if running is not None else ""
            raise Broken(f"waited {seconds:g} s in vain{said}")
        time.sleep(0.02)


def listens(port: int) -> bool:
    """Say whether somebody takes connections there."""
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
        return True
    return False
