"""One transaction for many entities: snapshot, handlers, policies, state, plans, settled.

Each entity has a savepoint of its own, so that one that fails leaves the others alone.
Whoever lost the lease meanwhile (its fencing number is old) writes nothing.
"""

from __future__ import annotations

import traceback
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

import structlog

from service.amili.resources import Fetched
from service.domain.actions import LEVEL
from service.domain.decisions import Decision
from service.domain.entities import Claim, EntityKey, Kind, Nudge, Read
from service.domain.holds import active
from service.domain.pausing import is_confirmed_pause
from service.domain.records import BatchItem, Invoice, one_spelling
from service.policies.situations import Wishes
from service.store import (
    batches,
    cases,
    decisions,
    entities,
    events,
    holds,
    invoices,
    ledger,
    submissions,
)
from service.store.database import Tx, spoils_all
from workers import backoff
from workers.handlers import HANDLERS
from workers.handlers.looks import After, Asking, Before, Look
from workers.judging import judge_batch, judge_case
from workers.outcomes import Outcome
from workers.parts import Parts
from workers.tracking import follow
from workers.work import Work

log = structlog.get_logger()

#: Seconds after which a payload that disagrees with the API has it read again.
DOUBT_SECONDS = (2, 10, 60)
#: When a batch is looked at again whose failed items belong to no case that is known.
BATCH_AGAIN = timedelta(seconds=20)


@dataclass(frozen=True, slots=True)
class Result:
    """A claim and what fetching it brought: a record, or an error."""

    claim: Claim
    read: Read
    fetched: Fetched[Any] | None = None
    error: Exception | None = None


def apply(parts: Parts, results: Sequence[Result]) -> Outcome:
    """Apply results in one transaction; return what happened, for bells and metrics."""
    return parts.database.run(lambda tx: apply_in(tx, parts, results))


def apply_in(tx: Tx, parts: Parts, results: Sequence[Result]) -> Outcome:
    """Do what `apply` does, in the given transaction."""
    outcome = Outcome()
    # Cases first, then entities: in the order in which everybody else locks them.
    keys = {result.claim.key for result in results}
    cases.lock(tx, {key.id for key in keys if key.kind is Kind.CASE})
    held = entities.still_held(tx, [result.claim for result in results])
    mine = sorted(
        (result for result in results if result.claim.key in held),
        key=lambda result: str(result.claim.key),
    )
    outcome.leases_lost += len(results) - len(mine)
    prepared = prepare(tx, mine)
    nudged: list[Nudge] = []
    for result, look in zip(mine, prepared, strict=True):
        work, error = Work(tx, parts), result.error
        if isinstance(look, Exception):
            error = look
        elif error is None and look is not None:
            try:
                with tx.savepoint():
                    nudged += settle(work, look, result.read)
            except Exception as exc:
                if spoils_all(exc):
                    raise
                work, error = Work(tx, parts), exc
                log_unexpected(result.claim, exc)
        if error is not None:
            fail(work, result, error)
        outcome.add(work.outcome)
    # Rows of other entities are raised last and in order, so that two workers never
    # wait for each other in a circle for long.
    entities.nudge(tx, nudged)
    outcome.nudges += len(nudged)
    return outcome


def settle(work: Work, look: Look, read: Read) -> Sequence[Nudge]:
    """Save what follows from one look; return the nudges for others."""
    tx, outcome = work.tx, work.outcome
    after = HANDLERS[look.claim.key.kind].apply(look)
    wishes = save(work, look, after, read)
    rows = [cause.row for cause in look.claim.events]
    rows += events.dead_of(tx, [look.claim.key]).get(str(look.claim.key), [])
    for row in events.settle(tx, rows, "applied"):
        seconds = (tx.now - row.received_at).total_seconds()
        outcome.settled.append((bytes(row.digest), row.label, seconds))
    doubt, doubt_at = 0, None
    if after.is_doubted:
        outcome.doubts.append(str(look.claim.key.kind))
        doubt = min(look.claim.doubt + 1, len(DOUBT_SECONDS))
        if look.claim.doubt < len(DOUBT_SECONDS):
            doubt_at = tx.now + timedelta(seconds=DOUBT_SECONDS[look.claim.doubt])
    unseen_at = unseen_until(look.claim, read, work.parts.rules.read_lag)
    looks = [at for at in (doubt_at, unseen_at, wishes.look_again_at) if at is not None]
    entities.finish(tx, look.claim, doubt=doubt, look_again_at=min(looks, default=None))
    return (*after.nudges, *wishes.nudges)


def unseen_until(claim: Claim, read: Read, lag: timedelta) -> datetime | None:
    """Return when a change that nothing lets us check can be read for sure; None: it was."""
    if claim.hidden_since is None or read.began_at >= claim.hidden_since + lag:
        return None
    return claim.hidden_since + lag + timedelta(milliseconds=200)


@dataclass(frozen=True, slots=True)
class Saved:
    """What saving one record left to do."""

    nudges: tuple[Nudge, ...] = ()
    look_again_at: datetime | None = None


