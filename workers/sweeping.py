"""The sweeper: finds again whatever a crash, a lost bell or an outage left behind.

One at a time corrects rows, by a lease in SQL; every step is a few rows, and every step is safe
to repeat. All look and ring: who holds the lease may be dead until it ends. None does work itself.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

import structlog

from service.domain.actions import SUBMISSIONS
from service.domain.entities import EntityKey, Kind, Nudge
from service.errors import StoreError
from service.redis import RedisError
from service.store import cases, entities, holds, leases, ledger, spool
from service.store.database import Tx
from service.store.ledger import Due
from workers.acting import give_to_reads
from workers.comparing import compare
from workers.parts import Parts
from workers.retiring import Retiring
from workers.submitting import give_to_lookups

log = structlog.get_logger()

NAME = "sweeper"
EVERY_SECONDS = 2.0
#: Three rounds: what only the sweeper finds, calls without a maker, waits no longer for the next.
LEASE = timedelta(seconds=3 * EVERY_SECONDS)
FORGET_EVERY = 300
#: A call that is not final and whose case nobody reads any more for this long is read again.
FORGOTTEN_AFTER = timedelta(minutes=5)


class Sweeper:
    """One candidate for the sweeper's lease."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._rounds = 0
        self._retiring = Retiring(parts)

    def sweep(self) -> bool:
        """Make one round; False when somebody else holds the lease, or the database is away."""
        parts = self._parts
        try:
            is_ours = parts.database.run(self._hold)
            if is_ours:
                self._correct()
            with parts.database.read() as tx:
                work = entities.due_count(tx) + spool.count(tx)
                calls = ledger.due_count(tx)
                now = tx.now
        except StoreError as exc:
            log.warning("sweep_failed", error=type(exc).__name__)
            parts.metrics.sweeps.labels("failed").inc()
            return False
        self._ring(work, calls)
        if is_ours:
            self._retiring.step(now)  # last: the work of now goes before the history's
            parts.metrics.sweeps.labels("done").inc()
        return is_ours

    def _correct(self) -> None:
        parts = self._parts
        compare(parts)
        parts.database.run(end_holds)
        parts.database.run(read_back_forgotten)
        for kind in self._give_abandoned_to_reads():
            parts.metrics.actions.labels(kind, "uncertain").inc()

    def let_go(self) -> None:
        """Give the lease back, so that the next sweeper starts at once."""
        try:
            self._parts.database.run(lambda tx: leases.let_go(tx, NAME, self._parts.holder))
        except StoreError:
            return  # it ends by itself

    def _hold(self, tx: Tx) -> bool:
        return leases.hold(tx, NAME, self._parts.holder, min(LEASE, self._parts.lease))

    def _give_abandoned_to_reads(self) -> list[str]:
        with self._parts.database.read() as tx:
            found = ledger.abandoned(tx)
        changed = [self._parts.database.run(give(each)) for each in found]
        return [kind for kind in changed if kind is not None]

    def _ring(self, work: int, calls: int) -> None:
        parts = self._parts
        self._rounds += 1
        try:
            waiting, _ = parts.stream.backlog()
            if work or waiting:
                parts.bells.ring("events")
            if calls:
                parts.bells.ring("actions")
            if self._rounds % FORGET_EVERY == 0:
                parts.stream.forget_consumers()
        except RedisError as exc:
            log.warning("bells_not_rung", error=type(exc).__name__)


def give(due: Due) -> Callable[[Tx], str | None]:
    """Make the transaction that turns one abandoned call into an uncertain one."""
    to_reads = give_to_lookups if due.kind in SUBMISSIONS else give_to_reads

    def run(tx: Tx) -> str | None:
        action = to_reads(tx, due.action_id, due.target)
        return None if action is None else str(action.kind)

    return run


def end_holds(tx: Tx) -> int:
    """Release the holds whose time is up, under their cases' locks, and nudge the cases."""
    over = holds.expired(tx)
    if not over:
        return 0
    standing = cases.lock(tx, {hold.case_id for hold in over})
    holds.release(tx, [hold.hold_id for hold in over], "expired")
    entities.nudge(
        tx,
        [
            Nudge(
                EntityKey(Kind.CASE, hold.case_id),
                "expiry",
                {"hold_id": hold.hold_id},
                organization_id=standing[hold.case_id].organization_id,
            )
            for hold in over
            if hold.case_id in standing
        ],
    )
    return len(over)


def read_back_forgotten(tx: Tx) -> int:
    """Have the cases read whose call is not final and that nobody reads any more."""
    found = ledger.forgotten(tx, FORGOTTEN_AFTER)
    entities.nudge(
        tx,
        [
            Nudge(EntityKey(Kind.CASE, case_id), "action", {"action_id": action_id}, organization)
            for action_id, case_id, organization in found
        ],
    )
    return len(found)
