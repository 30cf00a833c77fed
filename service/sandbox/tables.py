"""Records that remember every version, so that a read can show the state of some seconds ago."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Iterator

from service.sandbox.wire import Record


class Table:
    """Records by key, in the order in which they came. A stored record is never mutated."""

    def __init__(self) -> None:
        self._versions: dict[str, list[tuple[float, Record]]] = {}
        self._order: list[str] = []
        self._serial: dict[str, int] = {}

    def __len__(self) -> int:
        return len(self._order)

    def add(self, key: str, at: float, record: Record) -> None:
        """Store a new record."""
        self._serial[key] = len(self._order)
        self._order.append(key)
        self._versions[key] = [(at, record)]

    def change(self, key: str, at: float, changes: Record) -> Record:
        """Store a new version and return it."""
        last_at, last = self._versions[key][-1]
        record = {**last, **changes}
        self._versions[key].append((max(at, last_at), record))
        return record

    def now(self, key: str) -> Record | None:
        """Return the present version."""
        versions = self._versions.get(key)
        return versions[-1][1] if versions else None

    def seen(self, key: str, horizon: float | None) -> Record | None:
        """Return the version that stood at the horizon; None is the present."""
        if horizon is None:
            return self.now(key)
        versions = self._versions.get(key, [])
        index = bisect_right(versions, horizon, key=lambda version: version[0])
        return versions[index - 1][1] if index else None

    def history(self, key: str) -> list[tuple[float, Record]]:
        """Return all versions with the time of each."""
        return list(self._versions.get(key, []))

    def walk(self, after: int | None, *, descending: bool = False) -> Iterator[tuple[int, str]]:
        """Yield (serial, key) in order, beginning behind a serial."""
        if descending:
            indexes = range((len(self._order) if after is None else after) - 1, -1, -1)
        else:
            indexes = range(0 if after is None else after + 1, len(self._order))
        return ((index, self._order[index]) for index in indexes)

    def pick(self, keys: Iterable[str], after: int | None) -> list[tuple[int, str]]:
        """Return (serial, key) of these keys, in order, behind a serial."""
        found = {(self._serial[key], key) for key in keys if key in self._serial}
        return [row for row in sorted(found) if after is None or row[0] > after]
