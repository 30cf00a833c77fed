"""The quarantine: refused deliveries, sealed."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from service.store.types import BigSerial, Moment

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

ID = sa.String(length=40)


def upgrade() -> None:
    """Add the table."""
    op.create_table(
        "quarantine",
        sa.Column("seq", BigSerial, autoincrement=True, nullable=False),
        sa.Column("quarantine_id", ID, nullable=False),
        sa.Column("name", sa.LargeBinary(length=32), nullable=False),
        sa.Column("reason", ID, nullable=False),
        sa.Column("source", ID, nullable=False),
        sa.Column("body_bytes", sa.Integer(), nullable=False),
        sa.Column("size", sa.Integer(), nullable=False),
        sa.Column("times", sa.Integer(), nullable=False),
        sa.Column("first_at", Moment(), nullable=False),
        sa.Column("last_at", Moment(), nullable=False),
        sa.Column("tried_at", Moment(), nullable=True),
        sa.Column("sealed", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("seq", name=op.f("pk_quarantine")),
        sa.UniqueConstraint("quarantine_id", name=op.f("uq_quarantine_quarantine_id")),
        sa.UniqueConstraint("name", name=op.f("uq_quarantine_name")),
    )
    op.create_index("ix_quarantine_last_at", "quarantine", ["last_at"])
