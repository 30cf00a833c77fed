"""The gauges that SQL knows, for the metrics page; read at most once every two seconds.

All but one are of what is open, and cost nothing that grows with the history. The cases are
counted one by one: the more there are, the more seldom.
"""

from __future__ import annotations

import threading
import time

from service.domain.deliveries import LABELS
from service.errors import StoreError
from service.store import cases, entities, events, holds, ledger, quarantine, spool
from service.store.database import Database, Tx
from service.telemetry.metrics import Snapshot

KEEP_SECONDS = 2.0
#: Of its time a process counts cases for a hundredth.
SELDOM = 100


class Counter:
    """Counts what is in the database; empty while it is away."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._lock = threading.Lock()
        self._kept = Snapshot()
        self._until = 0.0
        self._cases: dict[tuple[str, str], float] = {}
        self._cases_until = 0.0

    def snapshot(self) -> Snapshot:
        """Return the counts of now, or of a moment ago."""
        with self._lock:
            if time.monotonic() >= self._until:
                self._kept = self.count()
                self._until = time.monotonic() + KEEP_SECONDS
            return self._kept

    def count(self) -> Snapshot:
        """Count now; empty while the database is away."""
        try:
            with self._database.read() as tx:
                newest = events.newest_by_label(tx, LABELS)
                return Snapshot(
                    spool_entries=spool.count(tx),
                    entities_due=entities.due_count(tx),
                    dead_events=events.dead_count(tx),
                    actions_open=ledger.open_counts(tx),
                    holds_active=holds.counts(tx),
                    cases=self._count_cases(tx),
                    cases_held_unpaused=cases.held_unpaused(tx),
                    quarantine_entries=quarantine.count(tx),
                    last_webhook={label: at.timestamp() for label, at in newest.items()},
                )
        except StoreError:
            return Snapshot()

    def _count_cases(self, tx: Tx) -> dict[tuple[str, str], float]:
        began = time.monotonic()
        if began >= self._cases_until:
            self._cases = cases.counts(tx)
            now = time.monotonic()
            self._cases_until = now + SELDOM * (now - began)
        return self._cases
