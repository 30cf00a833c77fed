"""Sends what is in quarantine through the door once more; what is accepted leaves it.

A crash between the door's durable write and the entry's end leaves the entry: replayed
again it is a duplicate, which is worked on once.
"""

from __future__ import annotations

import asyncio
import json
from typing import Any

from service.domain.quarantine import Headers, unpack
from service.errors import (
    DataKeyLacking,
    IntakeError,
    NothingDurable,
    RecordMissing,
    StillRefused,
)
from service.intake.door import Door, reason_of
from service.sealing import VARIABLE, Sealer
from service.store import quarantine, requests
from service.store.database import Database, Tx

OPERATION = "replay-quarantined"
Answer = dict[str, Any]


class Replayer:
    """Replays entries of the quarantine at one door; `sealer` is None without a key file."""

    def __init__(self, door: Door, database: Database, sealer: Sealer | None) -> None:
        self._door = door
        self._database = database
        self._sealer = sealer

    async def replay(self, quarantine_id: str, key: str | None = None) -> Answer:
        """Replay one: `{"quarantineId", "status": "accepted"|"duplicate", "eventId"}`.

        The same `key` again gets the same answer. Raises RecordMissing, DataKeyLacking,
        StillRefused with the reason, or NothingDurable.
        """
        # In this order: whoever ends meanwhile removes the entry and leaves its answer at once.
        row = await asyncio.to_thread(self._found, quarantine_id)
        said = await asyncio.to_thread(self._said, quarantine_id, key)
        if said is not None:
            return said
        headers, body = self._opened(row)
        try:
            accepted = await self._door.replay(headers, body)
        except NothingDurable:
            raise
        except IntakeError as exc:
            reason = reason_of(exc)
            await asyncio.to_thread(self._note, quarantine_id, reason)
            raise StillRefused(reason) from exc
        answer = {
            "quarantineId": quarantine_id,
            "status": "duplicate" if accepted.is_duplicate else "accepted",
            "eventId": accepted.event_id,
        }
        await asyncio.to_thread(self._end, answer, key)
        return answer

    def _said(self, quarantine_id: str, key: str | None) -> Answer | None:
        if key is None:
            return None
        with self._database.read() as tx:
            said = requests.answered(tx, OPERATION, quarantine_id, key)
        answer: Answer | None = None if said is None else json.loads(said)
        return answer

    def _found(self, quarantine_id: str) -> Any:
        with self._database.read() as tx:
            return quarantine.get(tx, quarantine_id)

    def _opened(self, row: Any) -> tuple[Headers, bytes]:
        if row is None:
            raise RecordMissing("There is nothing in quarantine with this id.")
        if self._sealer is None:
            raise DataKeyLacking(f"{VARIABLE} is not set: what is in quarantine stays sealed.")
        return unpack(self._sealer.open(bytes(row.sealed)))

    def _note(self, quarantine_id: str, reason: str) -> None:
        self._database.run(lambda tx: quarantine.tried(tx, quarantine_id, reason))

    def _end(self, answer: Answer, key: str | None) -> None:
        name = answer["quarantineId"]

        def run(tx: Tx) -> None:
            quarantine.remove(tx, [name])
            if key is not None and requests.begin(tx, OPERATION, name, key) is None:
                requests.end(tx, OPERATION, name, key, json.dumps(answer))

        self._database.run(run)
