"""Why a claimed entity is looked at: the events and nudges that wait, and what they claim."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from sqlalchemy import func, select

from service.domain.entities import Cause, Claim
from service.store import events as inbox
from service.store.database import Tx
from service.store.schema import events, nudges


def added(tx: Tx, claims: tuple[Claim, ...]) -> tuple[Claim, ...]:
    """Add the waiting events and nudges, and what the newest payload claims."""
    names = [str(claim.key) for claim in claims]
    waiting = tx.execute(
        select(
            events.c.entity,
            events.c.seq,
            events.c.type,
            events.c.event_id,
            events.c.received_at,
        )
        .where(events.c.entity.in_(names), events.c.state.in_(inbox.UNFINISHED))
        .order_by(events.c.seq)
    )
    by_event: dict[str, list[Cause]] = {}
    for row in waiting:
        cause = Cause(row.type, row.seq, row.event_id, told_at=row.received_at)
        by_event.setdefault(row.entity, []).append(cause)
    by_nudge: dict[str, list[Cause]] = {}
    told = tx.execute(select(nudges).where(nudges.c.entity.in_(names)).order_by(nudges.c.nudge))
    for row in told:
        detail = json.loads(row.detail)
        cause = Cause(row.cause, row.nudge, detail=detail, told_at=row.created_at)
        by_nudge.setdefault(row.entity, []).append(cause)
    newest = newest_claims(tx, names)
    return tuple(
        replace(
            claim,
            events=tuple(by_event.get(str(claim.key), ())),
            nudges=tuple(by_nudge.get(str(claim.key), ())),
            newest=newest.get(str(claim.key)),
        )
        for claim in claims
    )


def newest_claims(tx: Tx, names: Sequence[str]) -> dict[str, Any]:
    """Return what the newest payload of each entity claims."""
    newest = (
        select(func.max(events.c.seq)).where(events.c.entity.in_(names)).group_by(events.c.entity)
    )
    rows = tx.execute(select(events.c.entity, events.c.hint).where(events.c.seq.in_(newest)))
    return {row.entity: inbox.load_claims(row.hint) for row in rows}
