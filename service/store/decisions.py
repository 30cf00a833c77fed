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


def save(tx: Tx, made: Iterable[tuple[Decision, int]]) -> list[Decision]:
    """Write decisions, each with the number of the fetch it was made from; return the new ones."""
    by_digest: dict[bytes, tuple[Decision, dict[str, Any]]] = {}
    for decision, fetch_number in made:
        row = row_of(tx, decision, fetch_number)
        by_digest.setdefault(row["digest"], (decision, row))
    rows = [row for _, row in by_digest.values()]
    if not rows:
        return []
    written = insert(tx, decisions).on_conflict_do_nothing().returning(decisions.c.digest)
    return [by_digest[bytes(digest)][0] for digest in tx.execute(written, rows).scalars()]


def row_of(tx: Tx, decision: Decision, fetch_number: int) -> dict[str, Any]:
    """Turn a decision into its row; the digest is of all that it says."""
    facts = json.dumps(dict(decision.facts), sort_keys=True)
    told = (str(decision.key), decision.policy, decision.outcome, decision.words, facts)
    return {
        "digest": hashlib.sha256(json.dumps(told).encode()).digest(),
        "entity": str(decision.key),
        "policy": decision.policy,
        "outcome": decision.outcome,
        "words": decision.words,
        "facts": facts,
        "fetch_number": fetch_number,
        "decided_at": tx.now,
    }


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
