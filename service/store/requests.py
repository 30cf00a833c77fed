"""Requests under an Idempotency-Key: done once, answered alike however often they come."""

from __future__ import annotations

import hashlib
import json

from sqlalchemy import select, update

from service.store.database import Tx
from service.store.dialects import insert
from service.store.schema import requests


def begin(tx: Tx, operation: str, target: str, key: str) -> str | None:
    """Take a request, or return the answer that it got before.

    A second one that comes meanwhile waits here for the first to end. None: do it, then `end`.
    """
    digest = digest_of(operation, target, key)
    done = tx.execute(
        insert(tx, requests)
        .values(digest=digest, answer="", asked_at=tx.now)
        .on_conflict_do_nothing()
        .returning(requests.c.digest)
    )
    if done.first() is not None:
        return None
    asked = select(requests.c.answer).where(requests.c.digest == digest)
    answer: str = tx.execute(asked).scalar_one()
    return answer


def answered(tx: Tx, operation: str, target: str, key: str) -> str | None:
    """Return the answer that a request got, or None; nothing is taken."""
    digest = digest_of(operation, target, key)
    asked = select(requests.c.answer).where(requests.c.digest == digest)
    answer: str | None = tx.execute(asked).scalar_one_or_none()
    return answer


def end(tx: Tx, operation: str, target: str, key: str, answer: str) -> None:
    """Keep the answer, in the transaction that took the request."""
    digest = digest_of(operation, target, key)
    tx.execute(update(requests).where(requests.c.digest == digest).values(answer=answer))


def digest_of(operation: str, target: str, key: str) -> bytes:
    """Name a request: the same key stands for another one elsewhere."""
    return hashlib.sha256(json.dumps([operation, target, key]).encode()).digest()
