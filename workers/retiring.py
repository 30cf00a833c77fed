"""Keeps the history in order, a little in each of the sweeper's rounds.

Makes the partitions of the next months (PostgreSQL), and removes settled events that are older
than `AMILI_EVENTS_KEPT_DAYS`. What fails here is tried again later and holds up nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import partial

import structlog

from service.errors import StoreContended, StoreError
from service.store import partitions, retention
from service.store.retention import Place
from workers.parts import Parts

log = structlog.get_logger()

#: How often somebody looks whether the next months have partitions, and for what is old.
LOOK_EVERY = timedelta(hours=6)
REMOVE_EVERY = timedelta(hours=1)
#: After a step that failed, or that somebody was in the way of.
AGAIN_AFTER = timedelta(minutes=5)
#: Transactions in one round, each of a month or of `retention.TOGETHER` events at most.
STEPS = 4
AT_ONCE = datetime.min.replace(tzinfo=UTC)


@dataclass(slots=True)
class Pass:
    """One way through the history."""

    before: datetime
    #: Whole months that are still to be tried.
    months: list[datetime]
    place: Place = field(default_factory=Place)
    removed: int = 0


class Retiring:
    """One sweeper's care for the history; it does not even look while nothing is due."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._kept = timedelta(days=parts.settings.events_kept_days)
        self._look_at = AT_ONCE
        self._remove_at = AT_ONCE
        self._pass: Pass | None = None

    def step(self, now: datetime) -> None:
        """Do what is due at this moment of the store's clock, or a part of it."""
        if now >= self._look_at:
            works = tried(self._make_months)
            self._look_at = now + (LOOK_EVERY if works else AGAIN_AFTER)
        if self._kept and now >= self._remove_at:
            works = tried(lambda: self._remove(now))
            if not works:
                self._pass, self._remove_at = None, now + AGAIN_AFTER
            elif self._pass is None:
                self._remove_at = now + REMOVE_EVERY

    def _make_months(self) -> None:
        database = self._parts.database
        with database.read() as tx:
            months = partitions.lacking(tx)
        for month in months:
            name = partitions.name_of(month)
            if database.run(partial(partitions.make, month=month), tries=1):
                log.info("partition_made", partition=name)
            else:  # its events are in the default, and are worked on like all others
                log.warning("partition_not_made", partition=name, reason="default_has_many")

    def _remove(self, now: datetime) -> None:
        """Go on with the pass that is under way, or begin one."""
        going = self._pass = self._pass or self._begun(now - self._kept)
        for _ in range(STEPS):
            if going.months:
                self._remove_month(going)
            elif not going.place.is_end:
                self._remove_some(going)
            else:
                if going.removed:
                    log.info("events_removed", count=going.removed, before=str(going.before))
                self._pass = None
                return

    def _begun(self, before: datetime) -> Pass:
        with self._parts.database.read() as tx:
            return Pass(before, retention.old_months(tx, before))

    def _remove_month(self, going: Pass) -> None:
        """Remove a month; one in which something is not settled is left to the next steps."""
        month = going.months[0]
        remove = partial(retention.remove_month, month=month, before=going.before)
        if self._parts.database.run(remove, tries=1):
            log.info("partition_removed", partition=partitions.name_of(month))
        del going.months[0]

    def _remove_some(self, going: Pass) -> None:
        removed, going.place = self._parts.database.run(
            partial(retention.remove, before=going.before, place=going.place)
        )
        going.removed += removed


def tried(step: Callable[[], None]) -> bool:
    """Take a step; False: it failed, which is no reason not to sweep."""
    try:
        step()
    except StoreContended:
        log.info("history_step_put_off")  # somebody reads for long, as a backup does
        return False
    except StoreError as exc:
        log.warning("history_step_failed", error=type(exc).__name__)
        return False
    return True
