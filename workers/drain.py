"""From the stream and the spool into the inbox in SQL: read, insert, commit, let go.

In this order, always: an entry is let go only after the commit. A crash in between has
it read again, and SQL judges it a duplicate.
"""

from __future__ import annotations

from collections.abc import Sequence

import structlog

from service.domain.deliveries import EventState
from service.domain.receiving import receive
from service.inbox.stream import Entry
from service.store import epoch, events, spool
from service.store.database import Tx
from service.store.events import Stored
from workers.comparing import compare
from workers.parts import Parts

log = structlog.get_logger()

GROUP = 256


def drain(parts: Parts, *, most: int = 5_000) -> int:
    """Move up to about `most` deliveries; return how many were moved.

    Compares Redis and SQL before its first mark: each mark takes the place of an older witness,
    and nothing says that a sweeper has looked since a restore.
    """
    compare(parts)
    moved = 0
    while moved < most:
        count = drain_spool(parts) + drain_stream(parts)
        if not count:
            break
        moved += count
    return moved


def drain_stream(parts: Parts) -> int:
    """Move one group of the stream."""
    entries = parts.stream.take(GROUP)
    if not entries:
        return 0
    ours = parts.settings.organization_ids
    found = [receive(each.delivery, ours) for each in entries if each.delivery is not None]
    warn_of_strangers(entries)
    parts.stream.epoch, stored = parts.database.run(
        lambda tx: (epoch.ensure(tx), events.store(tx, found))
    )
    parts.stream.done(entries, stored.settled)
    count(parts, stored)
    return len(entries)


def drain_spool(parts: Parts) -> int:
    """Move one group of the spool: here one transaction does both."""
    ours = parts.settings.organization_ids

    def move(tx: Tx) -> tuple[int, Stored, str]:
        waiting = spool.take(tx, GROUP)
        stored = events.store(tx, [receive(delivery, ours) for _, delivery in waiting])
        spool.remove(tx, [row for row, _ in waiting])
        return len(waiting), stored, epoch.ensure(tx)

    if not has_spooled(parts):
        return 0
    moved, stored, parts.stream.epoch = parts.database.run(move)
    count(parts, stored)
    return moved


def has_spooled(parts: Parts) -> bool:
    """Look without taking SQLite's only writing place; note which database this job works on."""
    with parts.database.read() as tx:
        parts.stream.epoch = epoch.current(tx) or ""
        return spool.count(tx) > 0


def count(parts: Parts, stored: Stored) -> None:
    """Count what was settled or dead from the start."""
    done = [event for event in stored.new if event.outcome is not None]
    for event in done:
        parts.metrics.events.labels(event.label, event.outcome).inc()
    settled = [e.delivery.digest for e in done if e.state is EventState.SETTLED]
    if settled:
        parts.stream.mark_settled(settled)


def warn_of_strangers(entries: Sequence[Entry]) -> None:
    """Say that somebody else writes to our stream; such entries are let go."""
    strange = [entry.id.decode() for entry in entries if entry.delivery is None]
    if strange:
        log.error("stream_entry_unreadable", entries=strange[:10], count=len(strange))
