"""What RQ runs. A job has no payload: it works until nothing is left, or its time is up.

`configure` is called once before the fork; connections are made in the child.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

import structlog

from service.amili.client import AmiliClient, TokenKeeper, open_gate
from service.amili.contract import Contract
from service.errors import StoreError, StoreUnavailable
from service.queue import QueueName
from service.redis import RedisError, connect_async
from service.settings import Settings
from service.store import entities
from service.telemetry.logs import place_of
from service.telemetry.metrics import Metrics
from workers.belt import act
from workers.drain import drain
from workers.flow import look
from workers.leasing import LeaseKeeper
from workers.parts import Parts, opened

log = structlog.get_logger()

#: A job stops by itself long before RQ would stop it.
WORK_SECONDS = 20.0


@dataclass(frozen=True, slots=True)
class Context:
    """What a worker process knows before it forks."""

    settings: Settings
    contract: Contract
    metrics: Metrics
    #: The name in the consumer group: one for each worker process.
    consumer: str


_context: list[Context] = []


def configure(context: Context) -> None:
    """Set what every job of this process uses."""
    _context[:] = [context]


def work_events() -> None:
    """Empty the stream and the spool, and look at every due entity."""
    run("events", events_round)


def perform_actions() -> None:
    """Make every call that is planned and due."""
    run("actions", act)


#: The last is when the job began, by `time.monotonic()`.
Round = Callable[[Parts, AmiliClient, float], Awaitable[int]]


def run(queue: QueueName, once: Round) -> None:
    """Run rounds until one finds nothing, or the time is up; then the next bell goes on."""
    context = _context[0]
    try:
        with (
            opened(context.settings, context.contract, context.metrics, context.consumer) as parts,
            LeaseKeeper(parts),
        ):
            try:
                asyncio.run(rounds(parts, queue, once))
            finally:
                hand_back(parts)
    except StoreUnavailable:
        # Nothing is lost: the stream keeps what came, the sweeper rings when it is back.
        log.warning("database_away", queue=queue)
    except Exception as exc:
        # RQ would write the whole chain of errors into its log and into Redis, and the driver's
        # links of it hold the values of rows. Nothing is lost here either: the sweeper rings.
        kind = type(exc).__name__
        log.error("job_failed", queue=queue, error=kind, place=place_of(exc))


async def rounds(parts: Parts, queue: QueueName, once: Round) -> None:
    """Repeat a round while it finds work."""
    began = time.monotonic()
    shared = connect_async(parts.settings.redis_url)
    tokens = TokenKeeper(parts.settings, shared)
    try:
        async with (
            open_gate(parts.settings, shared, parts.metrics) as gate,
            AmiliClient(parts.settings, parts.contract, parts.metrics, tokens, gate) as client,
        ):
            while await once(parts, client, began):
                if time.monotonic() - began >= WORK_SECONDS:
                    await asyncio.to_thread(parts.bells.ring, queue)
                    return
    finally:
        await shared.aclose()


async def events_round(parts: Parts, client: AmiliClient, began: float) -> int:
    """Drain and look until nothing is left, or the time is up; return how much was found.

    The drain goes first, so that many events become one look.
    """
    moved = 0

    def drained(most: int) -> int:
        nonlocal moved
        count = drain_quietly(parts, most)
        moved += count
        return count

    left = WORK_SECONDS - (time.monotonic() - began)
    looked = await look(parts, client, drain=drained, seconds=left)
    return moved + looked


def drain_quietly(parts: Parts, most: int) -> int:
    """Drain; a Redis that is away must not keep us from what is in SQL already."""
    try:
        parts.stream.silence()
        return drain(parts, most=most)
    except RedisError as exc:
        log.warning("stream_not_read", error=type(exc).__name__)
        return 0


def hand_back(parts: Parts) -> None:
    """Give back whatever a stopped run still holds: it is due for others at once."""
    try:
        parts.database.run(lambda tx: entities.hand_back(tx, parts.holder))
    except StoreError:
        return  # the leases end by themselves
