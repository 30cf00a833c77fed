"""Cases are listed newest first."""

from __future__ import annotations

from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Find the newest cases without reading them all."""
    op.create_index("ix_cases_registered_at", "cases", ["registered_at", "case_id"])
