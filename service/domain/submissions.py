"""What is handed over to Amili: a submission, its chunks (one call each), its items. Pure.

A submission is a file or a request of one kind. It is cut into chunks; each is one row of the
ledger and becomes one batch at Amili. An item is one invoice, payment or correction.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
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
    #: Its batch ended and does not name it.
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


def settled(
    items: Sequence[Item], said: Iterable[BatchItem]
) -> list[tuple[Item, BatchItem | None]]:
    """Put each item together with what its ended batch says of it; None: it is not named.

    Each word of the batch stands for one item, so that two payments on one invoice are two.
    """
    waiting: dict[tuple[str, str], list[BatchItem]] = {}
    for word in said:
        for name in names_of(word):
            waiting.setdefault(name, []).append(word)
    used: set[int] = set()
    found: list[tuple[Item, BatchItem | None]] = []
    for item in items:
        free = (
            word
            for name in names_of(item)
            for word in waiting.get(name, ())
            if id(word) not in used
        )
        said_of_it = next(free, None)
        if said_of_it is not None:
            used.add(id(said_of_it))
        found.append((item, said_of_it))
    return found


def names_of(thing: Item | BatchItem) -> list[tuple[str, str]]:
    """Name a thing in every way that is known, the surest first."""
    names = (
        ("source", thing.unique_source_invoice_id),
        ("id", thing.invoice_id),
        ("number", thing.invoice_number),
    )
    return [(kind, name) for kind, name in names if name is not None]