def save(work: Work, look: Look, after: After, read: Read) -> Saved:
    """Write the records of one look, and let the policies speak."""
    tx = work.tx
    if after.invoices:
        invoices.save(tx, after.invoices, read)
    if after.settlement is not None:
        batches.save_settlement(tx, after.settlement, read)
    if after.batch is not None and batches.save(tx, after.batch, read):
        wishes = judge_batch(work.parts, after.batch, look.before.failed)
        note(work, wishes.decisions, read)
        followed = follow(tx, after.batch, work.outcome)
        looks = (look_at_batch_again(look, wishes), followed.again_at)
        again_at = min((at for at in looks if at is not None), default=None)
        return Saved((*wishes.nudges, *followed.nudges), again_at)
    if after.case is not None:
        verdict = judge_case(work, look, after, after.case, read)
        note(work, verdict.decisions, read)
        return Saved(failed_before(tx, look, after), verdict.look_again_at)
    return Saved(failed_before(tx, look, after))


def look_at_batch_again(look: Look, wishes: Wishes) -> datetime | None:
    """Have a batch with failed items of no case looked at once more, when all is committed.

    The transaction that brings the case and this one may each not see the other's rows.
    """
    if not look.claim.causes or all(each.outcome != "no_case" for each in wishes.decisions):
        return None
    return look.now + BATCH_AGAIN


def failed_before(tx: Tx, look: Look, after: After) -> tuple[Nudge, ...]:
    """Have batches looked at again that failed for invoices whose case was not known then."""
    known = look.before.invoices
    new = [
        invoice
        for invoice in after.invoices
        if invoice.case_id is not None
        and ((row := known.get(invoice.invoice_id)) is None or row.case_id is None)
    ]
    if not new:
        return ()
    return tuple(
        Nudge(EntityKey(Kind.BATCH, batch_id), "invoice_known", organization_id=organization)
        for batch_id, organization in sorted(batches.failed_naming(tx, new).items())
    )


def note(work: Work, made: Sequence[Decision], read: Read) -> None:
    """Write decisions down; only new ones are counted."""
    for decision in decisions.save(work.tx, made, read.number):
        work.outcome.decisions.append((decision.policy, decision.outcome))


# --- what stood here before -------------------------------------------------


def prepare(tx: Tx, results: Sequence[Result]) -> list[Look | Exception | None]:
    """Look up, for all at once, what their handlers want to know; alone where that fails."""
    try:
        with tx.savepoint():
            return [*looks(tx, results)]
    except Exception as exc:
        if spoils_all(exc):
            raise
    return [alone(tx, result) for result in results]


def alone(tx: Tx, result: Result) -> Look | Exception | None:
    """Prepare one look; what it cannot be prepared for is its own failure, nobody else's."""
    try:
        with tx.savepoint():
            return looks(tx, [result])[0]
    except Exception as exc:
        if spoils_all(exc):
            raise
        log_unexpected(result.claim, exc)
        return exc


def looks(tx: Tx, results: Sequence[Result]) -> list[Look | None]:
    """Put each result together with our own rows; None for one that is an error."""
    askings = [
        HANDLERS[r.claim.key.kind].asking(r.claim, r.fetched.value) if r.fetched else Asking()
        for r in results
    ]
    before = look_up(tx, askings)
    return [
        Look(result.claim, result.fetched, replace(before, failed=named_by(tx, asking)), tx.now)
        if result.fetched
        else None
        for result, asking in zip(results, askings, strict=True)
    ]


def look_up(tx: Tx, askings: Sequence[Asking]) -> Before:
    """Ask the store once for everything but failed items."""
    ids = sorted({each for asking in askings for each in asking.invoice_ids})
    numbers = {each for asking in askings for each in asking.case_numbers}
    return Before(
        invoices=invoices.known(tx, ids) if ids else {},
        case_ids=cases.by_number(tx, numbers) if numbers else {},
    )


def named_by(tx: Tx, asking: Asking) -> dict[BatchItem, Invoice]:
    """Find the invoice that each failed item names: by id, by the creditor's id, by number."""
    items = asking.failed
    if not items:
        return {}
    named = invoices.named(
        tx,
        ids=[each.invoice_id for each in items if each.invoice_id],
        numbers=[each.invoice_number for each in items if each.invoice_number],
        sources=[each.unique_source_invoice_id for each in items if each.unique_source_invoice_id],
    )
    # Another creditor may use the same numbers: nobody's case is held for their failure.
    ours = asking.organization_id
    found = [each for each in named if ours is None or each.organization_id in (ours, None)]
    by_id = {one_spelling(each.invoice_id): each for each in found}
    by_source = {each.unique_source_invoice_id: each for each in found}
    by_number = {each.invoice_number: each for each in found}
    matches = {}
    for item in items:
        match = (
            by_id.get(one_spelling(item.invoice_id or ""))
            or (item.unique_source_invoice_id and by_source.get(item.unique_source_invoice_id))
            or (item.invoice_number and by_number.get(item.invoice_number))
        )
        if match:
            matches[item] = match
    return matches


# --- failures -----------------------------------------------------------------


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
    last = traceback.extract_tb(error.__traceback__)[-1]
    log.error(
        "unexpected_fault",
        entity=str(claim.key),
        error=type(error).__name__,
        place=f"{last.filename.rpartition('/')[2]}:{last.lineno}",
    )
