"""What a handler is given, and what it answers with."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal

from service.amili.resources import Fetched
from service.domain.entities import Claim, Nudge
from service.domain.records import Batch, BatchItem, Case, Invoice, Settlement

Operation = Literal["batch", "invoice", "case", "settlement"]


@dataclass(frozen=True, slots=True)
class Ask:
    """One thing to fetch; a case is asked for by its number."""

    operation: Operation
    organization_id: str | None
    id: str


@dataclass(frozen=True, slots=True)
class Asking:
    """What would have to be looked up in our own rows, given what was fetched."""

    invoice_ids: tuple[str, ...] = ()
    case_numbers: tuple[str, ...] = ()
    failed: tuple[BatchItem, ...] = ()
    #: Whose invoices the failed items may name: numbers are a creditor's own.
    organization_id: str | None = None


@dataclass(frozen=True, slots=True)
class Before:
    """What our own rows say, as far as a handler asked."""

    invoices: Mapping[str, Invoice] = field(default_factory=dict)
    #: Case number → case id, for cases that are known.
    case_ids: Mapping[str, str] = field(default_factory=dict)
    #: Failed item → the invoice that it names.
    failed: Mapping[BatchItem, Invoice] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Look:
    """One claimed entity, what was fetched for it, and what stood here before."""

    claim: Claim
    fetched: Fetched[Any]
    before: Before
    now: datetime


@dataclass(frozen=True, slots=True)
class After:
    """What is to be saved: the entity's own record, invoices seen with it, and nudges."""

    case: Case | None = None
    invoices: tuple[Invoice, ...] = ()
    batch: Batch | None = None
    settlement: Settlement | None = None
    nudges: tuple[Nudge, ...] = ()
    #: The newest payload disagrees with what was fetched.
    is_doubted: bool = False


@dataclass(frozen=True, slots=True)
class Handler:
    """The two pure functions of one kind, and what they want to know of our rows."""

    needs: Callable[[Claim], Ask]
    asking: Callable[[Claim, Any], Asking]
    apply: Callable[[Look], After]
