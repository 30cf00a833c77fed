"""One transaction for many entities: snapshot, handlers, policies, state, plans, settled.

What is judged for one is pure, so that one that fails leaves the others alone; what follows is
written for all at once. Where the database refuses that, `looking.apply_apart` cuts the group in
halves until only the guilty one fails. Whoever lost the lease meanwhile (its fencing number is
old) writes nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from service.domain.decisions import Decision
from service.domain.entities import Claim, EntityKey, Kind, Nudge, Read
from service.domain.records import Batch, BatchItem, Invoice, one_spelling
from service.policies.situations import Wishes
from service.store import batches, cases, entities, finishing, invoices
from service.store.database import Tx, spoils_all
from workers.failing import fail, log_unexpected
from workers.handlers import HANDLERS
from workers.handlers.looks import After, Asking, Before, Look
from workers.judging import judge_batch, judge_case
from workers.kept import Kept, kept_of
from workers.outcomes import Outcome
from workers.parts import Parts
from workers.tracking import follow
from workers.work import Result, Work
from workers.writes import Writes

#: Seconds after which a payload that disagrees with the API has it read again.
DOUBT_SECONDS = (2, 10, 60)
#: When a batch is looked at again whose failed items belong to no case that is known.
BATCH_AGAIN = timedelta(seconds=20)


def apply(parts: Parts, results: Sequence[Result]) -> Outcome:
    """Apply results in one transaction; return what happened, for bells and metrics."""
    return parts.database.run(lambda tx: apply_in(tx, parts, results))


def apply_in(tx: Tx, parts: Parts, results: Sequence[Result]) -> Outcome:
    """Do what `apply` does, in the given transaction."""
    outcome, writes = Outcome(), Writes()
    # Cases first, then entities: in the order in which everybody else locks them.
    keys = {result.claim.key for result in results}
    standings = cases.lock(tx, {key.id for key in keys if key.kind is Kind.CASE})
    held = entities.still_held(tx, [result.claim for result in results])
    mine = sorted(
        (result for result in results if result.claim.key in held),
        key=lambda result: str(result.claim.key),
    )
    outcome.leases_lost += len(results) - len(mine)
    seen, wrong = handled(mine, prepare(tx, mine))
    save_records(tx, seen)
    nudged: list[Nudge] = []
    kept = kept_of(tx, standings, [each.after.case.case_id for each in seen if each.after.case])
    for each in seen:
        work = Work(tx, parts)
        try:
            nudges = settle(work, kept, each)
        except Exception as exc:
            if spoils_all(exc):
                raise
            log_unexpected(each.result.claim, exc)
            wrong.append((each.result, exc))
            if each.after.invoices:  # they are saved: the next look finds nothing new in them
                nudged += each.after.nudges
        else:
            nudged += nudges
            writes.add(work.writes)
            outcome.add(work.outcome)
    writes.write(tx, outcome)
    for result, error in wrong:
        work = Work(tx, parts)
        fail(work, result, error)
        outcome.add(work.outcome)
    # Asked last: a batch that is written just now may name an invoice that is, too.
    nudged += failed_before(tx, [invoice for each in seen for invoice in newly_known(each)])
    # Rows of other entities are raised last and in order, so that two workers never
    # wait for each other in a circle for long.
    entities.nudge(tx, nudged)
    outcome.nudges += len(nudged)
    return outcome


@dataclass(frozen=True, slots=True)
class Seen:
    """A result, the look that it makes possible, and what its handler says of it."""

    result: Result
    look: Look
    after: After


Wrong = list[tuple[Result, Exception]]


def handled(
    results: Sequence[Result], looks: Sequence[Look | Exception | None]
) -> tuple[list[Seen], Wrong]:
    """Ask every handler; a result without a look is an error, and so is a handler that fails."""
    seen: list[Seen] = []
    wrong: Wrong = []
    for result, look in zip(results, looks, strict=True):
        if isinstance(look, Look):
            try:
                seen.append(Seen(result, look, HANDLERS[look.claim.key.kind].apply(look)))
            except Exception as exc:
                log_unexpected(result.claim, exc)
                wrong.append((result, exc))
        else:
            wrong.append((result, look or result.error or LookupError("nothing was fetched")))
    return seen, wrong


def save_records(tx: Tx, seen: Sequence[Seen]) -> None:
    """Write the invoices and settlements of all looks."""
    invoices.save(
        tx, [(invoice, each.result.read) for each in seen for invoice in each.after.invoices]
    )
    settled = [(each.after.settlement, each.result.read) for each in seen if each.after.settlement]
    batches.save_settlements(tx, settled)


def settle(work: Work, kept: Kept, seen: Seen) -> Sequence[Nudge]:
    """Conclude what follows from one look; return the nudges for others."""
    outcome, look, read = work.outcome, seen.look, seen.result.read
    wishes = conclude(work, kept, seen)
    work.writes.settled += [cause.row for cause in look.claim.events]
    doubt, doubt_at = 0, None
    if seen.after.is_doubted:
        outcome.doubts.append(str(look.claim.key.kind))
        doubt = min(look.claim.doubt + 1, len(DOUBT_SECONDS))
        if look.claim.doubt < len(DOUBT_SECONDS):
            doubt_at = work.tx.now + timedelta(seconds=DOUBT_SECONDS[look.claim.doubt])
    unseen_at = unseen_until(look.claim, read, work.parts.rules.read_lag)
    looks = [at for at in (doubt_at, unseen_at, wishes.look_again_at) if at is not None]
    again_at = min(looks, default=None)
    work.writes.finished.append(finishing.Finished(look.claim, doubt, again_at))
    return (*seen.after.nudges, *wishes.nudges)


def unseen_until(claim: Claim, read: Read, lag: timedelta) -> datetime | None:
    """Return when a change that nothing lets us check can be read for sure; None: it was."""
    if claim.hidden_since is None or read.began_at >= claim.hidden_since + lag:
        return None
    return claim.hidden_since + lag + timedelta(milliseconds=200)


@dataclass(frozen=True, slots=True)
class Concluded:
    """What one look leaves to do for others, and later."""

    nudges: tuple[Nudge, ...] = ()
    look_again_at: datetime | None = None


def conclude(work: Work, kept: Kept, seen: Seen) -> Concluded:
    """Let the policies speak of a case or a batch."""
    if seen.after.batch is not None:
        with work.tx.savepoint():
            return conclude_batch(work, seen, seen.after.batch)
    if seen.after.case is not None:
        verdict = judge_case(work, kept, seen.look, seen.after, seen.result.read)
        note(work, verdict.decisions, seen.result.read)
        return Concluded(look_again_at=verdict.look_again_at)
    return Concluded()


def conclude_batch(work: Work, seen: Seen, batch: Batch) -> Concluded:
    """Write a batch with its items, and follow what was handed over in it."""
    look, read = seen.look, seen.result.read
    if not batches.save(work.tx, batch, read):
        return Concluded()
    wishes = judge_batch(work.parts, batch, look.before.failed)
    note(work, wishes.decisions, read)
    followed = follow(work.tx, batch, work.outcome)
    looks = (look_at_batch_again(look, wishes), followed.again_at)
    again_at = min((at for at in looks if at is not None), default=None)
    return Concluded((*wishes.nudges, *followed.nudges), again_at)


def look_at_batch_again(look: Look, wishes: Wishes) -> datetime | None:
    """Have a batch with failed items of no case looked at once more, when all is committed.

    The transaction that brings the case and this one may each not see the other's rows.
    """
    if not look.claim.causes or all(each.outcome != "no_case" for each in wishes.decisions):
        return None
    return look.now + BATCH_AGAIN


def newly_known(seen: Seen) -> list[Invoice]:
    """Return the invoices of a look whose case was not known before it."""
    known = seen.look.before.invoices
    return [
        invoice
        for invoice in seen.after.invoices
        if invoice.case_id is not None
        and ((row := known.get(invoice.invoice_id)) is None or row.case_id is None)
    ]


def failed_before(tx: Tx, new: Sequence[Invoice]) -> tuple[Nudge, ...]:
    """Have batches looked at again that failed for invoices whose case was not known then."""
    return tuple(
        Nudge(EntityKey(Kind.BATCH, batch_id), "invoice_known", organization_id=organization)
        for batch_id, organization in sorted(batches.failed_naming(tx, new).items())
    )


def note(work: Work, made: Sequence[Decision], read: Read) -> None:
    """Have decisions written down; only new ones are counted."""
    work.writes.decisions += [(decision, read.number) for decision in made]


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
