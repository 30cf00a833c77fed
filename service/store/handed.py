"""The tables of what is handed over; `service.store.schema` tells of all of them."""

from __future__ import annotations

from sqlalchemy import (
    Column,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    String,
    Table,
    Text,
    UniqueConstraint,
)

from service.store.registry import Word, metadata
from service.store.types import Moment, Money

#: A file or a request of invoices, payments or corrections, cut into chunks.
submissions = Table(
    "submissions",
    metadata,
    Column("submission_id", String(40), primary_key=True),
    Column("kind", String(20), nullable=False),
    Column("organization_id", Word, nullable=False),
    #: The Idempotency-Key, or the digest of the file: the same key is the same submission.
    Column("key", String(300), nullable=False),
    #: Of what was handed over: one key stands for one content.
    Column("digest", LargeBinary(32), nullable=False),
    #: `staging` while its rows are written, and nothing is sent; then `ready`.
    Column("state", String(20), nullable=False),
    Column("items", Integer, nullable=False),
    Column("chunks", Integer, nullable=False),
    Column("created_at", Moment, nullable=False),
    UniqueConstraint("organization_id", "kind", "key"),
)
Index("ix_submissions_created_at", submissions.c.created_at)

#: One call each; the ledger's row of it has the target `submission_id/chunk`.
submission_chunks = Table(
    "submission_chunks",
    metadata,
    Column("submission_id", String(40), ForeignKey("submissions.submission_id"), primary_key=True),
    Column("chunk", Integer, primary_key=True),
    Column("action_id", String(40), nullable=False, unique=True),
    Column("items", Integer, nullable=False),
    Column("batch_id", Word),
    #: As the batch was last read: QUEUED, SUCCESS, PARTIAL, FAILED, or what Amili adds.
    Column("batch_status", Word),
    Column("ended_at", Moment),
)
Index("uq_submission_chunks_batch_id", submission_chunks.c.batch_id, unique=True)

submission_items = Table(
    "submission_items",
    metadata,
    Column("submission_id", String(40), ForeignKey("submissions.submission_id"), primary_key=True),
    Column("position", Integer, primary_key=True),
    Column("chunk", Integer, nullable=False),
    #: Where it stood in the file.
    Column("line", Integer, nullable=False),
    #: uniqueSourceInvoiceId of an invoice; of a payment or correction null.
    Column("unique_source_invoice_id", Word),
    Column("invoice_number", Word),
    Column("invoice_id", Word),
    #: `organization/uniqueSourceInvoiceId` of an invoice that is open or succeeded: the database
    #: lets nobody hand the same one over twice.
    Column("claim", String(420), unique=True),
    #: open, succeeded, failed, unlisted (the batch ended and does not name it), refused.
    Column("state", String(20), nullable=False),
    Column("errors", Text),
    #: What is sent; gone once Amili has taken it, for it is about people.
    Column("body", Text),
    #: Of a payment or correction: by how much the claim is to become smaller, and how much of it
    #: was paid and credited, and remained, before it was sent; null when nobody knew.
    Column("amount", Money),
    Column("paid_before", Money),
    Column("credited_before", Money),
    Column("remaining_before", Money),
    Column("ended_at", Moment),
)
Index("ix_submission_items_unique_source_invoice_id", submission_items.c.unique_source_invoice_id)
Index("ix_submission_items_invoice_id", submission_items.c.invoice_id)
Index(
    "ix_submission_items_chunk",
    submission_items.c.submission_id,
    submission_items.c.chunk,
    submission_items.c.position,
)
Index("ix_submission_items_state", submission_items.c.submission_id, submission_items.c.state)
