"""Puts a door together from its settings: for the process that serves, and for a command."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from service.amili.contract import Contract
from service.domain.quarantine import Caps, Headers
from service.inbox.appending import Appender
from service.intake.capture import Capture
from service.intake.door import Door, Keeper
from service.intake.group import GroupCommit
from service.intake.quarantine import Quarantine
from service.intake.writing import DurableWriter
from service.queue import Bells
from service.sealing import Sealer
from service.settings import Settings
from service.store.database import Database
from service.telemetry.metrics import Metrics


class Nowhere:
    """Keeps nothing: a command's own door refuses only what is kept already."""

    def keep(self, headers: Headers, body: bytes, reason: str, source: str) -> None:
        """Keep nothing."""

    def close(self) -> None:
        """Write nothing."""


def keeper_of(
    settings: Settings, sealer: Sealer | None, database: Database, metrics: Metrics
) -> Keeper:
    """Choose who keeps refused deliveries: sealed in SQL with a key, else files if any."""
    if sealer is None:
        return Capture(settings.data_dir, settings.capture_refused)
    if not settings.quarantine_entries:
        return Nowhere()
    caps = Caps(settings.quarantine_entries, settings.quarantine_megabytes * 1024 * 1024)
    return Quarantine(database, sealer, metrics, caps, settings.quarantine_per_minute)


@asynccontextmanager
async def command_door(
    settings: Settings, contract: Contract, database: Database, bells: Bells
) -> AsyncIterator[Door]:
    """Open a door for one command: the same proof, the same durable write, no socket."""
    metrics = Metrics()
    appender = Appender(settings.redis_url, demand=settings.ack_durability)
    writer = DurableWriter(appender, database, bells, metrics)
    secrets = tuple(secret.get_secret_value() for secret in settings.webhook_secrets)
    try:
        yield Door(
            secrets=secrets,
            contract=contract,
            commit=GroupCommit(writer.write),
            keeper=Nowhere(),
            metrics=metrics,
        )
    finally:
        writer.close()
        await appender.close()
