"""The first schema: inbox, work, mirror of Amili, holds, ledger, decisions."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from service.store.types import BigSerial, Moment, Money

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


UNDER_WAY = sa.text("state IN ('planned', 'sent', 'answered', 'uncertain')")
ONE_OPEN = sa.text(f"kind IN ('pauseCase', 'resumeCase') AND {UNDER_WAY}")


def upgrade() -> None:
    """Create every table."""
    op.create_table(
        "actions",
        sa.Column("seq", BigSerial, autoincrement=True, nullable=False),
        sa.Column("action_id", sa.String(length=40), nullable=False),
        sa.Column("kind", sa.String(length=40), nullable=False),
        sa.Column("case_id", sa.String(length=200), nullable=False),
        sa.Column("organization_id", sa.String(length=200), nullable=True),
        sa.Column("cause", sa.String(length=200), nullable=False),
        sa.Column("state", sa.String(length=20), nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("is_ours", sa.Boolean(), nullable=False),
        sa.Column("planned_at", Moment(), nullable=False),
        sa.Column("not_before", Moment(), nullable=True),
        sa.Column("sent_at", Moment(), nullable=True),
        sa.Column("ended_at", Moment(), nullable=True),
        sa.Column("closed_at", Moment(), nullable=True),
        sa.Column("error", sa.Text(), nullable=True),
        sa.Column("holder", sa.String(length=80), nullable=True),
        sa.Column("lease_until", Moment(), nullable=True),
        sa.PrimaryKeyConstraint("seq", name=op.f("pk_actions")),
        sa.UniqueConstraint("action_id", name=op.f("uq_actions_action_id")),
        sa.UniqueConstraint("case_id", "cause", "kind", name=op.f("uq_actions_case_id_cause_kind")),
    )
    op.create_index(
        "ix_actions_under_way",
        "actions",
        ["state", "not_before"],
        unique=False,
        sqlite_where=UNDER_WAY,
        postgresql_where=UNDER_WAY,
    )
    op.create_index(
        "uq_actions_one_open",
        "actions",
        ["case_id"],
        unique=True,
        sqlite_where=ONE_OPEN,
        postgresql_where=ONE_OPEN,
    )
    op.create_table(
        "batches",
        sa.Column("batch_id", sa.String(length=200), nullable=False),
        sa.Column("organization_id", sa.String(length=200), nullable=True),
        sa.Column("type", sa.String(length=200), nullable=True),
        sa.Column("status", sa.String(length=200), nullable=True),
        sa.Column("created_at", Moment(), nullable=True),
        sa.Column("finished_at", Moment(), nullable=True),
        sa.Column("raw", sa.Text(), nullable=True),
        sa.Column("fetch_number", sa.BigInteger(), nullable=False),
        sa.Column("read_began_at", Moment(), nullable=False),
        sa.PrimaryKeyConstraint("batch_id", name=op.f("pk_batches")),
    )
    op.create_table(
        "cases",
        sa.Column("case_id", sa.String(length=200), nullable=False),
        sa.Column("case_number", sa.String(length=200), nullable=False),
        sa.Column("organization_id", sa.String(length=200), nullable=True),
        sa.Column("type", sa.String(length=200), nullable=True),
        sa.Column("status", sa.String(length=200), nullable=True),
        sa.Column("sub_status", sa.String(length=200), nullable=True),
        sa.Column("description", sa.Text(), nullable=True),
        sa.Column("registered_at", Moment(), nullable=True),
        sa.Column("closed_at", Moment(), nullable=True),
        sa.Column("is_over", sa.Boolean(), nullable=False),
        sa.Column("desired", sa.String(length=10), nullable=False),
        sa.Column("level", sa.BigInteger(), nullable=False),
        sa.Column("raw", sa.Text(), nullable=True),
        sa.Column("fetch_number", sa.BigInteger(), nullable=False),
        sa.Column("read_began_at", Moment(), nullable=False),
        sa.PrimaryKeyConstraint("case_id", name=op.f("pk_cases")),
    )
    op.create_index("ix_cases_case_number", "cases", ["case_number"], unique=False)
    op.create_table(
        "decisions",
        sa.Column("seq", BigSerial, autoincrement=True, nullable=False),
        sa.Column("digest", sa.LargeBinary(length=32), nullable=False),
        sa.Column("entity", sa.String(length=220), nullable=False),
        sa.Column("policy", sa.String(length=60), nullable=False),
        sa.Column("outcome", sa.String(length=40), nullable=False),
        sa.Column("words", sa.Text(), nullable=False),
        sa.Column("facts", sa.Text(), nullable=False),
        sa.Column("fetch_number", sa.BigInteger(), nullable=False),
        sa.Column("decided_at", Moment(), nullable=False),
        sa.PrimaryKeyConstraint("seq", name=op.f("pk_decisions")),
        sa.UniqueConstraint("digest", name=op.f("uq_decisions_digest")),
    )
    op.create_index("ix_decisions_entity", "decisions", ["entity", "seq"], unique=False)
    op.create_table(
        "entities",
        sa.Column("entity", sa.String(length=220), nullable=False),
        sa.Column("kind", sa.String(length=20), nullable=False),
        sa.Column("organization_id", sa.String(length=200), nullable=True),
        sa.Column("lookup", sa.String(length=200), nullable=True),
        sa.Column("wanted", sa.BigInteger(), nullable=False),
        sa.Column("done", sa.BigInteger(), nullable=False),
        sa.Column("due_at", Moment(), nullable=False),
        sa.Column("not_before", Moment(), nullable=True),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("failures", sa.Integer(), nullable=False),
        sa.Column("doubt", sa.Integer(), nullable=False),
        sa.Column("hidden_since", Moment(), nullable=True),
        sa.Column("holder", sa.String(length=80), nullable=True),
        sa.Column("fence", sa.BigInteger(), nullable=False),
        sa.Column("lease_until", Moment(), nullable=True),
        sa.Column("error", sa.Text(), nullable=True),
        sa.PrimaryKeyConstraint("entity", name=op.f("pk_entities")),
    )
    op.create_index(
        "ix_entities_due",
        "entities",
        ["due_at"],
        unique=False,
        sqlite_where=sa.text("wanted > done"),
        postgresql_where=sa.text("wanted > done"),
    )
    op.create_index(
        "ix_entities_held",
        "entities",
        ["holder"],
        unique=False,
        sqlite_where=sa.text("holder IS NOT NULL"),
        postgresql_where=sa.text("holder IS NOT NULL"),
    )
    op.create_table(
        "event_keys",
        sa.Column("digest", sa.LargeBinary(length=32), nullable=False),
        sa.Column("received_at", Moment(), nullable=False),
        sa.PrimaryKeyConstraint("digest", name=op.f("pk_event_keys")),
    )
    op.create_table(
        "events",
        sa.Column("seq", BigSerial, autoincrement=True, nullable=False),
        sa.Column("digest", sa.LargeBinary(length=32), nullable=False),
        sa.Column("event_id", sa.String(length=200), nullable=False),
        sa.Column("type", sa.String(length=200), nullable=False),
        sa.Column("label", sa.String(length=40), nullable=False),
        sa.Column("entity", sa.String(length=220), nullable=True),
        sa.Column("organization_id", sa.String(length=200), nullable=True),
        sa.Column("idempotency_key", sa.String(length=200), nullable=True),
        sa.Column("request_id", sa.String(length=200), nullable=True),
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
        sa.PrimaryKeyConstraint("seq", name=op.f("pk_events")),
    )
    op.create_index("ix_events_digest", "events", ["digest"], unique=False)
    op.create_index("ix_events_entity", "events", ["entity", "seq"], unique=False)
    op.create_index("ix_events_event_id", "events", ["event_id", "seq"], unique=False)
    op.create_index("ix_events_idempotency_key", "events", ["idempotency_key"], unique=False)
    op.create_index("ix_events_label", "events", ["label", "received_at"], unique=False)
    op.create_index(
        "ix_events_open",
        "events",
        ["state", "seq"],
        unique=False,
        sqlite_where=sa.text("state IN ('received', 'retrying', 'dead')"),
        postgresql_where=sa.text("state IN ('received', 'retrying', 'dead')"),
    )
    op.create_table(
        "fetch_numbers",
        sa.Column("name", sa.String(length=20), nullable=False),
        sa.Column("value", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_fetch_numbers")),
    )
    op.create_table(
        "holds",
        sa.Column("hold_id", sa.String(length=40), nullable=False),
        sa.Column("case_id", sa.String(length=200), nullable=False),
        sa.Column("reason", sa.String(length=200), nullable=False),
        sa.Column("owner", sa.String(length=20), nullable=False),
        sa.Column("comment", sa.Text(), nullable=True),
        sa.Column("placed_at", Moment(), nullable=False),
        sa.Column("until", Moment(), nullable=True),
        sa.Column("released_at", Moment(), nullable=True),
        sa.Column("released_by", sa.String(length=40), nullable=True),
        sa.Column("key", sa.String(length=300), nullable=True),
        sa.PrimaryKeyConstraint("hold_id", name=op.f("pk_holds")),
        sa.UniqueConstraint("case_id", "key", name=op.f("uq_holds_case_id_key")),
    )
    op.create_index("ix_holds_case_id", "holds", ["case_id"], unique=False)
    op.create_index(
        "ix_holds_until",
        "holds",
        ["until"],
        unique=False,
        sqlite_where=sa.text("released_at IS NULL"),
        postgresql_where=sa.text("released_at IS NULL"),
    )
    op.create_table(
        "invoices",
        sa.Column("invoice_id", sa.String(length=200), nullable=False),
        sa.Column("organization_id", sa.String(length=200), nullable=True),
        sa.Column("invoice_number", sa.String(length=200), nullable=True),
        sa.Column("unique_source_invoice_id", sa.String(length=200), nullable=True),
        sa.Column("case_id", sa.String(length=200), nullable=True),
        sa.Column("case_number", sa.String(length=200), nullable=True),
        sa.Column("batch_id", sa.String(length=200), nullable=True),
        sa.Column("type", sa.String(length=200), nullable=True),
        sa.Column("status", sa.String(length=200), nullable=True),
        sa.Column("currency", sa.String(length=10), nullable=True),
        sa.Column("original_amount", Money(), nullable=True),
        sa.Column("remaining_amount", Money(), nullable=True),
        sa.Column("remaining_principal", Money(), nullable=True),
        sa.Column("paid_amount", Money(), nullable=True),
        sa.Column("credited_amount", Money(), nullable=True),
        sa.Column("invoice_date", Moment(), nullable=True),
        sa.Column("due_date", Moment(), nullable=True),
        sa.Column("raw", sa.Text(), nullable=True),
        sa.Column("fetch_number", sa.BigInteger(), nullable=False),
        sa.Column("read_began_at", Moment(), nullable=False),
        sa.PrimaryKeyConstraint("invoice_id", name=op.f("pk_invoices")),
    )
    op.create_index("ix_invoices_case_id", "invoices", ["case_id"], unique=False)
    op.create_index("ix_invoices_invoice_number", "invoices", ["invoice_number"], unique=False)
    op.create_index(
        "ix_invoices_unique_source_invoice_id",
        "invoices",
        ["unique_source_invoice_id"],
        unique=False,
    )
    op.create_table(
        "leases",
        sa.Column("name", sa.String(length=40), nullable=False),
        sa.Column("holder", sa.String(length=80), nullable=False),
        sa.Column("fence", sa.BigInteger(), nullable=False),
        sa.Column("until", Moment(), nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_leases")),
    )
    op.create_table(
        "nudges",
        sa.Column("nudge", BigSerial, autoincrement=True, nullable=False),
        sa.Column("entity", sa.String(length=220), nullable=False),
        sa.Column("cause", sa.String(length=40), nullable=False),
        sa.Column("detail", sa.Text(), nullable=False),
        sa.Column("created_at", Moment(), nullable=False),
        sa.PrimaryKeyConstraint("nudge", name=op.f("pk_nudges")),
    )
    op.create_index("ix_nudges_entity", "nudges", ["entity", "nudge"], unique=False)
    op.create_table(
        "organizations",
        sa.Column("organization_id", sa.String(length=200), nullable=False),
        sa.Column("first_seen_at", Moment(), nullable=False),
        sa.PrimaryKeyConstraint("organization_id", name=op.f("pk_organizations")),
    )
    op.create_table(
        "settlements",
        sa.Column("settlement_id", sa.String(length=200), nullable=False),
        sa.Column("organization_id", sa.String(length=200), nullable=True),
        sa.Column("case_number", sa.String(length=200), nullable=True),
        sa.Column("collection_type", sa.String(length=200), nullable=True),
        sa.Column("currency", sa.String(length=10), nullable=True),
        sa.Column("customer_reference", sa.Text(), nullable=True),
        sa.Column("raw", sa.Text(), nullable=True),
        sa.Column("fetch_number", sa.BigInteger(), nullable=False),
        sa.Column("read_began_at", Moment(), nullable=False),
        sa.PrimaryKeyConstraint("settlement_id", name=op.f("pk_settlements")),
    )
    op.create_table(
        "spool",
        sa.Column("seq", BigSerial, autoincrement=True, nullable=False),
        sa.Column("digest", sa.LargeBinary(length=32), nullable=False),
        sa.Column("headers", sa.Text(), nullable=False),
        sa.Column("body", sa.LargeBinary(), nullable=False),
        sa.Column("received_at", Moment(), nullable=False),
        sa.PrimaryKeyConstraint("seq", name=op.f("pk_spool")),
    )
    op.create_table(
        "batch_items",
        sa.Column("batch_id", sa.String(length=200), nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.Column("succeeded", sa.Boolean(), nullable=False),
        sa.Column("invoice_id", sa.String(length=200), nullable=True),
        sa.Column("invoice_number", sa.String(length=200), nullable=True),
        sa.Column("unique_source_invoice_id", sa.String(length=200), nullable=True),
        sa.Column("case_id", sa.String(length=200), nullable=True),
        sa.Column("case_number", sa.String(length=200), nullable=True),
        sa.Column("errors", sa.Text(), nullable=True),
        sa.ForeignKeyConstraint(
            ["batch_id"], ["batches.batch_id"], name=op.f("fk_batch_items_batch_id")
        ),
        sa.PrimaryKeyConstraint("batch_id", "position", name=op.f("pk_batch_items")),
    )
    op.create_index(
        "ix_batch_items_failed_invoice_id",
        "batch_items",
        ["invoice_id"],
        unique=False,
        sqlite_where=sa.text("NOT succeeded"),
        postgresql_where=sa.text("NOT succeeded"),
    )
    op.create_index(
        "ix_batch_items_failed_invoice_number",
        "batch_items",
        ["invoice_number"],
        unique=False,
        sqlite_where=sa.text("NOT succeeded"),
        postgresql_where=sa.text("NOT succeeded"),
    )
    op.create_index(
        "ix_batch_items_failed_unique_source_invoice_id",
        "batch_items",
        ["unique_source_invoice_id"],
        unique=False,
        sqlite_where=sa.text("NOT succeeded"),
        postgresql_where=sa.text("NOT succeeded"),
    )
    op.execute("INSERT INTO fetch_numbers (name, value) VALUES ('fetch', 0)")
    if op.get_bind().dialect.name == "postgresql":
        op.execute("CREATE SEQUENCE fetch_number")
