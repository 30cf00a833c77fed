"""What one entity's part of a transaction works with."""

from __future__ import annotations

from dataclasses import dataclass, field

from service.store.database import Tx
from workers.outcomes import Outcome
from workers.parts import Parts
from workers.writes import Writes


@dataclass(frozen=True, slots=True)
class Work:
    """The transaction, the parts, what it is to write, and what to tell once it is committed."""

    tx: Tx
    parts: Parts
    outcome: Outcome = field(default_factory=Outcome)
    writes: Writes = field(default_factory=Writes)
