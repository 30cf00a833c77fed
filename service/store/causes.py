"""Why a claimed entity is looked at: the events and nudges that wait."""

from __future__ import annotations

import json
from dataclasses import replace

from sqlalchemy import select

from service.domain.entities import Cause, Claim
from service.store import events as inbox
from service.store.database import Tx
from service.store.dialects import among
from service.store.schema import UNSETTLED, events, nudges


def added(tx: Tx, claims: tuple[Claim, ...]) -> tuple[Claim, ...]:
    """Add the waiting events and nudges."""
    names = [str(claim.key) for claim in claims]
    waiting = (
        select(
            events.c.entity,
            events.c.seq,
            events.c.type,
            events.c.event_id,
            events.c.received_at,
            events.c.state,
        )
        .where(among(tx, events.c.entity, names), UNSETTLED)
        .order_by(events.c.seq)
    )
    by_event: dict[str, list[Cause]] = {}
    for row in tx.execute(waiting):
        if row.state in inbox.UNFINISHED:
            cause = Cause(row.type, row.seq, row.event_id, told_at=row.received_at)
            by_event.setdefault(row.entity, []).append(cause)
    by_nudge: dict[str, list[Cause]] = {}
    told = tx.execute(
        select(nudges).where(among(tx, nudges.c.entity, names)).order_by(nudges.c.nudge)
    )
    for row in told:
        detail = json.loads(row.detail)
        cause = Cause(row.cause, row.nudge, detail=detail, told_at=row.created_at)
        by_nudge.setdefault(row.entity, []).append(cause)
    return tuple(
        replace(
            claim,
            events=tuple(by_event.get(str(claim.key), ())),
            nudges=tuple(by_nudge.get(str(claim.key), ())),
        )
        for claim in claims
    )
