"""What one worker process works with; made after the fork, closed at its end."""

from __future__ import annotations

import os
import random
import socket
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta

import redis

from service.amili.contract import Contract
from service.domain.pausing import Rules
from service.inbox.stream import Stream
from service.policies import enabled
from service.policies.situations import Policy
from service.queue import Bells
from service.redis import connect
from service.settings import Settings
from service.store.database import Database
from service.telemetry.metrics import Metrics


@dataclass(frozen=True)
class Parts:
    """Everything that a job needs."""

    settings: Settings
    contract: Contract
    metrics: Metrics
    database: Database
    redis: redis.Redis
    stream: Stream
    bells: Bells
    policies: tuple[Policy, ...]
    rules: Rules
    #: Names this run in leases: nobody else ever has the same.
    holder: str
    chance: random.Random = field(default_factory=random.Random)

    @property
    def lease(self) -> timedelta:
        """How long a lease lasts unless it is renewed."""
        return timedelta(seconds=self.settings.lease_seconds)


@contextmanager
def opened(
    settings: Settings, contract: Contract, metrics: Metrics, consumer: str
) -> Iterator[Parts]:
    """Make the parts, and close their connections at the end."""
    database = Database(settings.sql_url, pool=4)
    client = connect(settings.redis_url)
    try:
        yield Parts(
            settings=settings,
            contract=contract,
            metrics=metrics,
            database=database,
            redis=client,
            stream=Stream(client, consumer),
            bells=Bells(client),
            policies=enabled(switches(settings)),
            rules=Rules(
                read_lag=timedelta(seconds=contract.read_lag_seconds),
                enforce=settings.contradiction == "enforce",
            ),
            holder=new_holder(),
        )
    finally:
        database.close()
        client.close()


def switches(settings: Settings) -> dict[str, bool]:
    """Read the policies' switches: `policy_<name>` of the settings."""
    return {
        name.removeprefix("policy_"): getattr(settings, name)
        for name in type(settings).model_fields
        if name.startswith("policy_")
    }


def new_holder() -> str:
    """Name a run: host, process, and something that never comes again."""
    return f"{socket.gethostname()[:40]}:{os.getpid()}:{uuid.uuid4().hex[:12]}"
