"""A model of the Redis commands that the inbox uses: pure, on a clock that is given.

Answers have the form that redis-py gives them; `test_redis_model` compares it with a real server.
The scripts are told apart by their text and written once more in Python.
"""

from __future__ import annotations

import fnmatch
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

from redis.exceptions import ResponseError

from service.inbox import appending, epoch, stream

Fields = dict[bytes, bytes]
Id = tuple[int, int]


@dataclass
class Pending:
    """An entry in a consumer's hands."""

    consumer: str
    since: float


@dataclass
class Group:
    """A consumer group: what it was given last, and what is not acknowledged."""

    last: Id = (0, 0)
    pending: dict[Id, Pending] = field(default_factory=dict)


@dataclass
class Log:
    """One stream."""

    entries: dict[Id, Fields] = field(default_factory=dict)
    last: Id = (0, 0)
    groups: dict[str, Group] = field(default_factory=dict)


class RedisModel:
    """The state of one Redis; `clock` tells Unix milliseconds."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._values: dict[str, tuple[Any, float | None]] = {}
        self._logs: dict[str, Log] = {}

    # --- values ---------------------------------------------------------------

    def get(self, name: str) -> bytes | None:
        """GET."""
        found = self._live(name)
        return None if found is None else bytes(found)

    def set(
        self, name: str, value: Any, *, px: float | None = None, nx: bool = False
    ) -> bool | None:
        """SET with PX and NX."""
        if nx and self._live(name) is not None:
            return None
        ends = None if px is None else self._clock() + float(px)
        self._values[name] = (raw(value), ends)
        return True

    def delete(self, *names: str) -> int:
        """DEL, and UNLINK."""
        there = [name for name in set(names) if self._live(name) is not None or name in self._logs]
        for name in there:
            self._values.pop(name, None)
            self._logs.pop(name, None)
        return len(there)

    def lrange(self, name: str, first: int, last: int) -> list[bytes]:
        """LRANGE with indexes that are not negative."""
        return list(self._live(name) or [])[first : last + 1]

    def scan(self, cursor: int, match: str, count: int) -> tuple[int, list[bytes]]:
        """SCAN in one step."""
        found = [name for name in self._values if fnmatch.fnmatchcase(name, match)]
        return 0, [name.encode() for name in found if self._live(name) is not None]

    # --- the stream -------------------------------------------------------------

    def xadd(self, name: str, fields: Fields) -> bytes:
        """XADD with `*`."""
        log = self._logs.setdefault(name, Log())
        now = int(self._clock())
        made = (now, 0) if now > log.last[0] else (log.last[0], log.last[1] + 1)
        log.entries[made] = dict(fields)
        log.last = made
        return text(made)

    def xlen(self, name: str) -> int:
        """XLEN."""
        return len(self._log(name).entries)

    def xrange(
        self, name: str, *, max: int | str = "+", count: int | None = None
    ) -> list[tuple[bytes, Fields]]:
        """XRANGE from the beginning."""
        log = self._log(name)
        found = [each for each in sorted(log.entries) if max == "+" or each[0] <= int(max)]
        return [(text(each), dict(log.entries[each])) for each in found[:count]]

    def xdel(self, name: str, *ids: bytes) -> int:
        """XDEL."""
        entries = self._log(name).entries
        return sum(entries.pop(parse(each), None) is not None for each in set(ids))

    def xgroup_create(self, name: str, group: str, *, id: str, mkstream: bool) -> bool:
        """XGROUP CREATE at 0, with MKSTREAM."""
        log = self._logs.setdefault(name, Log())
        if group in log.groups:
            raise ResponseError("BUSYGROUP Consumer Group name already exists")
        log.groups[group] = Group()
        return True

    def xgroup_destroy(self, name: str, group: str) -> int:
        """XGROUP DESTROY."""
        return int(self._log(name).groups.pop(group, None) is not None)

    def xack(self, name: str, group: str, *ids: bytes) -> int:
        """XACK: whoever holds it."""
        found = self._log(name).groups.get(group)
        if found is None:
            return 0
        return sum(found.pending.pop(parse(each), None) is not None for each in set(ids))

    def xreadgroup(self, group: str, consumer: str, streams: dict[str, str], count: int) -> Any:
        """XREADGROUP of what is new (`>`), or of what this consumer holds (`0`)."""
        [(name, since)] = streams.items()
        log, found = self._group(name, group)
        if since == ">":
            new = [each for each in sorted(log.entries) if each > found.last][:count]
            for each in new:
                found.pending[each] = Pending(consumer, self._clock())
                found.last = each
            return [[name.encode(), [(text(e), dict(log.entries[e])) for e in new]]] if new else []
        mine = sorted(e for e, held in found.pending.items() if held.consumer == consumer)[:count]
        for each in mine:
            if each in log.entries:
                found.pending[each].since = self._clock()
        return [[name.encode(), [(text(e), dict(log.entries.get(e, {}))) for e in mine]]]

    def xautoclaim(
        self, name: str, group: str, consumer: str, min_idle_time: float, *, count: int
    ) -> Any:
        """XAUTOCLAIM from the beginning: deleted entries are dropped."""
        log, found = self._group(name, group)
        taken, gone, left, turns = [], [], b"0-0", count
        for each in sorted(found.pending):
            if turns == 0:
                left = text(each)
                break
            if each not in log.entries:
                gone.append(text(each))
                del found.pending[each]
            elif self._clock() - found.pending[each].since >= min_idle_time:
                found.pending[each] = Pending(consumer, self._clock())
                taken.append((text(each), dict(log.entries[each])))
                turns -= 1
        return [left, taken, gone]

    def pending(self, name: str, group: str) -> list[tuple[bytes, str]]:
        """XPENDING: (id, consumer) of each."""
        _, found = self._group(name, group)
        return [(text(each), found.pending[each].consumer) for each in sorted(found.pending)]

    # --- scripts --------------------------------------------------------------

    def eval(self, script: str, count: int, *given: Any) -> Any:
        """EVAL of one of the inbox's scripts."""
        names, values = [str(each) for each in given[:count]], given[count:]
        return self.scripts()[script](names, values)

    def scripts(self) -> dict[str, Callable[[list[str], Any], Any]]:
        """Say which script is which of ours."""
        return {
            appending.APPEND: self._append,
            stream.MARK: self._mark,
            epoch.FINISH: self._finish,
            stream.FORGET: self._forget,
        }

    def _append(self, names: list[str], values: Any) -> Any:
        states, has_appended = [], False
        for number, name in enumerate(names[2:]):
            body, headers, at = values[2 + 3 * number : 5 + 3 * number]
            state = self.get(name)
            if state in (b"stored", b"settled"):
                self.set(name, state, px=values[0])
            else:
                fields = {b"body": raw(body), b"headers": raw(headers), b"at": raw(at)}
                self.xadd(names[0], fields)
                self.set(name, "seen", px=values[0])
                has_appended = True
            states.append(state or b"new")
        rings = has_appended and bool(self.set(names[1], "1", px=values[1], nx=True))
        return [int(rings), states]

    def _mark(self, names: list[str], values: Any) -> None:
        state, lasts, ours, witness, clearing, *bounds = (raw(each) for each in values)
        most, space, most_spaced = map(int, bounds)
        known = self.get(names[0])
        if ours and known is None:
            self.set(names[0], ours)
            known = ours
        is_ours = bool(ours) and known in (ours, clearing + ours)
        for name in names[4:]:
            was = self.get(name)
            if (was is not None or is_ours) and (state == b"settled" or was != b"settled"):
                self.set(name, state, px=float(lasts))
        if is_ours:
            self._push(names[1], witness, most, float(lasts))
            if self.set(names[3], "1", px=space, nx=True):
                self._push(names[2], witness, most_spaced, float(lasts))

    def _push(self, name: str, value: bytes, most: int, lasts: float) -> None:
        kept = [value, *(self._live(name) or [])][:most]
        self._values[name] = (kept, self._clock() + lasts)

    def _finish(self, names: list[str], values: Any) -> int:
        if self.get(names[0]) != b"clearing:" + raw(values[0]):
            return 0
        self.set(names[0], values[0])
        return 1

    def _forget(self, names: list[str], values: Any) -> None:
        """Forget consumers that hold nothing: here there are none but by what they hold."""
        self._group(names[0], str(values[0]))

    # --- tools ------------------------------------------------------------------

    def _live(self, name: str) -> Any:
        value, ends = self._values.get(name, (None, None))
        if ends is not None and ends <= self._clock():
            del self._values[name]
            return None
        return value

    def _log(self, name: str) -> Log:
        return self._logs.get(name, Log())

    def _group(self, name: str, group: str) -> tuple[Log, Group]:
        log = self._log(name)
        if group not in log.groups:
            raise ResponseError(f"NOGROUP No such key '{name}' or consumer group '{group}'")
        return log, log.groups[group]


