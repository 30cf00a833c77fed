"""Whether this door can take a delivery: one durable write, in Redis or in the spool."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Literal

import structlog

from service.errors import NothingDurable, StoreError
from service.inbox.appending import Appender
from service.intake.writing import DurableWriter
from service.store import migrating
from service.store.database import Database

log = structlog.get_logger()

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
        self._told = ""

    async def examine(self) -> Readiness:
        """Try one durable write in Redis, and ask the database for its schema."""
        redis, schema = await asyncio.gather(self._redis(), self._schema())
        usable = schema in ("current", "newer")
        notes = []
        if redis != "ok":
            why = self._writer.redis.trouble
            notes.append(redis_note(self._appender.durability, why, spools=usable))
        if self._appender.durability == "unverified":
            notes.append("Redis does not let us read its configuration: durability is unverified.")
        lack = migrating.lack(schema)
        self._tell(lack)
        if lack:
            notes.append(lack)
        if schema == "newer":
            notes.append("The database schema is newer than this code.")
        parts: dict[str, Part] = {
            "redis": redis,
            "database": "down" if schema == "away" else "ok" if schema == "current" else "degraded",
            "spool": "ok" if usable else "down",
        }
        ready = not lack and (redis == "ok" or usable)
        return Readiness(ready, parts, tuple(notes), self._appender.durability)

    def _tell(self, lack: str) -> None:
        """Say once in the log that the schema is too old, and again when it becomes so anew."""
        if lack and lack != self._told:
            log.error("schema_not_usable", reason=lack)
        self._told = lack

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


def redis_note(durability: str, why: str, *, spools: bool) -> str:
    """Say what is wrong with Redis, and what happens meanwhile."""
    meanwhile = "deliveries go to the SQL spool" if spools else "deliveries are answered 503"
    if durability == "too weak":
        return (
            "Redis is not as durable as AMILI_ACK_DURABILITY=disk asks for (appendonly yes, "
            f"appendfsync always, maxmemory-policy noeviction): {meanwhile}."
        )
    cause = f" ({why})" if why else ""
    return f"Redis cannot be written{cause}: {meanwhile}."
