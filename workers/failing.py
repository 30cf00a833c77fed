"""What follows from a look that failed: later, soon, or an operator's turn."""

from __future__ import annotations

import structlog

from service.domain.actions import LEVEL
from service.domain.entities import Claim, EntityKey, Kind
from service.domain.holds import active
from service.domain.pausing import is_confirmed_pause
from service.store import entities, events, holds, ledger, submissions
from service.store.database import Tx
from service.telemetry.logs import place_of
from workers import backoff
from workers.work import Result, Work

log = structlog.get_logger()


def fail(work: Work, result: Result, error: Exception) -> None:
    """Give the entity back: later, or to an operator once its attempts are used up."""
    tx, parts, claim = work.tx, work.parts, result.claim
    if backoff.may_lag(error, claim, result.read, parts.rules.read_lag):
        wait_until_shown(work, claim, error)
        return
    rows = [cause.row for cause in claim.events]
    counts = backoff.counts(error)
    spent = counts and claim.attempts + 1 >= parts.settings.max_attempts
    until = tx.now + backoff.wait(error, claim.failures, parts.chance)
    words = backoff.told(error)
    if counts or claim.failures == 0:
        put_off = events.postpone(tx, rows, words, counts=counts, dead=spent)
        work.outcome.dead += [row.label for row in put_off if spent]
    if spent:
        watched = is_watched(tx, claim.key)
        entities.give_up(tx, claim, error=words, until=until, is_watched=watched)
        spent = not (claim.nudges or watched)
    else:
        entities.put_off(tx, claim, until=until, error=words, counts=counts)
    log.info(
        "look_failed",
        entity=str(claim.key),
        reason=words,
        attempt=claim.attempts + (1 if counts else 0),
        outcome="given_up" if spent else "waiting",
    )


def wait_until_shown(work: Work, claim: Claim, error: Exception) -> None:
    """Look again soon for what was announced just now; that it is not shown is no attempt."""
    tx, words = work.tx, backoff.told(error)
    events.postpone(tx, [cause.row for cause in claim.events], words, counts=False, dead=False)
    until = tx.now + backoff.soon(tx.now - (claim.told_at or tx.now), work.parts.chance)
    entities.wait(tx, claim, until=until, error=words)
    log.info(
        "look_failed",
        entity=str(claim.key),
        reason=words,
        attempt=claim.attempts,
        outcome="not_shown_yet",
    )


def is_watched(tx: Tx, key: EntityKey) -> bool:
    """Say whether an entity is to be looked at until it is read.

    A case that is held, called about or paused by us; a batch of ours that has not ended.
    """
    if key.kind is Kind.BATCH:
        chunk = submissions.chunk_of_batch(tx, key.id)
        return chunk is not None and chunk.ended_at is None
    if key.kind is not Kind.CASE or key.is_lookup:
        return False
    if active(holds.of_cases(tx, [key.id])[key.id], tx.now):
        return True
    actions = ledger.of_cases(tx, [key.id])[key.id]
    levels = [action for action in actions if action.kind in LEVEL]
    ours = bool(levels) and is_confirmed_pause(levels[-1])
    return ours or any(action.is_open for action in actions)


def log_unexpected(claim: Claim, error: Exception) -> None:
    """Tell where our own code failed: the place, never the values."""
    log.error(
        "unexpected_fault",
        entity=str(claim.key),
        error=type(error).__name__,
        place=place_of(error),
    )
