"""Whether a chunk whose answer was lost has arrived: Amili is asked, nothing is sent again.

First by the idempotency key that the call carried, then by the creditor's own invoice ids.
Neither is documented to work for this [assumed], so a «yes» must fit in every other way, and
a «no» is believed only after ten minutes, by a person.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import timedelta

import structlog

from service.amili.client import AmiliClient
from service.amili.resources import Batch, Invoice
from service.domain.actions import Action, ActionKind, ActionState
from service.domain.entities import EntityKey, Kind, Nudge
from service.domain.submissions import Item, ItemState, place
from service.errors import ProviderError
from service.store import entities, ledger, submissions
from service.store.database import Tx
from service.store.ledger import Due
from workers.outcomes import Outcome
from workers.parts import Parts
from workers.submitting import lost, save, taken

log = structlog.get_logger()

#: Amili's clock and ours may differ so much.
CLOCKS_APART = timedelta(minutes=2)
#: Batches that one key may bring before we take it that the filter has no effect.
MOST_BATCHES = 3


@dataclass(frozen=True, slots=True)
class Lost:
    """A chunk of unknown fate, with its items."""

    action: Action
    items: Sequence[Item]


@dataclass(frozen=True, slots=True)
class Found:
    """What Amili shows of it: its batch, or the invoices that exist (position → invoice id)."""

    batch_id: str | None = None
    invoices: tuple[tuple[int, str], ...] = ()


async def look_up(parts: Parts, client: AmiliClient, due: Due) -> None:
    """Ask Amili for one chunk, and write down what is known now."""
    sought = await asyncio.to_thread(read, parts, due)
    if sought is None:
        return
    try:
        found = await find(parts, client, sought)
    except ProviderError as exc:
        log.info("not_looked_up", action_id=due.action_id, reason=str(exc))
        found = Found()
    outcome = await asyncio.to_thread(write, parts, sought, found)
    await asyncio.to_thread(outcome.tell, parts)


def read(parts: Parts, due: Due) -> Lost | None:
    """Read the chunk; None when it is settled already."""
    with parts.database.read() as tx:
        action = ledger.get(tx, due.action_id)
        if action is None or action.state is not ActionState.UNCERTAIN:
            return None
        return Lost(action, submissions.items_of(tx, *place(action.target)))


async def find(parts: Parts, client: AmiliClient, sought: Lost) -> Found:
    """Look for the batch, then for the invoices. Raises ProviderError."""
    batch = await find_batch(client, sought)
    if batch is not None and await asyncio.to_thread(is_free, parts, batch.batch_id):
        return Found(batch.batch_id)
    if sought.action.kind is not ActionKind.CREATE_INVOICES:
        return Found()
    probes = {0, len(sought.items) // 2, len(sought.items) - 1}
    if not await find_invoices(client, sought.action, [sought.items[n] for n in sorted(probes)]):
        return Found()
    return Found(invoices=await find_invoices(client, sought.action, sought.items))


async def find_batch(client: AmiliClient, sought: Lost) -> Batch | None:
    """Find the one batch with our key that fits in every other way."""
    action = sought.action
    found: list[Batch] = []
    batches = client.get_batches_by_organization(
        action.organization_id or "", idempotency_key=action.action_id
    )
    async for each in batches:
        found.append(each.value)
        if len(found) > MOST_BATCHES:
            return None
    fitting = [batch for batch in found if fits(batch, sought)]
    return fitting[0] if len(fitting) == 1 else None


def fits(batch: Batch, sought: Lost) -> bool:
    """It was created after we sent, and names nothing that is not ours."""
    sent_at = sought.action.sent_at
    if batch.created_at and sent_at and batch.created_at < sent_at - CLOCKS_APART:
        return False
    ours = {item.invoice_number for item in sought.items} | {
        item.invoice_id for item in sought.items
    }
    named = {each.invoice_number for each in batch.succeeded}
    named |= {each.invoice_number for each in batch.failed}
    ids = {each.invoice_id for each in batch.succeeded} - {None}
    return named - {None} <= ours or bool(ids & ours)


def is_free(parts: Parts, batch_id: str) -> bool:
    """Say whether no other chunk of ours became this batch."""
    with parts.database.read() as tx:
        return submissions.chunk_of_batch(tx, batch_id) is None


async def find_invoices(
    client: AmiliClient, action: Action, items: Sequence[Item]
) -> tuple[tuple[int, str], ...]:
    """Find those of these invoices that exist at Amili."""
    found = await asyncio.gather(*(find_invoice(client, action, item) for item in items))
    return tuple(
        (item.position, invoice_id)
        for item, invoice_id in zip(items, found, strict=True)
        if invoice_id is not None
    )


async def find_invoice(client: AmiliClient, action: Action, item: Item) -> str | None:
    """Find one invoice by the creditor's own id."""
    name = item.unique_source_invoice_id
    if name is None:
        return None
    listed = client.get_invoices_by_organization(
        action.organization_id or "", unique_source_invoice_id=name
    )
    async for each in listed:
        # Were the filter without effect, any invoice would come first.
        return each.value.invoice_id if is_same(each.value, item) else None
    return None


