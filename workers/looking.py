"""Claim due entities, fetch them all at once, apply each as soon as it is there.

Fetching runs in the event loop, with no transaction open; applying runs in a thread, in
transactions of at most `TOGETHER` entities, so that one slow answer delays only its own.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from service.amili.client import AmiliClient
from service.domain.entities import Claim, Read
from service.errors import SchemaMismatch, StoreContended, StoreUnavailable, WorkerDied
from service.store import entities
from service.store.database import Tx
from workers.applying import apply
from workers.failing import log_unexpected
from workers.fetching import fetch
from workers.outcomes import Outcome
from workers.parts import Parts
from workers.work import Result

#: Entities in one transaction: SQLite lets nobody else write meanwhile.
TOGETHER = 100
#: Seconds that what is there waits for company.
GATHER_SECONDS = 0.02
#: After this the next suspects wait until everybody else was looked at.
SUSPECTS_SECONDS = 2.0


async def look(parts: Parts, client: AmiliClient, limit: int = 200) -> int:
    """Look at up to `limit` due entities, then at suspects, apart; return how many."""
    looked = await look_at(parts, client, *await asyncio.to_thread(claim, parts, limit))
    until = asyncio.get_running_loop().time() + SUSPECTS_SECONDS
    while suspects := await look_at(parts, client, *await asyncio.to_thread(suspect, parts)):
        looked += suspects
        if asyncio.get_running_loop().time() > until:
            break
    return looked


async def look_at(parts: Parts, client: AmiliClient, claims: tuple[Claim, ...], read: Read) -> int:
    """Fetch for all of them at once, and apply each as soon as it is there."""
    tasks = {asyncio.create_task(result_of(parts, client, each, read)) for each in claims}
    ready: list[Result] = []
    while tasks:
        done, tasks = await asyncio.wait(
            tasks,
            timeout=GATHER_SECONDS if ready else None,
            return_when=asyncio.FIRST_COMPLETED,
        )
        ready += [task.result() for task in done]
        if len(ready) >= TOGETHER or not done or not tasks:
            await apply_all(parts, ready)
            ready = []
    return len(claims)


def claim(parts: Parts, limit: int) -> tuple[tuple[Claim, ...], Read]:
    """Claim what is due and under no suspicion."""
    return taken(parts, lambda tx: entities.claim(tx, parts.holder, limit=limit, lease=parts.lease))


def suspect(parts: Parts) -> tuple[tuple[Claim, ...], Read]:
    """Claim a few suspects, or one; alone at the latest when one attempt is left after it."""
    alone_from = min(entities.ALONE_FROM, parts.settings.max_attempts - 2)

    def take(tx: Tx) -> tuple[Claim, ...]:
        return entities.claim_suspects(tx, parts.holder, lease=parts.lease, alone_from=alone_from)

    return taken(parts, take)


def taken(parts: Parts, take: Callable[[Tx], tuple[Claim, ...]]) -> tuple[tuple[Claim, ...], Read]:
    """Claim, commit, and only then take the fetch numbers and the time."""
    claims = parts.database.run(take)
    return parts.database.run(lambda tx: (entities.number(tx, claims), Read(0, tx.now)))


async def result_of(parts: Parts, client: AmiliClient, claim: Claim, began: Read) -> Result:
    """Fetch what one claim needs; an error is a result too."""
    read = Read(claim.fetch_number, began.began_at)
    if claim.attempts >= parts.settings.max_attempts:
        return Result(claim, read, error=WorkerDied())
    try:
        fetched: Any = await fetch(client, claim, parts.settings.organization_ids)
    except Exception as exc:
        return Result(claim, read, error=exc)
    return Result(claim, read, fetched)


async def apply_all(parts: Parts, results: Sequence[Result]) -> None:
    """Apply results, a bounded number in each transaction."""
    for start in range(0, len(results), TOGETHER):
        some = results[start : start + TOGETHER]
        outcome = await asyncio.to_thread(apply_apart, parts, some)
        await asyncio.to_thread(outcome.tell, parts)


def apply_apart(parts: Parts, results: Sequence[Result]) -> Outcome:
    """Apply results together; if that fails, by halves, so that only the guilty one fails."""
    try:
        return apply(parts, results)
    except (StoreUnavailable, StoreContended, SchemaMismatch):
        raise
    except Exception as exc:
        if len(results) == 1:
            log_unexpected(results[0].claim, exc)
            return apply(parts, [replace(results[0], fetched=None, error=exc)])
    middle = len(results) // 2
    total = apply_apart(parts, results[:middle])
    total.add(apply_apart(parts, results[middle:]))
    return total
