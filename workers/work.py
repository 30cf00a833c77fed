"""What one entity's part of a transaction works with."""

from __future__ import annotations

from dataclasses import dataclass, field

from service.store.database import Tx
from workers.outcomes import Outcome
from workers.parts import Parts


@dataclass(frozen=True, slots=True)
class Work:
    """The transaction, the parts, and what is to be told once it is committed."""

    tx: Tx
    parts: Parts
    outcome: Outcome = field(default_factory=Outcome)
