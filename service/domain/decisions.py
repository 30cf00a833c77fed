"""A decision: what was concluded about an entity, from what, and why, in words."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from service.domain.entities import EntityKey


@dataclass(frozen=True, slots=True)
class Decision:
    """One line of the explain-why trail. `facts` holds ids and numbers only."""

    key: EntityKey
    #: Who decided: a policy's name, or `level` for the pausing of cases.
    policy: str
    #: From a small closed set for each policy, for instance `hold`, `release`, `no_case`.
    outcome: str
    #: The reason, one sentence.
    words: str
    facts: Mapping[str, object] = field(default_factory=dict)
