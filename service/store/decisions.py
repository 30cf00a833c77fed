"""Decisions: the explain-why trail. The same conclusion from the same facts is one row."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Sequence
from typing import Any

from sqlalchemy import Row, select

from service.domain.decisions import Decision
from service.domain.entities import EntityKey
from service.store.database import Tx
from service.store.dialects import insert
from service.store.schema import decisions


def save(tx: Tx, made: Iterable[Decision], fetch_number: int) -> list[Decision]:
    """Write decisions; return those that are new."""
    new = []
    for decision in made:
        facts = json.dumps(dict(decision.facts), sort_keys=True)
        told = (str(decision.key), decision.policy, decision.outcome, decision.words, facts)
        digest = hashlib.sha256(json.dumps(told).encode()).digest()
        done = tx.execute(
            insert(tx, decisions)
            .values(
                digest=digest,
                entity=str(decision.key),
                policy=decision.policy,
                outcome=decision.outcome,
                words=decision.words,
                facts=facts,
                fetch_number=fetch_number,
                decided_at=tx.now,
            )
            .on_conflict_do_nothing()
            .returning(decisions.c.seq)
        )
        if done.first() is not None:
            new.append(decision)
    return new


def of_entity(tx: Tx, key: EntityKey, limit: int = 200) -> Sequence[Row[Any]]:
    """Return what was decided about an entity, oldest first."""
    asked = (
        select(decisions)
        .where(decisions.c.entity == str(key))
        .order_by(decisions.c.seq)
        .limit(limit)
    )
    found: Sequence[Row[Any]] = tx.execute(asked).all()
    return found
