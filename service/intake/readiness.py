"""Whether this door can take a delivery: one durable write, in Redis or in the spool."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Literal

from service.errors import NothingDurable, StoreError
from service.inbox.appending import Appender
from service.intake.writing import DurableWriter
from service.store import migrating
from service.store.database import Database

Part = Literal["ok", "degraded", "down"]
#: Below the patience of a readiness probe (three seconds): a database that hangs takes no door
#: out of service.
DATABASE_SECONDS = 2.0


@dataclass(frozen=True, slots=True)
class Readiness:
    """Ready or not, each part, and what an operator should know."""

    is_ready: bool
    parts: dict[str, Part]
    notes: tuple[str, ...]
    durability: str


class Examiner:
    """Looks at both stores."""

    def __init__(self, writer: DurableWriter, appender: Appender, database: Database) -> None:
        self._writer = writer
        self._appender = appender
        self._database = database

    async def examine(self) -> Readiness:
        """Try one durable write in Redis, and ask the database for its schema."""
        redis, schema = await asyncio.gather(self._redis(), self._schema())
        notes = []
        if redis != "ok":
            notes.append(redis_note(self._appender.durability))
        if self._appender.durability == "unverified":
            notes.append("Redis does not let us read its configuration: durability is unverified.")
        if schema in ("older", "empty"):
            notes.append("The database schema is older than this code: run `amili-events migrate`.")
        if schema == "newer":
            notes.append("The database schema is newer than this code.")
        usable = schema in ("current", "newer")
        parts: dict[str, Part] = {
            "redis": redis,
            "database": "down" if schema == "away" else "ok" if schema == "current" else "degraded",
            "spool": "ok" if usable else "down",
        }
        too_old = schema in ("older", "empty")
        ready = not too_old and (redis == "ok" or usable)
        return Readiness(ready, parts, tuple(notes), self._appender.durability)

    async def _redis(self) -> Part:
        try:
            await self._writer.probe_redis()
        except NothingDurable:
            return "degraded" if self._appender.durability == "too weak" else "down"
        return "ok"

    async def _schema(self) -> str:
        try:
            async with asyncio.timeout(DATABASE_SECONDS):
                return await asyncio.to_thread(migrating.standing, self._database)
        except (StoreError, TimeoutError):
            return "away"


def redis_note(durability: str) -> str:
    """Say what is wrong with Redis, and what happens meanwhile."""
    if durability == "too weak":
        return (
            "Redis is not as durable as AMILI_ACK_DURABILITY=disk asks for (appendonly yes, "
            "appendfsync always, maxmemory-policy noeviction): deliveries go to the SQL spool."
        )
    return "Redis cannot be written: deliveries go to the SQL spool."
