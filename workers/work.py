"""What one entity's part of a transaction begins with, and works with."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from service.amili.resources import Fetched
from service.domain.entities import Claim, Read
from service.store.database import Tx
from workers.outcomes import Outcome
from workers.parts import Parts
from workers.writes import Writes


@dataclass(frozen=True, slots=True)
class Result:
    """A claim and what fetching it brought: a record, or an error."""

    claim: Claim
    read: Read
    fetched: Fetched[Any] | None = None
    error: Exception | None = None


@dataclass(frozen=True, slots=True)
class Work:
    """The transaction, the parts, what it is to write, and what to tell once it is committed."""

    tx: Tx
    parts: Parts
    outcome: Outcome = field(default_factory=Outcome)
    writes: Writes = field(default_factory=Writes)
