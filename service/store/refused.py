"""The table of the quarantine: refused deliveries, sealed."""

from __future__ import annotations

from sqlalchemy import Column, Index, Integer, LargeBinary, String, Table

from service.store.registry import metadata
from service.store.types import BigSerial, Moment

quarantine = Table(
    "quarantine",
    metadata,
    Column("seq", BigSerial, primary_key=True, autoincrement=True),
    Column("quarantine_id", String(40), nullable=False, unique=True),
    #: The same delivery of the same source, refused for the same reason, is one row.
    Column("name", LargeBinary(32), nullable=False, unique=True),
    #: Why it was refused last.
    Column("reason", String(40), nullable=False),
    Column("source", String(40), nullable=False),
    Column("body_bytes", Integer, nullable=False),
    #: Length of `sealed`: what counts towards the cap.
    Column("size", Integer, nullable=False),
    Column("times", Integer, nullable=False),
    Column("first_at", Moment, nullable=False),
    Column("last_at", Moment, nullable=False),
    #: When it was last replayed in vain.
    Column("tried_at", Moment),
    #: Headers and body. Last, so that SQLite reads it only when it is asked for.
    Column("sealed", LargeBinary, nullable=False),
)
Index("ix_quarantine_last_at", quarantine.c.last_at)
