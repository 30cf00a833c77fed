"""What an operator sees of the quarantine, and what he throws away."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any, NamedTuple

from service.desk.ids import known
from service.desk.shapes import Shape, moment
from service.domain.quarantine import UNPROVEN, unpack
from service.errors import DataKeyLacking, RecordMissing
from service.sealing import VARIABLE, Sealer
from service.store import quarantine
from service.store.database import Database


class Opened(NamedTuple):
    """A refused delivery, unsealed: header lines and body, byte for byte."""

    quarantine_id: str
    headers: list[tuple[str, str]]
    body: bytes


class Quarantined:
    """The entries; `sealer` is None without a key file, then none can be opened."""

    def __init__(self, database: Database, sealer: Sealer | None) -> None:
        self._database = database
        self._sealer = sealer

    def list(
        self, *, reason: str | None = None, after: int | None = None, limit: int = 50
    ) -> Shape:
        """List entries, newest first, without what they seal."""
        with self._database.read() as tx:
            rows = quarantine.listed(tx, reason=reason, before=after, limit=limit + 1)
        shown = rows[:limit]
        following = str(shown[-1].seq) if len(rows) > limit else None
        return {"data": [entry(row) for row in shown], "next": following}

    def ids(self, *, reason: str | None = None) -> Sequence[str]:
        """Name every entry, the oldest first."""
        found: list[str] = []
        after: int | None = None
        while True:
            page = self.list(reason=reason, after=after, limit=500)
            found += [each["quarantineId"] for each in page["data"]]
            if page["next"] is None:
                return found[::-1]
            after = int(page["next"])

    def show(self, quarantine_id: str) -> tuple[Shape, Opened]:
        """Show an entry and what it seals. Raises RecordMissing or DataKeyLacking."""
        with self._database.read() as tx:
            row = quarantine.get(tx, known(quarantine_id))
        if row is None:
            raise RecordMissing("There is nothing in quarantine with this id.")
        return entry(row), self._opened(row)

    def newest_unproven(self) -> Opened | None:
        """Open the newest delivery that was refused for its signature; None: there is none."""
        with self._database.read() as tx:
            row = quarantine.newest(tx, UNPROVEN)
        return None if row is None else self._opened(row)

    def remove(self, quarantine_ids: Sequence[str]) -> int:
        """Forget these; return how many there were."""
        names = [known(name) for name in quarantine_ids]
        return self._database.run(lambda tx: quarantine.remove(tx, names))

    def purge(self, *, reason: str | None = None, before: datetime | None = None) -> int:
        """Forget all of this reason that came last before this; return how many."""
        return self._database.run(lambda tx: quarantine.purge(tx, reason=reason, before=before))

    def _opened(self, row: Any) -> Opened:
        if self._sealer is None:
            raise DataKeyLacking(f"{VARIABLE} is not set: what is in quarantine stays sealed.")
        return Opened(row.quarantine_id, *unpack(self._sealer.open(bytes(row.sealed))))


def entry(row: Any) -> Shape:
    """Shape an entry; its source only tells senders apart."""
    return {
        "quarantineId": row.quarantine_id,
        "reason": row.reason,
        "source": row.source,
        "bodyBytes": row.body_bytes,
        "times": row.times,
        "firstAt": moment(row.first_at),
        "lastAt": moment(row.last_at),
        "triedAt": moment(row.tried_at),
    }
