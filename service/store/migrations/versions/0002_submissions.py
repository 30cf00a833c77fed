"""Submissions; the ledger's target, which need not be a case; single facts."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from service.store.types import Moment, Money

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

WORD = sa.String(length=200)
ID = sa.String(length=40)


def upgrade() -> None:
    """Add what handing over needs."""
    rename_target()
    op.create_table(
        "facts",
        sa.Column("name", ID, nullable=False),
        sa.Column("value", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_facts")),
    )
    op.create_table(
        "requests",
        sa.Column("digest", sa.LargeBinary(length=32), nullable=False),
        sa.Column("answer", sa.Text(), nullable=False),
        sa.Column("asked_at", Moment(), nullable=False),
        sa.PrimaryKeyConstraint("digest", name=op.f("pk_requests")),
    )
    create_submissions()
    create_chunks()
    create_items()


def rename_target() -> None:
    """Name what an action is for by what it may be: a case, or a chunk of a submission."""
    op.execute("ALTER TABLE actions RENAME COLUMN case_id TO target")
    with op.batch_alter_table("actions") as table:
        table.add_column(sa.Column("detail", sa.Text(), nullable=False, server_default="{}"))
        table.drop_constraint(op.f("uq_actions_case_id_cause_kind"), type_="unique")
        table.create_unique_constraint(
            op.f("uq_actions_target_cause_kind"), ["target", "cause", "kind"]
        )


def create_submissions() -> None:
    """Create what was handed over as a whole."""
    op.create_table(
        "submissions",
        sa.Column("submission_id", ID, nullable=False),
        sa.Column("kind", sa.String(length=20), nullable=False),
        sa.Column("organization_id", WORD, nullable=False),
        sa.Column("key", sa.String(length=300), nullable=False),
        sa.Column("digest", sa.LargeBinary(length=32), nullable=False),
        sa.Column("state", sa.String(length=20), nullable=False),
        sa.Column("items", sa.Integer(), nullable=False),
        sa.Column("chunks", sa.Integer(), nullable=False),
        sa.Column("created_at", Moment(), nullable=False),
        sa.PrimaryKeyConstraint("submission_id", name=op.f("pk_submissions")),
        sa.UniqueConstraint(
            "organization_id", "kind", "key", name=op.f("uq_submissions_organization_id_kind_key")
        ),
    )
    op.create_index("ix_submissions_created_at", "submissions", ["created_at"])


def create_chunks() -> None:
    """Create the calls that a submission is cut into."""
    op.create_table(
        "submission_chunks",
        sa.Column("submission_id", ID, nullable=False),
        sa.Column("chunk", sa.Integer(), nullable=False),
        sa.Column("action_id", ID, nullable=False),
        sa.Column("items", sa.Integer(), nullable=False),
        sa.Column("batch_id", WORD, nullable=True),
        sa.Column("batch_status", WORD, nullable=True),
        sa.Column("ended_at", Moment(), nullable=True),
        sa.ForeignKeyConstraint(
            ["submission_id"],
            ["submissions.submission_id"],
            name=op.f("fk_submission_chunks_submission_id"),
        ),
        sa.PrimaryKeyConstraint("submission_id", "chunk", name=op.f("pk_submission_chunks")),
        sa.UniqueConstraint("action_id", name=op.f("uq_submission_chunks_action_id")),
    )
    op.create_index("uq_submission_chunks_batch_id", "submission_chunks", ["batch_id"], unique=True)


def create_items() -> None:
    """Create the single invoices, payments and corrections."""
    op.create_table(
        "submission_items",
        sa.Column("submission_id", ID, nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.Column("chunk", sa.Integer(), nullable=False),
        sa.Column("line", sa.Integer(), nullable=False),
        sa.Column("unique_source_invoice_id", WORD, nullable=True),
        sa.Column("invoice_number", WORD, nullable=True),
        sa.Column("invoice_id", WORD, nullable=True),
        sa.Column("claim", sa.String(length=420), nullable=True),
        sa.Column("state", sa.String(length=20), nullable=False),
        sa.Column("errors", sa.Text(), nullable=True),
        sa.Column("body", sa.Text(), nullable=True),
        sa.Column("amount", Money(), nullable=True),
        sa.Column("paid_before", Money(), nullable=True),
        sa.Column("credited_before", Money(), nullable=True),
        sa.Column("ended_at", Moment(), nullable=True),
        sa.ForeignKeyConstraint(
            ["submission_id"],
            ["submissions.submission_id"],
            name=op.f("fk_submission_items_submission_id"),
        ),
        sa.PrimaryKeyConstraint("submission_id", "position", name=op.f("pk_submission_items")),
        sa.UniqueConstraint("claim", name=op.f("uq_submission_items_claim")),
    )
    for name, columns in (
        ("unique_source_invoice_id", ["unique_source_invoice_id"]),
        ("invoice_id", ["invoice_id"]),
        ("chunk", ["submission_id", "chunk", "position"]),
        ("state", ["submission_id", "state"]),
    ):
        op.create_index(f"ix_submission_items_{name}", "submission_items", columns)