def raw(value: Any) -> bytes:
    """Write a value as Redis keeps it."""
    return value if isinstance(value, bytes) else str(value).encode()


def text(entry: Id) -> bytes:
    """Write an entry's id."""
    return b"%d-%d" % entry


def parse(entry: bytes) -> Id:
    """Read an entry's id."""
    first, _, second = entry.partition(b"-")
    return int(first), int(second)


class Pipeline:
    """Commands that take effect together, at `execute`."""

    def __init__(self, run: Callable[[Callable[[], Any]], Any], model: RedisModel) -> None:
        self._run = run
        self._model = model
        self._queue: list[Callable[[], Any]] = []

    def __enter__(self) -> Pipeline:
        return self

    def __exit__(self, *given: object) -> None:
        self._queue.clear()

    def __getattr__(self, name: str) -> Callable[..., None]:
        command = getattr(self._model, name)

        def put(*given: Any, **named: Any) -> None:
            self._queue.append(lambda: command(*given, **named))

        return put

    def execute(self) -> list[Any]:
        """Run them all in one step."""
        queue = list(self._queue)
        done: list[Any] = self._run(lambda: [each() for each in queue])
        return done


COMMANDS: Iterable[str] = (
    *("get", "set", "delete", "lrange", "scan", "xlen", "xrange", "xgroup_create"),
    *("xreadgroup", "xautoclaim", "eval"),
)
