"""The three steps of a look: claim due entities, fetch each, apply them together.

Fetching runs in the event loop, with no transaction open; claiming and applying run in threads
beside it. How the steps follow on each other is the matter of `workers.flow`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime
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
#: The read of nobody.
NEVER = Read(0, datetime.min.replace(tzinfo=UTC))


def claim(parts: Parts, limit: int) -> tuple[tuple[Claim, ...], Read]:
    """Claim what is due and under no suspicion."""
    return taken(parts, lambda tx: entities.claim(tx, parts.holder, limit=limit, lease=parts.lease))


def suspect(parts: Parts) -> tuple[tuple[Claim, ...], Read]:
    """Claim a few suspects, or one; alone at the latest when one attempt is left after it."""
    alone_from = min(entities.ALONE_FROM, parts.settings.max_attempts - 2)

    def take(tx: Tx) -> tuple[Claim, ...]:
        return entities.claim_suspects(tx, parts.holder, lease=parts.lease, alone_from=alone_from)

    return taken(parts, take)


def has_suspects(parts: Parts) -> bool:
    """Say whether suspects wait to be looked at."""
    with parts.database.read() as tx:
        return entities.has_suspects(tx)


def taken(parts: Parts, take: Callable[[Tx], tuple[Claim, ...]]) -> tuple[tuple[Claim, ...], Read]:
    """Claim, commit, and only then take the fetch numbers and the time."""
    claims = parts.database.run(take)
    if not claims:
        return (), NEVER
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


def conclude(parts: Parts, results: Sequence[Result]) -> int:
    """Apply at most `TOGETHER` results, and tell what came of it; return how many nudges did."""
    outcome = apply_apart(parts, results)
    outcome.tell(parts)
    return outcome.nudges


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
