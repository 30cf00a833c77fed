"""Who breaks everything: a seeded deck of kills, freezes and broken links, dealt one by one.

Each kind of harm is in the deck; it is shuffled anew when it is empty, so that every kind comes.
"""

from __future__ import annotations

import contextlib
import random
import signal
import subprocess
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass

import psutil

from tests.chaos.recovery import Recovery
from tests.chaos.stage import Stage

KILL, TERM, STOP = signal.SIGKILL, signal.SIGTERM, signal.SIGSTOP
#: A store is away or frozen for up to so long, and a link broken.
AWAY_SECONDS = 2.5

#: A store that was asked to end is gone by then.
DYING_SECONDS = 3.0

Find = Callable[[Stage], list[psutil.Process]]
#: Whom it strikes, with which signal, and how often it is in the deck.
PROCESSES: dict[str, tuple[Find, dict[signal.Signals, int]]] = {
    "horse": (Stage.horses, {KILL: 5, TERM: 1, STOP: 2}),
    "RQ parent": (lambda s: s.children("events", "actions"), {KILL: 3, TERM: 1, STOP: 1}),
    "sweeper": (lambda s: s.children("sweeper"), {KILL: 2, TERM: 1, STOP: 1}),
    "supervisor": (Stage.supervisors, {KILL: 1, TERM: 1, STOP: 1}),
    "door process": (Stage.doors, {KILL: 2, TERM: 1, STOP: 1}),
    "PostgreSQL session": (Stage.sessions, {KILL: 1, TERM: 2}),
}
WHOLE = {"worker, whole": {KILL: 2}, "door, whole": {KILL: 1, TERM: 1}}
STORES = {
    "Redis": {KILL: 2, TERM: 1, STOP: 1},
    "PostgreSQL": {KILL: 1, TERM: 1, signal.SIGQUIT: 1, STOP: 1},
}
LINKS = {"cut": 2, "delay": 1, "black hole": 1}


@dataclass(frozen=True)
class Harm:
    """One card of the deck."""

    target: str
    signal: signal.Signals | None = None
    link: str = ""

    @property
    def label(self) -> str:
        """Name it in the table."""
        return f"{self.target} {self.link or (self.signal.name if self.signal else '')}"


