"""Whether a chunk whose answer was lost has arrived: Amili is asked, nothing is sent again.

First by the idempotency key that the call carried, then by the creditor's own invoice ids.
Neither is documented to work for this [assumed], so a «yes» must fit in every other way, and
a «no» is believed only after ten minutes, by a person. A look that Amili did not answer is no
look.
"""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import timedelta

import structlog

from service.amili.client import AmiliClient, Purpose
from service.amili.resources import Batch, Invoice
from service.domain.actions import Action, ActionKind, ActionState
from service.domain.entities import EntityKey, Kind, Nudge
from service.domain.submissions import Item, ItemState, next_lookup, place
from service.errors import ProviderError
from service.store import entities, ledger, submissions
from service.store.database import Tx
from service.store.ledger import Due
from workers.outcomes import Outcome
from workers.parts import Parts
from workers.submitting import answer, lost, save

log = structlog.get_logger()

#: Amili's clock and ours may differ so much.
CLOCKS_APART = timedelta(minutes=2)
#: Records that one key or id may bring before we take it that the filter has no effect.
MOST_LISTED = 20
#: Invoices asked for before all of them are: of a chunk that never arrived there is none.
SAMPLE = 8
TOGETHER = 8
#: When Amili is asked again after a look that it did not answer.
UNANSWERED = timedelta(seconds=30)
#: The types of batches that another kind of submission becomes [doc: INVOICE; others assumed].
FOREIGN: Mapping[ActionKind, frozenset[str]] = {
    ActionKind.CREATE_INVOICES: frozenset({"PAYMENT", "CORRECTION"}),
    ActionKind.CREATE_PAYMENTS: frozenset({"INVOICE", "CORRECTION"}),
    ActionKind.CREATE_CORRECTIONS: frozenset({"INVOICE", "PAYMENT"}),
}


@dataclass(frozen=True, slots=True)
class Lost:
    """A chunk of unknown fate, with its items."""

    action: Action
    items: Sequence[Item]
    #: The last look, or one before it is sent again: every item is asked for.
    is_thorough: bool

    @property
    def open(self) -> list[Item]:
        """The items of which nothing is known."""
        return [item for item in self.items if item.state is ItemState.OPEN]


@dataclass(frozen=True, slots=True)
class Found:
    """What Amili shows of it: its batch, or the invoices that exist (position → invoice id)."""

    batch_id: str | None = None
    invoices: Mapping[int, str] = field(default_factory=dict)
    #: Amili answered everything that was asked.
    is_complete: bool = True


async def look_up(parts: Parts, client: AmiliClient, due: Due) -> None:
    """Ask Amili for one chunk, and write down what is known now."""
    sought = await asyncio.to_thread(read, parts, due)
    if sought is None:
        return
    found = await find(client.at(Purpose.RECONCILE), sought)
    outcome = await asyncio.to_thread(write, parts, sought, found)
    await asyncio.to_thread(outcome.tell, parts)


def read(parts: Parts, due: Due) -> Lost | None:
    """Read the chunk; None when it is settled already."""
    with parts.database.read() as tx:
        action = ledger.get(tx, due.action_id)
        if action is None or action.state is not ActionState.UNCERTAIN:
            return None
        is_last = action.ended_at is None or next_lookup(action.ended_at, tx.now) is None
        items = submissions.items_of(tx, *place(action.target))
    seen = any(item.state is ItemState.SUCCEEDED for item in items)
    return Lost(action, items, is_last or seen or is_to_be_resent(action))


def is_to_be_resent(action: Action) -> bool:
    """A person said that it did not arrive: one more look, then it is sent again."""
    return "resend" in action.detail


# --- by its key -------------------------------------------------------------------


async def find(client: AmiliClient, sought: Lost) -> Found:
    """Look for the batch, then for the invoices."""
    try:
        batch = await find_batch(client, sought)
    except ProviderError as exc:
        return unanswered(sought, exc, Found(is_complete=False))
    if batch is not None:
        return Found(batch.batch_id)
    if sought.action.kind is not ActionKind.CREATE_INVOICES:
        return Found()
    return await find_invoices(client, sought)


async def find_batch(client: AmiliClient, sought: Lost) -> Batch | None:
    """Find the one batch with our key that fits in every other way. Raises ProviderError."""
    found = await listed(client, sought.action, sought.action.action_id)
    fitting = [batch for batch in found if fits(batch, sought)]
    if len(fitting) != 1:
        return None
    # Were the filter without effect, any key would bring batches.
    return None if await listed(client, sought.action, str(uuid.uuid4())) else fitting[0]


async def listed(client: AmiliClient, action: Action, key: str) -> list[Batch]:
    """List the batches of a key, as many as say whether the filter works."""
    found: list[Batch] = []
    batches = client.get_batches_by_organization(action.organization_id or "", idempotency_key=key)
    async for each in batches:
        found.append(each.value)
        if len(found) > MOST_LISTED:
            break
    return found


def fits(batch: Batch, sought: Lost) -> bool:
    """It is of our kind, no older than our wish, and names nothing that is not ours."""
    action = sought.action
    if batch.created_at and batch.created_at < action.planned_at - CLOCKS_APART:
        return False
    if (batch.type or "").upper() in FOREIGN[action.kind]:
        return False
    ours = {name for item in sought.items for name in (item.invoice_number, item.invoice_id)}
    named = {each.invoice_number for each in batch.succeeded}
    named |= {each.invoice_number for each in batch.failed}
    ids = {each.invoice_id for each in batch.succeeded} - {None}
    return named - {None} <= ours or bool(folded(ids) & folded(ours))


