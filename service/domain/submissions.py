"""What is handed over to Amili: a submission, its chunks (one call each), its items. Pure.

A submission is a file or a request of one kind. It is cut into chunks; each is one row of the
ledger and becomes one batch at Amili. An item is one invoice, payment or correction.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence, Set
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal
from enum import StrEnum

from service.domain.actions import ActionKind
from service.domain.records import BatchItem


class SubmissionKind(StrEnum):
    """What can be handed over."""

    INVOICES = "invoices"
    PAYMENTS = "payments"
    CORRECTIONS = "corrections"


#: The ledger's word for one chunk of each.
ACTIONS: Mapping[SubmissionKind, ActionKind] = {
    SubmissionKind.INVOICES: ActionKind.CREATE_INVOICES,
    SubmissionKind.PAYMENTS: ActionKind.CREATE_PAYMENTS,
    SubmissionKind.CORRECTIONS: ActionKind.CREATE_CORRECTIONS,
}


class ItemState(StrEnum):
    """What became of an item."""

    OPEN = "open"
    SUCCEEDED = "succeeded"
    #: Its batch ended and tells why not.
    FAILED = "failed"
    #: Its batch ended and does not say which it is: a person has to ask Amili.
    UNLISTED = "unlisted"
    #: Amili refused the whole chunk.
    REFUSED = "refused"


#: Batch statuses after which nothing follows [seed, doc].
ENDED = frozenset({"SUCCESS", "PARTIAL", "FAILED"})
#: Seconds after a lost answer at which Amili is asked whether the chunk arrived; after the last
#: it waits for a person.
LOOKUPS = (5, 15, 30, 60, 120, 240, 420, 600)
#: Between these a batch of ours that has not ended is read again: half its age.
SHORTEST_POLL, LONGEST_POLL = timedelta(seconds=2), timedelta(minutes=10)


@dataclass(frozen=True, slots=True)
class Submission:
    """A file or a request; unique by (organization, kind, key)."""

    submission_id: str
    kind: SubmissionKind
    organization_id: str
    key: str
    digest: bytes
    #: `staging` while its rows are written and nothing is sent, then `ready`.
    state: str
    items: int
    chunks: int
    created_at: datetime

    def chunk_of(self, position: int) -> int:
        """Say in which chunk an item stands: all are of nearly one size."""
        return position * self.chunks // self.items


@dataclass(frozen=True, slots=True)
class NewItem:
    """An item as it will be sent; `body` is its JSON text."""

    line: int
    body: str = field(repr=False)
    unique_source_invoice_id: str | None = None
    invoice_number: str | None = None
    invoice_id: str | None = None
    #: By how much the claim is to become smaller; of payments and corrections.
    amount: Decimal | None = None


@dataclass(frozen=True, slots=True)
class Chunk:
    """One call of a submission."""

    submission_id: str
    chunk: int
    action_id: str
    items: int
    batch_id: str | None = None
    batch_status: str | None = None
    ended_at: datetime | None = None

    @property
    def target(self) -> str:
        """What the ledger calls it."""
        return target(self.submission_id, self.chunk)


@dataclass(frozen=True, slots=True)
class Item:
    """An item by what a batch may name it."""

    position: int
    unique_source_invoice_id: str | None
    invoice_number: str | None
    invoice_id: str | None
    state: ItemState = ItemState.OPEN
    errors: str | None = None


def target(submission_id: str, chunk: int) -> str:
    """Name a chunk in the ledger."""
    return f"{submission_id}/{chunk}"


def place(name: str) -> tuple[str, int]:
    """Read back what `target` wrote."""
    submission_id, _, chunk = name.rpartition("/")
    return submission_id, int(chunk)


def next_lookup(ended_at: datetime, now: datetime) -> datetime | None:
    """Say when a chunk whose answer was lost is looked up next; None: no more."""
    times = (ended_at + timedelta(seconds=seconds) for seconds in LOOKUPS)
    return next((at for at in times if at > now), None)


def next_poll(answered_at: datetime, now: datetime) -> datetime:
    """Say when a batch that has not ended is read again: the older, the later."""
    return now + min(max((now - answered_at) / 2, SHORTEST_POLL), LONGEST_POLL)


def has_ended(status: str | None) -> bool:
    """Say whether nothing follows on this status of a batch, however it is spelt."""
    return status is not None and status.upper() in ENDED


def settled(
    items: Sequence[Item], said: Iterable[BatchItem]
) -> list[tuple[Item, BatchItem | None]]:
    """Put each item together with what its ended batch says of it; None: it is not named.

    Each word of the batch stands for one item, so that two payments on one invoice are two. The
    creditor's own id is matched before Amili's, that before a number, and a number only where
    no other item or word has it.
    """
    words = list(said)
    found: dict[int, BatchItem] = {}
    for name in (source_of, id_of, number_of):
        left = [item for item in items if item.position not in found]
        doubles = double(left, name) | double(words, name) if name is number_of else set()
        matched = match(left, words, name, doubles)
        found |= matched
        used = {id(word) for word in matched.values()}
        words = [word for word in words if id(word) not in used]
    found |= the_rest([item for item in items if item.position not in found], words)
    return [(item, found.get(item.position)) for item in items]


Name = Callable[[Item | BatchItem], str | None]


def double(things: Iterable[Item | BatchItem], name: Name) -> set[str]:
    """List the names that several of these have."""
    counted = Counter(key for thing in things if (key := name(thing)) is not None)
    return {key for key, count in counted.items() if count > 1}


def match(
    items: Sequence[Item], words: Sequence[BatchItem], name: Name, but: Set[str]
) -> dict[int, BatchItem]:
    """Match items with words of one name, in their order; names in `but` say nothing."""
    waiting: dict[str, list[BatchItem]] = {}
    for word in words:
        if (key := name(word)) is not None and key not in but:
            waiting.setdefault(key, []).append(word)
    found: dict[int, BatchItem] = {}
    for item in items:
        free = waiting.get(name(item) or "", [])
        fitting = next((word for word in free if not contradicts(item, word)), None)
        if fitting is not None:
            free.remove(fitting)
            found[item.position] = fitting
    return found


def the_rest(items: Sequence[Item], words: Sequence[BatchItem]) -> dict[int, BatchItem]:
    """Give the words that name nobody to the items that nobody named: as many, and all alike."""
    alike = len({word.succeeded for word in words}) == 1
    nameless = all(not names_anything(word) for word in words)
    if not (alike and nameless and len(items) == len(words)):
        return {}
    return {item.position: word for item, word in zip(items, words, strict=True)}


def source_of(thing: Item | BatchItem) -> str | None:
    """Name a thing by the creditor's own id."""
    return thing.unique_source_invoice_id


def id_of(thing: Item | BatchItem) -> str | None:
    """Name a thing by Amili's id, in one spelling."""
    return thing.invoice_id and thing.invoice_id.lower()


def number_of(thing: Item | BatchItem) -> str | None:
    """Name a thing by its number."""
    return thing.invoice_number


def contradicts(item: Item, word: BatchItem) -> bool:
    """Both have the creditor's own id, and not the same one."""
    ours, theirs = item.unique_source_invoice_id, word.unique_source_invoice_id
    return ours is not None and theirs is not None and ours != theirs


def names_anything(word: BatchItem) -> bool:
    """It has any name at all."""
    return bool(word.unique_source_invoice_id or word.invoice_id or word.invoice_number)
