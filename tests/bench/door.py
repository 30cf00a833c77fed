"""Measures doors: turn by turn, each on a stage of its own."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from service.embedded import EmbeddedRedis, free_port
from tests.bench import bodies, load
from tests.bench.doors import Door
from tests.bench.stage import Broken, Running, Stage, listens, until

WARM_SECONDS = 1
#: Unique requests for each that the warm-up promises.
SPARE = 1.8


@dataclass(frozen=True)
class Turn:
    """One contestant's one turn."""

    loaded: load.Loaded
    #: Of the door's processes, for each request.
    cpu_us: float


@dataclass
class Open:
    """A door that listens, and the requests prepared for it."""

    door: Door
    running: Running
    aim: load.Aim
    seed: int
    redis_url: str
    written: int = 0

    def prepare(self, count: int) -> None:
        """Write so many requests that were never sent."""
        first = self.written
        signer = self.door.signer
        made = (signer.request(self.door.body(self.seed, first + n)) for n in range(count))
        bodies.write(self.aim.file, made)
        self.written += count

    def flat_out(self, seconds: int, connections: int, expected: float) -> Turn:
        """Load it as fast as it goes."""
        self.prepare(int(expected * seconds * SPARE) + 1000)
        return self._timed(lambda: load.flat_out(self.aim, seconds, connections))

    def steady(self, rate: float, seconds: float, connections: int) -> Turn:
        """Load it at a constant rate."""
        self.prepare(int(rate * seconds) + 1000)
        return self._timed(lambda: load.steady(self.aim, rate, seconds, connections))

    def _timed(self, run: Callable[[], load.Loaded]) -> Turn:
        before = self.running.cpu_seconds()
        loaded = run()
        cpu = self.running.cpu_seconds() - before
        return Turn(loaded, 1e6 * cpu / max(loaded.requests, 1))


@contextmanager
def opened(door: Door, seed: int) -> Iterator[Open]:
    """Start a door with a Redis of its own."""
    with Stage() as stage:
        redis = stage.keep(EmbeddedRedis(stage.folder / "redis", durable=door.durable))
        port = free_port()
        running = door.start(stage, redis, port)
        until(lambda: listens(port), running)
        aim = load.Aim(port, door.signer.path, stage.folder / "requests")
        yield Open(door, running, aim, seed, redis.url)


def fastest(door: Door, seconds: int, connections: int) -> Turn:
    """Give a door one turn: a new process, a warm-up, then as fast as it goes."""
    with opened(door, seed()) as it:
        expected = it.flat_out(WARM_SECONDS, connections, 20_000).loaded.rate
        turn = it.flat_out(seconds, connections, expected)
        if turn.loaded.exhausted:  # it was slow only while it warmed up
            turn = it.flat_out(seconds, connections, 2 * turn.loaded.rate)
        return checked(door, turn)


def at_rate(door: Door, rate: float, seconds: int, connections: int) -> Turn:
    """Give a door one turn at a constant rate."""
    with opened(door, seed()) as it:
        it.steady(rate / 2, WARM_SECONDS, connections)
        return checked(door, it.steady(rate, seconds, connections))


def checked(door: Door, turn: Turn) -> Turn:
    """Return a turn that means something; raise Broken for one that does not."""
    demand_sound(door, turn.loaded)
    return turn


def demand_sound(door: Door, loaded: load.Loaded) -> None:
    """Raise Broken when not everything was answered with 2xx."""
    if not loaded.is_sound:
        why = loaded.note or ("requests ran out" if loaded.exhausted else "no answers")
        raise Broken(f"{door.name}: {loaded.good} good of {loaded.requests}: {why}")


def seed() -> int:
    """Make a seed that no turn had before."""
    return time.time_ns()
