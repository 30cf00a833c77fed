"""Records that remember every version, so that a read can show the state of some seconds ago."""

from __future__ import annotations

from bisect import bisect_right
from collections import defaultdict
from collections.abc import Iterable, Iterator

from service.sandbox.wire import Record


class Table:
    """Records by key, in the order in which they came. A stored record is never mutated.

    The members that it is made with are indexed, within each organization; a member that is a
    tuple is found by each of its values.
    """

    def __init__(self, *indexed: str) -> None:
        self._indexed = indexed
        self._versions: dict[str, list[tuple[float, Record]]] = {}
        self._order: list[str] = []
        self._serial: dict[str, int] = {}
        self._having: dict[tuple[str, str, str], list[str]] = defaultdict(list)

    def __len__(self) -> int:
        return len(self._order)

    def add(self, key: str, at: float, record: Record) -> None:
        """Store a new record."""
        self._serial[key] = len(self._order)
        self._order.append(key)
        self._versions[key] = [(at, record)]
        self._index(key, record, self._indexed)

    def change(self, key: str, at: float, changes: Record) -> Record:
        """Store a new version and return it."""
        last_at, last = self._versions[key][-1]
        record = {**last, **changes}
        self._versions[key].append((max(at, last_at), record))
        self._index(key, record, [m for m in changes if m in self._indexed])
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

    def having(self, organization: str, member: str, value: str) -> list[str]:
        """Return the keys of the records that have, or had, this value of an indexed member."""
        return self._having.get((organization, member, value), [])

    def walk(self, after: int | None, *, descending: bool = False) -> Iterator[tuple[int, str]]:
        """Yield (serial, key) in order, beginning behind a serial."""
        if descending:
            indexes = range((len(self._order) if after is None else after) - 1, -1, -1)
        else:
            indexes = range(0 if after is None else after + 1, len(self._order))
        return ((index, self._order[index]) for index in indexes)

    def pick(
        self, keys: Iterable[str], after: int | None, *, descending: bool = False
    ) -> Iterator[tuple[int, str]]:
        """Yield (serial, key) of these keys, in order, beginning behind a serial."""
        serials = sorted({self._serial[k] for k in keys if k in self._serial}, reverse=descending)
        for serial in serials:
            if after is None or (serial < after if descending else serial > after):
                yield serial, self._order[serial]

    def _index(self, key: str, record: Record, members: Iterable[str]) -> None:
        for member in members:
            value = record.get(member)
            for one in value if isinstance(value, tuple) else (value,):
                if one is not None:
                    self._having[record["organizationId"], member, str(one)].append(key)
