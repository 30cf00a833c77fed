"""Where the time goes: py-spy beside a loaded door and a working worker.

Each recording leaves a flame graph to look at (`door.svg`, `worker.svg`), and folded stacks, which
are summed up by function.
"""

from __future__ import annotations

import re
import signal
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg

from tests.bench import door as doorstep
from tests.bench import doors, hands, setting_up, work
from tests.bench.hands import bench_of
from tests.bench.stage import Broken, Running, Stage

PY_SPY = setting_up.HOME / "contestants" / "bin" / "py-spy"
#: Samples a second; recordings end with what they record.
RATE, LONGEST_SECONDS = 200, 600
WRITE_SECONDS = 60
#: Functions that are told.
MOST = 10
OURS = re.compile(r"\((service|workers)/")

Shares = list[tuple[str, float]]


def door(folder: Path, seconds: int, connections: int) -> str:
    """Record our door as fast as it goes; return folded stacks."""
    with doorstep.opened(doors.OURS, doorstep.seed()) as it:
        expected = it.flat_out(doorstep.WARM_SECONDS, connections, 20_000).loaded.rate
        with recorded(it.stage, it.running, folder / "door.svg") as folded:
            it.flat_out(seconds, connections, expected)
        return folded.read_text()


def worker(folder: Path, postgres_url: str, events: int, limit: float) -> str:
    """Record one worker of ours, all its processes, while Amili answers at once."""
    with (
        bench_of(postgres_url, durable=True, latency_ms=0) as bench,
        psycopg.connect(bench.database_url, autocommit=True) as session,
    ):
        running = work.warm(bench, hands.OURS, session, 1)
        with recorded(bench.stage, running[0], folder / "worker.svg") as folded:
            work.measured(bench, hands.OURS, session, running, events, limit)
        return folded.read_text()


@contextmanager
def recorded(stage: Stage, running: Running, picture: Path) -> Iterator[Path]:
    """Record a process and those below it; afterwards picture and the folded stacks are there."""
    if not PY_SPY.exists():
        raise Broken("no py-spy here")
    folded = stage.folder / f"{picture.stem}.folded"
    words = [PY_SPY, "record", "--pid", running.popen.pid, "--subprocesses", "--nonblocking"]
    often = ["--rate", RATE, "--duration", LONGEST_SECONDS]
    spies = [
        stage.start("py-spy", [*words, *often, "--format", form, "--output", path], {})
        for form, path in (("flamegraph", picture.resolve()), ("raw", folded))
    ]
    yield folded
    for spy in spies:
        spy.popen.send_signal(signal.SIGINT)
    for spy in spies:
        spy.popen.wait(WRITE_SECONDS)
        if not folded.exists():
            raise Broken(f"py-spy: {spy.said()}")


def shares(folded: str, named: Callable[[list[str]], str]) -> Shares:
    """Give each sample to what its stack is named for; return the largest shares."""
    found: Counter[str] = Counter()
    for line in folded.splitlines():
        stack, _, count = line.rpartition(" ")
        frames = [frame.rpartition(":")[0] + ")" for frame in stack.split(";") if "(" in frame]
        if frames:  # a process that runs no Python yet has none
            found[named(frames)] += int(count)
    total = sum(found.values())
    return [(name, count / total) for name, count in found.most_common(MOST)]


def leaf_of(frames: list[str]) -> str:
    """Name a stack for the function in which it ends."""
    return frames[-1]


def ours_in(frames: list[str]) -> str:
    """Name a stack for the innermost function of ours: on whose behalf others work."""
    return next((each for each in reversed(frames) if OURS.search(each)), "outside of our code")
