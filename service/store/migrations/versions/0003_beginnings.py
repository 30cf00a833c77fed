"""What remained of an invoice before a payment on it was sent."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from service.store.types import Money

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add what remained, for an Amili that tells neither what is paid nor what is credited."""
    op.add_column("submission_items", sa.Column("remaining_before", Money(), nullable=True))
