"""Measures doors: turn by turn, each on a stage of its own."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import psutil

from service.embedded import EmbeddedRedis, free_port
from tests.bench import bodies, load
from tests.bench.doors import Door
from tests.bench.stage import Broken, Running, Stage, listens, until
from tests.bench.watching import highest

WARM_SECONDS = 1
#: Unique requests for each that the warm-up promises.
SPARE = 1.8


@dataclass(frozen=True)
class Turn:
    """One contestant's one turn."""

    loaded: load.Loaded
    #: Of the door's processes, for each request.
    cpu_us: float
    #: What the door's processes and its Redis have used of a core.
    door_cores: float
    redis_cores: float
    #: The most bytes that a process of the door has held.
    peak: int


@dataclass
class Open:
    """A door that listens, and the requests prepared for it."""

    door: Door
    running: Running
    aim: load.Aim
    seed: int
    stage: Stage
    redis: EmbeddedRedis
    written: int = 0
    #: Answered with 2xx, by all runs together; and under way at a run's end, at most.
    taken: int = 0
    under_way: int = 0
    #: No request was sent twice: what was taken can be counted.
    countable: bool = True

    @property
    def redis_url(self) -> str:
        """Where its Redis is."""
        return self.redis.url

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
        return self._timed(lambda: load.flat_out(self.aim, seconds, connections), connections)

    def steady(self, rate: float, seconds: float, connections: int) -> Turn:
        """Load it at a constant rate."""
        self.prepare(int(rate * seconds) + 1000)
        return self._timed(lambda: load.steady(self.aim, rate, seconds, connections), connections)

    def demand_kept(self) -> None:
        """Raise Broken when it kept less than it said, or more than it can have got."""
        if self.door.kept is None or not self.countable:
            return
        kept = self.door.kept(self.stage, self.redis_url)
        if not self.taken <= kept <= self.taken + self.under_way:
            raise Broken(f"{self.door.name}: took {self.taken} and kept {kept}")

    def _timed(self, run: Callable[[], load.Loaded], connections: int) -> Turn:
        redis = self.redis.process.pid
        before, redis_before = self.running.cpu_seconds(), cpu_of(redis)
        loaded = run()
        cpu, redis_cpu = self.running.cpu_seconds() - before, cpu_of(redis) - redis_before
        self.taken += loaded.good
        self.under_way += connections
        self.countable &= not loaded.exhausted
        seconds = max(loaded.requests / loaded.rate, 1e-9) if loaded.rate else 1.0
        return Turn(
            loaded,
            cpu_us=1e6 * cpu / max(loaded.requests, 1),
            door_cores=cpu / seconds,
            redis_cores=redis_cpu / seconds,
            peak=max(map(highest, self.running.tree()), default=0),
        )


@contextmanager
def opened(door: Door, seed: int) -> Iterator[Open]:
    """Start a door with a Redis of its own."""
    with Stage() as stage:
        redis = stage.keep(EmbeddedRedis(stage.folder / "redis", durable=door.durable))
        port = free_port()
        running = door.start(stage, redis, port)
        until(lambda: listens(port), running)
        aim = load.Aim(port, door.signer.path, stage.folder / "requests")
        yield Open(door, running, aim, seed, stage, redis)


def fastest(door: Door, seconds: int, connections: int) -> Turn:
    """Give a door one turn: a new process, a warm-up, then as fast as it goes."""
    with opened(door, seed()) as it:
        expected = it.flat_out(WARM_SECONDS, connections, 20_000).loaded.rate
        turn = it.flat_out(seconds, connections, expected)
        if turn.loaded.exhausted:  # it was slow only while it warmed up
            turn = it.flat_out(seconds, connections, 2 * turn.loaded.rate)
        return checked(it, turn)


def at_rate(door: Door, rate: float, seconds: int, connections: int) -> Turn:
    """Give a door one turn at a constant rate."""
    with opened(door, seed()) as it:
        it.steady(rate / 2, WARM_SECONDS, connections)
        return checked(it, it.steady(rate, seconds, connections))


def checked(it: Open, turn: Turn) -> Turn:
    """Return a turn that means something; raise Broken for one that does not."""
    demand_sound(it.door, turn.loaded)
    it.demand_kept()
    return turn


def cpu_of(pid: int) -> float:
    """Read the processor time of one process."""
    times = psutil.Process(pid).cpu_times()
    return float(times.user + times.system)


def demand_sound(door: Door, loaded: load.Loaded) -> None:
    """Raise Broken when not everything was answered with 2xx."""
    if not loaded.is_sound:
        why = loaded.note or ("requests ran out" if loaded.exhausted else "no answers")
        raise Broken(f"{door.name}: {loaded.good} good of {loaded.requests}: {why}")


def seed() -> int:
    """Make a seed that no turn had before."""
    return time.time_ns()
