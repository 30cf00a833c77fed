"""What a piece of work brought about: told after its commit, as metrics, bells and marks."""

from __future__ import annotations

from dataclasses import dataclass, field, fields

from service.redis import RedisError
from workers.parts import Parts


@dataclass(slots=True)
class Outcome:
    """Collected inside a transaction, told after it; a rolled back part tells nothing."""

    #: (digest, label, seconds from received to settled) of each settled event.
    settled: list[tuple[bytes, str, float]] = field(default_factory=list)
    dead: list[str] = field(default_factory=list)
    doubts: list[str] = field(default_factory=list)
    decisions: list[tuple[str, str]] = field(default_factory=list)
    #: (kind, state) of each step of the ledger.
    actions: list[tuple[str, str]] = field(default_factory=list)
    #: (kind of the action, what became of them, how many) of items handed over.
    items: list[tuple[str, str, int]] = field(default_factory=list)
    planned: int = 0
    nudges: int = 0
    leases_lost: int = 0

    def add(self, other: Outcome) -> None:
        """Add what a part brought about."""
        for each in fields(self):
            mine, theirs = getattr(self, each.name), getattr(other, each.name)
            setattr(self, each.name, mine + theirs)

    def tell(self, parts: Parts) -> None:
        """Count everything, mark settled bodies at the door, and ring for planned actions."""
        metrics = parts.metrics
        for _, label, seconds in self.settled:
            metrics.events.labels(label, "settled").inc()
            metrics.event_settle_seconds.observe(seconds)
        for label in self.dead:
            metrics.events.labels(label, "dead").inc()
        for kind in self.doubts:
            metrics.doubts.labels(kind).inc()
        for policy, outcome in self.decisions:
            metrics.decisions.labels(policy, outcome).inc()
        for kind, state in self.actions:
            metrics.actions.labels(kind, state).inc()
        for kind, outcome, count in self.items:
            metrics.submission_items.labels(kind, outcome).inc(count)
        if self.leases_lost:
            metrics.leases_lost.inc(self.leases_lost)
        self._tell_redis(parts)

    def _tell_redis(self, parts: Parts) -> None:
        try:
            if self.settled:
                parts.stream.mark_settled(digest for digest, _, _ in self.settled)
            if self.planned:
                parts.bells.ring("actions")
        except RedisError:
            return  # the marks only save work, and the sweeper rings
