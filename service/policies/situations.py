"""What a policy sees, and what it may wish."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime

from service.domain.decisions import Decision
from service.domain.entities import Cause, EntityKey, Kind, Nudge
from service.domain.holds import Hold, active
from service.domain.records import Batch, BatchItem, Case, Invoice
from service.domain.reports import Report


@dataclass(frozen=True, slots=True)
class CaseSituation:
    """One case, just read, with its invoices, its holds and the reasons for the look."""

    case: Case
    invoices: tuple[Invoice, ...]
    holds: tuple[Hold, ...]
    causes: tuple[Cause, ...]
    now: datetime
    #: What the creditor reported about its invoices, oldest first.
    reported: tuple[Report, ...] = ()
    #: What ended at Amili up to then is surely shown by this read; None: nothing is sure.
    seen_until: datetime | None = None

    @property
    def key(self) -> EntityKey:
        """The case as an entity."""
        return EntityKey(Kind.CASE, self.case.case_id)

    @property
    def active_holds(self) -> tuple[Hold, ...]:
        """The holds in force."""
        return active(self.holds, self.now)

    @property
    def is_settled_in_full(self) -> bool:
        """Every invoice of it is paid or credited to the last øre."""
        return bool(self.invoices) and all(i.remaining_amount == 0 for i in self.invoices)

    @property
    def is_over(self) -> bool:
        """There is nothing left to collect, so nothing left to pause or resume."""
        return self.case.is_closed or self.is_settled_in_full


@dataclass(frozen=True, slots=True)
class BatchSituation:
    """One batch, just read, and the invoices of its failed items that are known here."""

    batch: Batch
    #: Failed item → the invoice that it names, for those that are known.
    known: Mapping[BatchItem, Invoice]

    @property
    def key(self) -> EntityKey:
        """The batch as an entity."""
        return EntityKey(Kind.BATCH, self.batch.batch_id)


@dataclass(frozen=True, slots=True)
class Place:
    """Wish for a hold; the same key places it once, for ever."""

    reason: str
    key: str


@dataclass(frozen=True, slots=True)
class Release:
    """Wish for the end of a hold."""

    hold_id: str
    by: str


@dataclass(frozen=True, slots=True)
class Wishes:
    """All that a policy asks for, with the reasons."""

    place: tuple[Place, ...] = ()
    release: tuple[Release, ...] = ()
    nudges: tuple[Nudge, ...] = ()
    decisions: tuple[Decision, ...] = field(default=())
    #: Look at the case once more then, though nothing may be told; None: no need.
    look_again_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Policy:
    """A name and what it says to each kind of situation."""

    name: str
    on_case: Callable[[CaseSituation], Wishes] | None = None
    on_batch: Callable[[BatchSituation], Wishes] | None = None
