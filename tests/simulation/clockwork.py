"""Processes on one virtual clock: threads of which exactly one runs at a time.

Whoever waits hands the baton to the process that is to wake first; nobody runs in parallel, and
time jumps. So one seed gives one course of events, however fast this machine is.
"""

from __future__ import annotations

import asyncio
import itertools
import math
import threading
from collections.abc import Callable, Coroutine
from typing import Any

FOREVER = math.inf
#: The stack of a simulated process is shallow.
MOST_TURNS = 200_000


class Crashed(SystemExit):
    """This process is killed here: nothing of it runs any more."""


class Ended(SystemExit):
    """The simulation is over."""


class Gone(BaseException):
    """A dead process tries to do something: it cannot."""


class Process:
    """One simulated process: its thread, its baton, its event loop."""

    def __init__(self, clockwork: Clockwork, name: str) -> None:
        self.clockwork = clockwork
        self.name = name
        self.wake_at = FOREVER
        self.is_dead = False
        self.lives = 0
        self.baton = threading.Lock()
        self.baton.acquire()
        self.loop: VirtualLoop | None = None
        #: A server waits for others for ever; a job may not.
        self.is_server = False
        #: Told of the loop of a job before it runs.
        self.on_loop: Callable[[VirtualLoop], None] | None = None
        self.thread: threading.Thread | None = None

    def wait(self, until: float) -> None:
        """Let others run until then, or until somebody wakes this process."""
        if self.is_dead:
            raise Gone
        self.wake_at = until
        self.clockwork.hand_on(self)

    def pause(self, seconds: float) -> None:
        """Let time pass for this process."""
        self.wait(self.clockwork.now + seconds)

    def wake(self) -> None:
        """Have it run now instead of later."""
        self.wake_at = min(self.wake_at, self.clockwork.now)

    def crash(self) -> None:
        """End the process here."""
        self.is_dead = True
        raise Crashed

    def run(self, work: Coroutine[Any, Any, Any]) -> Any:
        """Run a coroutine to its end, as `asyncio.run` would."""
        self.loop = VirtualLoop(self)
        if self.on_loop is not None:
            self.on_loop(self.loop)
        try:
            return self.loop.run_until_complete(work)
        finally:
            bury(self.loop, is_dead=self.is_dead)
            self.loop = None

    def live(self, body: Callable[[Process], None], rest: Callable[[], float]) -> None:
        """Run `body`; after a crash begin anew, `rest` seconds later, remembering nothing."""
        while True:
            self.is_dead, self.lives = False, self.lives + 1
            try:
                body(self)
                return
            except (Crashed, Gone):
                self.is_dead = False
                self.pause(rest())


class Clockwork:
    """The virtual clock, and who runs next."""

    def __init__(self, start: float) -> None:
        self.now = start
        self.is_over = False
        self.turns = 0
        self.switches = 0
        #: What went wrong in the simulation itself.
        self.faults: list[BaseException] = []
        self.processes: list[Process] = []
        self.running: Process | None = None

    def spawn(self, name: str, body: Callable[[Process], None]) -> Process:
        """Add a process that begins with its first turn."""
        process = Process(self, name)
        process.wake_at = self.now
        process.thread = threading.Thread(target=self._run, args=(process, body), daemon=True)
        self.processes.append(process)
        process.thread.start()
        return process

    def adopt(self, name: str) -> Process:
        """Make the calling thread a process; it has the baton."""
        process = Process(self, name)
        self.processes.append(process)
        self.running = process
        return process

    def hand_on(self, giver: Process) -> None:
        """Let the next one run; return when it is the giver's turn again."""
        if self.is_over:
            raise Ended
        self.turns += 1
        if self.turns > MOST_TURNS:
            self.is_over = True
            raise RuntimeError("the simulation does not come to an end")
        taker = self._next()
        self.now = max(self.now, taker.wake_at)
        if taker is giver:
            return
        self.switches += 1
        self.running = taker
        taker.baton.release()
        giver.baton.acquire()
        if self.is_over:
            raise Ended

    def end(self) -> None:
        """End every other process; called by the adopted one."""
        self.is_over = True
        for process in self.processes:
            if process.thread is not None and process.thread.is_alive():
                self.running = process
                process.is_dead = True
                process.baton.release()
                process.thread.join(10)
        for process in self.processes:
            process.thread = None

    def _next(self) -> Process:
        taker = min(self.processes, key=lambda each: each.wake_at)
        if taker.wake_at == FOREVER:
            self.is_over = True
            raise RuntimeError("everybody waits for ever")
        return taker

    def _run(self, process: Process, body: Callable[[Process], None]) -> None:
        process.baton.acquire()
        try:
            if not self.is_over:
                body(process)
        except (Ended, Gone):
            return
        except BaseException as exc:  # told by whoever waits for the end
            self.faults.append(exc)
        if self.is_over:
            return
        process.wake_at = FOREVER
        taker = self.processes[0] if self.faults else self._next()
        self.now = max(self.now, taker.wake_at if taker.wake_at != FOREVER else self.now)
        self.running = taker
        taker.baton.release()


