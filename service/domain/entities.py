"""What an event points at, and why a worker looks at it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any


class Kind(StrEnum):
    """The four things that Amili tells us about."""

    CASE = "case"
    INVOICE = "invoice"
    BATCH = "batch"
    SETTLEMENT = "settlement"


@dataclass(frozen=True, slots=True, order=True)
class EntityKey:
    """Names one entity, everywhere: `case:7d0c…`."""

    kind: Kind
    id: str

    def __str__(self) -> str:
        return f"{self.kind}:{self.id}"

    @property
    def is_lookup(self) -> bool:
        """It is a case of which only the number is known: `case:#8812`."""
        return self.kind is Kind.CASE and self.id.startswith("#")

    @classmethod
    def of_number(cls, number: str) -> EntityKey:
        """Name a case whose id is still to be found."""
        return cls(Kind.CASE, f"#{number}")

    @classmethod
    def parse(cls, text: str) -> EntityKey:
        """Read back what `str` wrote."""
        kind, _, name = text.partition(":")
        return cls(Kind(kind), name)


@dataclass(frozen=True, slots=True)
class Nudge:
    """Ask the workers to look at an entity that the asker does not lease.

    `cause` is from a small closed set (`hold`, `release`, `expiry`, `action`,
    `batch_item`, `batch_failed`, `case_invoice`, `invoice_known`, `lookup`, `settlement`,
    `invoice`, `submission`, `reported`); `detail` carries ids only.
    """

    key: EntityKey
    cause: str
    detail: Mapping[str, str] = field(default_factory=dict)
    organization_id: str | None = None
    #: The case's number, where the asker knows it: cases are fetched by number.
    lookup: str | None = None
    #: Look no sooner than this; None: now.
    after_seconds: float | None = None
    #: It changed at Amili just now: a read may not show it yet, and nothing would tell.
    is_hidden_change: bool = False


@dataclass(frozen=True, slots=True)
class Claims:
    """What a payload claims about its entity: a doubt, never state."""

    status: str | None = None
    type: str | None = None
    invoices: frozenset[str] | None = None


@dataclass(frozen=True, slots=True)
class Cause:
    """One reason for this look: an event or a nudge, with the row it came from."""

    name: str
    row: int
    event_id: str | None = None
    detail: Mapping[str, Any] = field(default_factory=dict)
    #: When the event was received, or the nudge written.
    told_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Claim:
    """A leased entity: only who holds it with this fencing number may write."""

    key: EntityKey
    organization_id: str | None
    lookup: str | None
    #: Everything wanted up to here is done once this claim is settled.
    wanted: int
    fence: int
    holder: str
    attempts: int
    #: Failed tries in a row, also those that count for nothing.
    failures: int
    #: How often the newest payload has already been re-read in vain.
    doubt: int
    #: When the newest change was told that no payload lets us check: amounts, for instance.
    #: A read that began less than a read lag later may not show it.
    hidden_since: datetime | None = None
    events: tuple[Cause, ...] = ()
    nudges: tuple[Cause, ...] = ()
    #: What the newest payload of this entity claims.
    newest: Claims | None = None
    #: One number of the fetch sequence, taken when the claim was committed.
    fetch_number: int = 0

    @property
    def causes(self) -> tuple[Cause, ...]:
        """Every reason for this look."""
        return self.events + self.nudges

    @property
    def told_at(self) -> datetime | None:
        """When the first of its reasons came: since then Amili knows of it."""
        return min((each.told_at for each in self.causes if each.told_at), default=None)


@dataclass(frozen=True, slots=True)
class Read:
    """When, and as which number of the fetch sequence, something was read at Amili."""

    number: int
    began_at: datetime
