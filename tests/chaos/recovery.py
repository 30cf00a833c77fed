"""How long the work of the killed lies about: what they held, who took it up, when it was settled.

The clock of a piece of work starts anew when whoever took it up is killed too, and when a store
or a link that was away comes back: nobody can work without.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections import defaultdict
from dataclasses import dataclass, field
from queue import Empty, Queue
from typing import Any

from redis.exceptions import RedisError
from sqlalchemy import or_, select

from service.domain.deliveries import digest_of
from service.errors import StoreError
from service.inbox import keys
from service.redis import connect
from service.store import schema
from service.store.database import Database

LOOK_SECONDS = 0.2


@dataclass
class Held:
    """One entity whose holder was killed."""

    entity: str
    fence: int
    at: float
    #: The fence rose or nothing was left to do: somebody else had it.
    taken_up_at: float | None = None


@dataclass
class Times:
    """Seconds, sorted."""

    taken_up: list[float] = field(default_factory=list)
    #: The same by a stricter clock, which only stands still while a store or a link is away.
    stricter: list[float] = field(default_factory=list)
    #: The same, with all that stood in the way meanwhile.
    in_all: list[float] = field(default_factory=list)
    settled: list[float] = field(default_factory=list)
    #: What waited longest by the stricter clock: (seconds, when it was killed, when taken up).
    slowest: tuple[float, float, float] = (0.0, 0.0, 0.0)
    #: Work that nobody has taken up.
    forgotten: list[str] = field(default_factory=list)


class Recovery:
    """Watches what the killed held; a context manager with a thread that looks."""

    def __init__(self, sql_url: str, redis_url: str) -> None:
        self._database = Database(sql_url, pool=2)
        self._redis = connect(redis_url, answer_seconds=0.5)
        self._held: list[Held] = []
        self._entries: list[tuple[bytes, float]] = []
        self._returns: list[float] = []
        self._outages: list[tuple[float, float]] = []
        #: Asked in the thread: a frozen database must not keep the mischief from thawing it.
        self._killed: Queue[tuple[float, list[int]]] = Queue()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="recovery", daemon=True)

    def __enter__(self) -> Recovery:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join(10)
        self._database.close()
        self._redis.connection_pool.disconnect()

    def away(self, seconds: float) -> None:
        """Note that a store or a link is back in so many seconds."""
        now = time.time()
        self._returns.append(now + seconds)
        self._outages.append((now, now + seconds))

    def note(self, target: str, pids: list[int], *, is_gone: bool) -> None:
        """Note what these processes held when they were killed or frozen, if one can ask."""
        if not is_gone or "door" in target or "PostgreSQL" in target:
            return
        self._killed.put((time.time(), pids))

    def _sample(self, at: float, pids: list[int]) -> None:
        """Ask what these had in their hands; nobody may answer while a store is away."""
        table, mine = schema.entities, [schema.entities.c.holder.like(f"%:{p}:%") for p in pids]
        with contextlib.suppress(StoreError), self._database.read() as tx:
            rows = tx.execute(select(table.c.entity, table.c.fence).where(or_(*mine))).all()
            self._held += [Held(row.entity, row.fence, at) for row in rows]
        with contextlib.suppress(RedisError, OSError):
            self._entries += [(digest, at) for digest in self._pending(set(pids))]

    def _pending(self, pids: set[int]) -> list[bytes]:
        """Find the deliveries that the dead had taken from the stream."""
        names = [
            bytes(info["name"]).decode()
            for info in self._redis.xinfo_consumers(keys.STREAM, keys.GROUP)
            if info["pending"]
        ]
        found = []
        for name in names:
            if not pids & {int(part) for part in name.split(":") if part.isdigit()}:
                continue
            pending = self._redis.xpending_range(
                keys.STREAM, keys.GROUP, min="-", max="+", count=500, consumername=name
            )
            for each in pending:
                entry_id = each["message_id"]
                entries: Any = self._redis.xrange(keys.STREAM, entry_id, entry_id)
                found += [digest_of(bytes(fields[b"body"])) for _, fields in entries]
        return found

    def _watch(self) -> None:
        while not self._stop.is_set():
            with contextlib.suppress(Empty):
                self._sample(*self._killed.get(timeout=LOOK_SECONDS))
            waiting = [each for each in self._held if each.taken_up_at is None]
            if waiting:
                with contextlib.suppress(StoreError):
                    self._look(waiting)

    def _look(self, waiting: list[Held]) -> None:
        table = schema.entities
        names = {each.entity for each in waiting}
        with self._database.read() as tx:
            rows = tx.execute(
                select(table.c.entity, table.c.fence, table.c.wanted, table.c.done).where(
                    table.c.entity.in_(names)
                )
            ).all()
        now, found = time.time(), {row.entity: row for row in rows}
        for each in waiting:
            row = found.get(each.entity)
            if row is not None and (row.fence > each.fence or row.wanted <= row.done):
                each.taken_up_at = now

    def times(self, settled: dict[str, list[float]], of_digest: dict[bytes, float]) -> Times:
        """Judge, given when the events of each entity, and each delivery, were settled."""
        times = Times()
        kills: dict[str, list[float]] = defaultdict(list)
        for each in self._held:
            kills[each.entity].append(each.at)
        for each in self._held:
            if each.taken_up_at is None:
                times.forgotten.append(each.entity)
                continue
            starts = [*kills[each.entity], *self._returns]
            waited = since(starts, each.at, each.taken_up_at)
            times.taken_up.append(waited)
            in_all = since(kills[each.entity], each.at, each.taken_up_at)
            times.in_all.append(in_all)
            began = each.taken_up_at - in_all
            strict = in_all - overlap(self._outages, began, each.taken_up_at)
            times.stricter.append(strict)
            times.slowest = max(times.slowest, (strict, each.at, each.taken_up_at))
            ends = [end for end in settled.get(each.entity, ()) if end > each.at]
            if ends:
                times.settled.append(since(starts, each.at, min(ends)))
        for name, at in self._entries:
            end = of_digest.get(name)
            if end is not None and end > at:
                times.settled.append(since([*self._returns], at, end))
        times.taken_up.sort()
        times.stricter.sort()
        times.in_all.sort()
        times.settled.sort()
        return times


def since(starts: list[float], kill: float, end: float) -> float:
    """Measure from the last thing that stood in the way."""
    return end - max([kill, *(start for start in starts if kill < start < end)])


def overlap(outages: list[tuple[float, float]], begin: float, end: float) -> float:
    """Add up how much of a span lies in any of these."""
    total = 0.0
    for start, stop in sorted(outages):
        total += max(0.0, min(stop, end) - max(start, begin))
        begin = max(begin, min(stop, end))
    return total