def folded(names: set[str | None]) -> set[str]:
    """Write ids in one spelling."""
    return {name.lower() for name in names if name}


# --- by the creditor's ids ----------------------------------------------------------


async def find_invoices(client: AmiliClient, sought: Lost) -> Found:
    """Find those of its invoices that exist: of a few, and of all where one of these does."""
    items = sought.open
    if not sought.is_thorough and len(items) > SAMPLE:
        step = (len(items) - 1) / (SAMPLE - 1)
        found = await ask_for(client, sought, [items[round(n * step)] for n in range(SAMPLE)])
        if not (found.is_complete and found.invoices):
            return found
    return await ask_for(client, sought, items)


async def ask_for(client: AmiliClient, sought: Lost, items: Sequence[Item]) -> Found:
    """Ask for these invoices, a few at once; what was found before an error counts."""
    invoices: dict[int, str] = {}
    for start in range(0, len(items), TOGETHER):
        some = items[start : start + TOGETHER]
        asked = (find_invoice(client, sought.action, item) for item in some)
        for item, each in zip(
            some, await asyncio.gather(*asked, return_exceptions=True), strict=True
        ):
            if isinstance(each, ProviderError):
                return unanswered(sought, each, Found(invoices=invoices, is_complete=False))
            if isinstance(each, BaseException):
                raise each
            if each is not None:
                invoices[item.position] = each
    return Found(invoices=invoices)


async def find_invoice(client: AmiliClient, action: Action, item: Item) -> str | None:
    """Find one invoice by the creditor's own id."""
    name = item.unique_source_invoice_id
    if name is None:
        return None
    invoices = client.get_invoices_by_organization(
        action.organization_id or "", unique_source_invoice_id=name
    )
    seen = 0
    async for each in invoices:
        # The filter may let through what only begins alike, or everything.
        if is_same(each.value, item):
            return each.value.invoice_id
        seen += 1
        if seen > MOST_LISTED:
            break
    return None


def is_same(invoice: Invoice, item: Item) -> bool:
    """It carries our id; where an invoice does not tell it [cut], at least our number."""
    if invoice.unique_source_invoice_id is not None:
        return invoice.unique_source_invoice_id == item.unique_source_invoice_id
    return invoice.invoice_number is not None and invoice.invoice_number == item.invoice_number


def unanswered(sought: Lost, error: ProviderError, found: Found) -> Found:
    """Say that Amili did not answer."""
    log.info("not_looked_up", action_id=sought.action.action_id, reason=str(error))
    return found


# --- what is known now ----------------------------------------------------------------


def write(parts: Parts, sought: Lost, found: Found) -> Outcome:
    """Write down what was found, unless somebody else has judged it meanwhile."""
    return parts.database.run(lambda tx: write_in(tx, sought, found))


def write_in(tx: Tx, sought: Lost, found: Found) -> Outcome:
    """Do what `write` does, in the given transaction."""
    outcome = Outcome()
    action = ledger.lock(tx, sought.action.action_id)
    if action is None or action.state is not ActionState.UNCERTAIN:
        return outcome
    if found.batch_id is not None and submissions.chunk_of_batch(tx, found.batch_id) is None:
        answer(tx, action, found.batch_id, outcome)
        return outcome
    note_invoices(tx, action, found, outcome)
    left = len(sought.open) - len(found.invoices)
    if action.kind is ActionKind.CREATE_INVOICES and not left:
        save(tx, confirmed(tx, action), outcome)
    elif not found.is_complete:
        save(tx, replace(action, not_before=tx.now + UNANSWERED), outcome)
    elif is_to_be_resent(action):
        save(tx, planned(action), outcome)
    else:
        save(tx, lost(action, tx), outcome)
    return outcome


def confirmed(tx: Tx, action: Action) -> Action:
    """Every invoice of the chunk exists: it arrived, though no batch of it is known."""
    chunk = submissions.chunk(tx, *place(action.target))
    if chunk is not None:
        submissions.save_chunk(tx, replace(chunk, ended_at=tx.now))
    return replace(action, state=ActionState.CONFIRMED, not_before=None, closed_at=tx.now)


def planned(action: Action) -> Action:
    """It is sent again, with the same key, on a person's word: what is still open of it."""
    detail = {name: words for name, words in action.detail.items() if name != "resend"}
    return replace(action, state=ActionState.PLANNED, not_before=None, detail=detail)


def note_invoices(tx: Tx, action: Action, found: Found, outcome: Outcome) -> None:
    """Note the invoices that exist: they were taken, though no batch says so."""
    submission_id, number = place(action.target)
    items = [
        replace(item, state=ItemState.SUCCEEDED, invoice_id=found.invoices[item.position])
        for item in submissions.items_of(tx, submission_id, number)
        if item.position in found.invoices and item.state is ItemState.OPEN
    ]
    submissions.save_items(tx, submission_id, items, tx.now)
    entities.nudge(tx, [nudge(action, str(item.invoice_id)) for item in items])
    if items:
        outcome.items.append((str(action.kind), str(ItemState.SUCCEEDED), len(items)))


def nudge(action: Action, invoice_id: str) -> Nudge:
    """Have an invoice read that no batch will tell of."""
    key = EntityKey(Kind.INVOICE, invoice_id)
    detail = {"action_id": action.action_id}
    return Nudge(key, "submission", detail, organization_id=action.organization_id)
