"""A long history: events by month on PostgreSQL, indexes of what is open, the newest claim."""

from __future__ import annotations

from datetime import UTC, datetime

import sqlalchemy as sa
from alembic import op

from service.store.types import Moment

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

WORD = sa.String(length=200)
OPEN = sa.text("state IN ('received', 'retrying', 'dead')")
COLUMNS = (
    "seq, digest, event_id, type, label, entity, organization_id, idempotency_key, request_id, "
    "provider_at, received_at, body, hint, is_variant, state, outcome, attempts, settled_at, error"
)
INDEXES = {
    "ix_events_event_id": ["event_id", "seq"],
    "ix_events_idempotency_key": ["idempotency_key"],
    "ix_events_entity": ["entity", "seq"],
    "ix_events_label": ["label", "received_at"],
}
UNSETTLED = sa.text("state <> 'settled'")
#: Months before this one that get a partition; what is older, by a wrong clock, has the default.
MONTHS_BACK = 120
MONTHS_AHEAD = 2


def upgrade() -> None:
    """Keep the newest claim beside its entity, index what is open, and part the history."""
    op.add_column("entities", sa.Column("hint", sa.Text(), nullable=True))
    op.add_column("entities", sa.Column("hint_at", Moment(), nullable=True))
    op.create_index("ix_holds_placed_at", "holds", ["placed_at"])  # they are listed newest first
    is_postgresql = op.get_bind().dialect.name == "postgresql"
    if is_postgresql:
        op.execute("SET LOCAL statement_timeout = 0")  # a long history takes its time
    newest = "FROM events WHERE events.entity = entities.entity ORDER BY events.seq DESC LIMIT 1"
    op.execute(
        f"UPDATE entities SET hint = (SELECT events.hint {newest}), "  # noqa: S608 - our words
        f"hint_at = (SELECT events.received_at {newest})"
    )
    if is_postgresql:
        part_by_month()
    else:
        op.drop_index("ix_events_digest", "events")
    op.create_index(
        "ix_events_unsettled",
        "events",
        ["entity", "seq"],
        sqlite_where=UNSETTLED,
        postgresql_where=UNSETTLED,
    )
    if is_postgresql:
        op.execute("ANALYZE events")


def part_by_month() -> None:
    """Put the rows into a table of partitions; `seq` goes on where it was."""
    op.execute("LOCK TABLE events IN ACCESS EXCLUSIVE MODE")
    op.execute("ALTER TABLE events RENAME TO events_before")
    op.execute("ALTER SEQUENCE events_seq_seq OWNED BY NONE")
    # Names of indexes are taken until their table is gone; the move needs none.
    op.execute("ALTER TABLE events_before DROP CONSTRAINT pk_events")
    for name in (*INDEXES, "ix_events_digest", "ix_events_open"):
        op.execute(f"DROP INDEX {name}")
    create_parted()
    op.execute("ALTER SEQUENCE events_seq_seq OWNED BY events.seq")
    op.execute("CREATE TABLE events_default PARTITION OF events DEFAULT")
    for month in months():
        create_partition(month)
    op.execute(f"INSERT INTO events ({COLUMNS}) SELECT {COLUMNS} FROM events_before")  # noqa: S608
    op.execute("DROP TABLE events_before")
    # After the rows: to build an index is quicker than to let it grow.
    op.create_primary_key("pk_events", "events", ["seq", "received_at"])
    for name, columns in INDEXES.items():
        op.create_index(name, "events", columns)
    op.create_index("ix_events_open", "events", ["state", "seq"], postgresql_where=OPEN)


def create_parted() -> None:
    """Create the parted table as the one before was, without its indexes."""
    op.create_table(
        "events",
        sa.Column(
            "seq",
            sa.BigInteger(),
            nullable=False,
            server_default=sa.text("nextval('events_seq_seq')"),
        ),
        sa.Column("digest", sa.LargeBinary(length=32), nullable=False),
        sa.Column("event_id", WORD, nullable=False),
        sa.Column("type", WORD, nullable=False),
        sa.Column("label", sa.String(length=40), nullable=False),
        sa.Column("entity", sa.String(length=220), nullable=True),
        sa.Column("organization_id", WORD, nullable=True),
        sa.Column("idempotency_key", WORD, nullable=True),
        sa.Column("request_id", WORD, nullable=True),
        sa.Column("provider_at", Moment(), nullable=True),
        sa.Column("received_at", Moment(), nullable=False),
        sa.Column("body", sa.LargeBinary(), nullable=False),
        sa.Column("hint", sa.Text(), nullable=True),
        sa.Column("is_variant", sa.Boolean(), nullable=False),
        sa.Column("state", sa.String(length=20), nullable=False),
        sa.Column("outcome", sa.String(length=40), nullable=True),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("settled_at", Moment(), nullable=True),
        sa.Column("error", sa.Text(), nullable=True),
        postgresql_partition_by="RANGE (received_at)",
    )


def months() -> list[int]:
    """Count the months of the rows since year 0, with this one and the next two."""
    now = datetime.now(UTC)
    this = 12 * now.year + now.month - 1
    found = op.get_bind().execute(
        sa.text(
            "SELECT DISTINCT 12 * extract(year FROM at) + extract(month FROM at) - 1 "
            "FROM (SELECT received_at AT TIME ZONE 'UTC' AS at FROM events_before) AS received"
        )
    )
    present = {int(month) for (month,) in found}
    ahead = set(range(this, this + MONTHS_AHEAD + 1))
    return sorted({m for m in present if this - MONTHS_BACK <= m < this} | ahead)


def create_partition(month: int) -> None:
    """Create the partition of a month."""
    (year, number), (next_year, next_number) = divmod(month, 12), divmod(month + 1, 12)
    op.execute(
        f"CREATE TABLE events_{year:04}_{number + 1:02} PARTITION OF events FOR VALUES "
        f"FROM ('{year:04}-{number + 1:02}-01 00:00:00+00') "
        f"TO ('{next_year:04}-{next_number + 1:02}-01 00:00:00+00')"
    )
