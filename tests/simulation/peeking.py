"""Looks into the database past every fault: what is due next, and what stands there at the end."""

from __future__ import annotations

import sqlite3
from datetime import UTC, datetime, timedelta
from typing import Any

from workers.sweeping import FORGOTTEN_AFTER

NEXT = """
SELECT min(at) FROM (
  SELECT max(due_at, coalesce(not_before, ''), coalesce(lease_until, '')) AS at
    FROM entities WHERE wanted > done
  UNION ALL SELECT coalesce(not_before, '2000-01-01 00:00:00.000000')
    FROM actions WHERE state = 'planned'
  UNION ALL SELECT lease_until FROM actions WHERE state = 'sent'
  UNION ALL SELECT not_before FROM actions WHERE state = 'uncertain' AND closed_at IS NULL
    AND kind IN ('createInvoices', 'createPayments', 'createCorrections')
  UNION ALL SELECT until FROM holds WHERE released_at IS NULL AND until IS NOT NULL
  UNION ALL SELECT '2000-01-01 00:00:00.000000' FROM spool
  UNION ALL SELECT lease_until FROM entities WHERE holder IS NOT NULL AND wanted > done
)
"""
FORGOTTEN = """
SELECT min(actions.ended_at) FROM actions JOIN entities ON entities.entity = 'case:' || target
WHERE state IN ('answered', 'uncertain') AND closed_at IS NULL AND wanted = done
"""


def next_due(raw: sqlite3.Connection, now: float) -> float:
    """Return the Unix time at which the next thing is due; infinity when nothing is."""
    [(due,)] = raw.execute(NEXT)
    [(ended,)] = raw.execute(FORGOTTEN)
    times = [] if due is None else [unix(due)]
    if ended is not None:
        times.append(unix(ended) + FORGOTTEN_AFTER / timedelta(seconds=1))
    return min(times, default=float("inf"))


def unix(text: str) -> float:
    """Read a moment as SQLite keeps it."""
    return datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()


def rows(raw: sqlite3.Connection, asked: str, *given: Any) -> list[dict[str, Any]]:
    """Return rows by name."""
    found = raw.execute(asked, given)
    names = [each[0] for each in found.description]
    return [dict(zip(names, row, strict=True)) for row in found]