def is_same(invoice: Invoice, item: Item) -> bool:
    """It carries our id; where an invoice does not tell it [cut], at least our number."""
    if invoice.unique_source_invoice_id is not None:
        return invoice.unique_source_invoice_id == item.unique_source_invoice_id
    return invoice.invoice_number is not None and invoice.invoice_number == item.invoice_number


def write(parts: Parts, sought: Lost, found: Found) -> Outcome:
    """Write down what was found, unless somebody else has judged it meanwhile."""
    return parts.database.run(lambda tx: write_in(tx, sought, found))


def write_in(tx: Tx, sought: Lost, found: Found) -> Outcome:
    """Do what `write` does, in the given transaction."""
    outcome = Outcome()
    action = ledger.lock(tx, sought.action.action_id)
    if action is None or action.state is not ActionState.UNCERTAIN:
        return outcome
    if found.batch_id is not None:
        save(tx, replace(action, state=ActionState.ANSWERED, not_before=None), outcome)
        taken(tx, action, found.batch_id)
        return outcome
    after = lost(action, tx)
    if found.invoices:
        note_invoices(tx, action, found, outcome)
        everything = len(found.invoices) == len(sought.items)
        if everything or after.closed_at is not None:
            after = replace(after, state=ActionState.CONFIRMED, not_before=None, closed_at=tx.now)
            end_chunk(tx, sought, found, outcome)
    save(tx, after, outcome)
    return outcome


def note_invoices(tx: Tx, action: Action, found: Found, outcome: Outcome) -> None:
    """Note the invoices that exist: they were taken, though no batch says so."""
    ids = dict(found.invoices)
    submission_id, number = place(action.target)
    items = [
        replace(item, state=ItemState.SUCCEEDED, invoice_id=ids[item.position])
        for item in submissions.items_of(tx, submission_id, number)
        if item.position in ids and item.state is ItemState.OPEN
    ]
    submissions.save_items(tx, submission_id, items, tx.now)
    entities.nudge(tx, [nudge(action, invoice_id) for invoice_id in sorted(ids.values())])
    if items:
        outcome.items.append((str(action.kind), str(ItemState.SUCCEEDED), len(items)))


def nudge(action: Action, invoice_id: str) -> Nudge:
    """Have an invoice read that no batch will tell of."""
    key = EntityKey(Kind.INVOICE, invoice_id)
    detail = {"action_id": action.action_id}
    return Nudge(key, "submission", detail, organization_id=action.organization_id)


def end_chunk(tx: Tx, sought: Lost, found: Found, outcome: Outcome) -> None:
    """The chunk arrived, and no batch of it is known: what does not exist by now was not taken."""
    submission_id, number = place(sought.action.target)
    ids = dict(found.invoices)
    missing = [
        replace(item, state=ItemState.UNLISTED) for item in sought.items if item.position not in ids
    ]
    submissions.save_items(tx, submission_id, missing, tx.now)
    chunk = submissions.chunk(tx, submission_id, number)
    if chunk is not None:
        submissions.save_chunk(tx, replace(chunk, ended_at=tx.now))
    if missing:
        outcome.items.append((str(sought.action.kind), str(ItemState.UNLISTED), len(missing)))