class Mischief:
    """Deals one card after the other; `revive` and `undo` are its housekeeping."""

    def __init__(self, stage: Stage, recovery: Recovery, seed: int) -> None:
        self._stage = stage
        self._recovery = recovery
        self._chance = random.Random(seed)
        self._deck: list[Harm] = []
        self._later: list[tuple[float, Callable[[], None]]] = []
        self.done: Counter[str] = Counter()
        #: What was done when (time.time()).
        self.log: list[tuple[float, str]] = []
        #: Signals that reached a process; broken links do not count.
        self.kills = 0

    def run(self, is_over: Callable[[], bool], *, every: float, kills: int) -> None:
        """Do harm about so often, until the load is over and there were so many kills.

        After twice as many it ends all the same: nobody would ever be done.
        """
        while not (is_over() and self.kills >= kills) and self.kills < 2 * kills:
            until = time.monotonic() + self._chance.uniform(0.2, 1.8) * every
            while time.monotonic() < until:
                self._undo()
                self._stage.revive()
                time.sleep(0.05)
            self._strike(self._next())

    def _next(self) -> Harm:
        if not self._deck:
            self._deck = deck(self._stage)
            self._chance.shuffle(self._deck)
        return self._deck.pop()

    def _undo(self) -> None:
        """Do what is due: thaw, start again, heal."""
        now = time.monotonic()
        due = [work for when, work in self._later if when <= now]
        self._later = [(when, work) for when, work in self._later if when > now]
        for work in due:
            work()

    def _after(self, seconds: float, work: Callable[[], None]) -> None:
        self._later.append((time.monotonic() + seconds, work))

    def _strike(self, harm: Harm) -> None:
        if harm.link:
            self._break(harm)
        elif harm.target in STORES and harm.signal is not None:
            self._strike_store(harm.target, harm.signal)
        elif harm.target in WHOLE and harm.signal is not None:
            self._strike_whole(harm.target, harm.signal)
        elif harm.signal is not None and not self._strike_one(harm.target, harm.signal):
            return
        self.done[harm.label] += 1
        self.log.append((time.time(), harm.label))
        self.kills += not harm.link

    def _strike_one(self, target: str, number: signal.Signals) -> bool:
        find, _ = PROCESSES[target]
        found = find(self._stage)
        patience = time.monotonic() + 1.0
        while not found and time.monotonic() < patience:  # a horse lives for a moment
            time.sleep(0.01)
            found = find(self._stage)
        if not found:
            return False
        victim = self._chance.choice(found)
        try:
            victim.send_signal(number)
        except psutil.NoSuchProcess:
            return False
        if number is STOP:
            frozen = self._stage.variant.lease_seconds + 3.0
            self._after(frozen, lambda: thaw(victim))
            if self._stage.postgres is None:
                # SQLite has one writer: who is frozen while it writes keeps all others waiting.
                self._recovery.away(frozen)
        self._recovery.note(target, [victim.pid], is_gone=number is not TERM)
        return True

    def _strike_whole(self, target: str, number: signal.Signals) -> None:
        part = self._chance.choice(self._stage.workers)
        if target.startswith("door") and self._stage.door is not None:
            part = self._stage.door
        tree = self._stage.house.tree(part)
        for process in tree if number is KILL else tree[:1]:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.send_signal(number)
        self._recovery.note(target, [each.pid for each in tree], is_gone=number is KILL)

    def _strike_store(self, target: str, number: signal.Signals) -> None:
        redis, postgres = self._stage.redis, self._stage.postgres
        seconds = self._chance.uniform(0.3, AWAY_SECONDS)
        self._recovery.away(seconds)
        if number is STOP:
            server = redis if target == "Redis" or postgres is None else postgres
            if server.running:
                server.pause()
                self._after(seconds, lambda: server.resume() if server.running else None)
            return
        process = redis.process
        if target != "Redis" and postgres is not None:
            process = postgres.process
            number = signal.SIGINT if number is TERM else number  # TERM waits for its clients
        process.send_signal(number)
        with contextlib.suppress(subprocess.TimeoutExpired):  # one that is frozen ends later
            process.wait(DYING_SECONDS)
        self._after(seconds, self._restart)

    def _restart(self) -> None:
        self._stage.restart_stores()
        self._recovery.away(0)

    def _break(self, harm: Harm) -> None:
        link = self._stage.links[harm.target.removeprefix("link to ")]
        seconds = self._chance.uniform(0.3, AWAY_SECONDS)
        if harm.link == "cut":
            link.cut(self._chance.choice([0.3, 1.0]))
            return
        self._recovery.away(seconds)
        if harm.link == "delay":
            link.delay(self._chance.uniform(0.05, 0.4))
            self._after(seconds, lambda: link.delay(0))
        else:
            link.blackhole(seconds)


def deck(stage: Stage) -> list[Harm]:
    """Make one card for each way in which each can be harmed, some more than once."""
    signals = {name: ways for name, (_, ways) in PROCESSES.items()} | WHOLE | STORES
    if stage.postgres is None:
        signals = {name: ways for name, ways in signals.items() if "PostgreSQL" not in name}
    cards = [
        Harm(name, number)
        for name, ways in signals.items()
        for number, count in ways.items()
        for _ in range(count)
    ]
    for name in stage.links:
        cards += [
            Harm(f"link to {name}", link=way) for way, count in LINKS.items() for _ in range(count)
        ]
    return cards


def thaw(process: psutil.Process) -> None:
    """Let a frozen process go on, if it is still there."""
    with contextlib.suppress(psutil.NoSuchProcess):
        process.resume()