# --- asyncio on the virtual clock ------------------------------------------------


class CountedTask(asyncio.Task[Any]):
    """A task whose place in a set does not depend on where it lies in memory."""

    _serial = itertools.count()

    def __init__(self, *given: Any, **named: Any) -> None:
        self._hash = next(self._serial)
        super().__init__(*given, **named)

    def __hash__(self) -> int:
        return self._hash


class VirtualLoop(asyncio.BaseEventLoop):
    """An event loop whose time is the clockwork's; nothing in it waits for a socket."""

    def __init__(self, process: Process) -> None:
        super().__init__()
        self._process = process
        self._serial = itertools.count()
        #: What `BaseEventLoop` asks for events: there are none, time passes.
        self._selector = self
        #: Unix seconds as a float are no finer than a quarter of a microsecond.
        self._clock_resolution = 1e-5
        self._late = 0.0
        #: Its process died: nobody is left to look at what its tasks came to.
        self.is_abandoned = False
        self.set_task_factory(self._task)
        self.set_exception_handler(self._told)

    def time(self) -> float:
        """Return the virtual time."""
        return self._process.clockwork.now + self._late

    def select(self, timeout: float | None) -> list[Any]:
        """Let time pass; a dead process's time passes for nobody else."""
        if self._process.is_dead or self._process.clockwork.is_over:
            self._late += timeout or 0.0
        elif timeout is None and self._process.is_server:
            self._process.wait(FOREVER)
        elif timeout is None:
            raise RuntimeError("this loop waits for something that never comes")
        elif timeout > 0:
            self._process.pause(timeout)
        return []

    def run_in_executor(self, executor: Any, func: Any, *args: Any) -> Any:  # type: ignore[override]
        """Run it at once: there are no threads inside a process."""
        done = self.create_future()
        try:
            done.set_result(func(*args))
        except Exception as exc:
            done.set_exception(exc)
        return done

    def _task(self, loop: Any, work: Any, **named: Any) -> Any:
        task = CountedTask(work, loop=loop, **named)
        task._hash = next(self._serial)
        return task

    def _told(self, loop: Any, context: dict[str, Any]) -> None:
        """Keep what nobody caught, unless it is how a process dies."""
        error = context.get("exception")
        if self.is_abandoned or self._process.is_dead:
            return
        if error is not None and not isinstance(error, Crashed | Gone | Ended):
            self._process.clockwork.faults.append(error)

    def _process_events(self, events: Any) -> None:
        return

    def _write_to_self(self) -> None:
        return


def bury(loop: VirtualLoop, *, is_dead: bool) -> None:
    """End what still runs in a loop; what is dead can do nothing on its way out."""
    process = loop._process
    loop.is_abandoned = is_dead
    was, process.is_dead = process.is_dead, True
    try:
        for _ in range(10):
            tasks = asyncio.all_tasks(loop)
            if not tasks:
                break
            for task in tasks:
                task.cancel()
            loop.run_until_complete(asyncio.wait(tasks))
            for task in tasks:
                if not task.cancelled():
                    task.exception()
        loop.run_until_complete(loop.shutdown_asyncgens())
    finally:
        process.is_dead = was
        loop.close()
