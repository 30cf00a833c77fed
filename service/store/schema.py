"""The tables. Each change here is a migration of its own under `migrations/versions`."""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    String,
    Table,
    Text,
    UniqueConstraint,
    text,
)

from service.store.handed import submission_chunks, submission_items, submissions
from service.store.refused import quarantine
from service.store.registry import Word, metadata
from service.store.types import BigSerial, Moment, Money

#: These tables stand in modules of their own: what is handed over, what was refused.
HANDED = (submissions, submission_chunks, submission_items)
REFUSED = (quarantine,)

# --- what came in -----------------------------------------------------------

#: The judge of duplicates: one row for each body ever stored. Never partitioned.
event_keys = Table(
    "event_keys",
    metadata,
    Column("digest", LargeBinary(32), primary_key=True),
    Column("received_at", Moment, nullable=False),
)

#: Every delivery, its raw body as bytes. On PostgreSQL partitioned by the month of `received_at`
#: (see `partitions`), where the primary key has that column, too.
events = Table(
    "events",
    metadata,
    Column("seq", BigSerial, primary_key=True, autoincrement=True),
    Column("digest", LargeBinary(32), nullable=False),
    Column("event_id", Word, nullable=False),
    Column("type", Word, nullable=False),
    Column("label", String(40), nullable=False),
    Column("entity", String(220)),
    Column("organization_id", Word),
    Column("idempotency_key", Word),
    Column("request_id", Word),
    Column("provider_at", Moment),
    Column("received_at", Moment, nullable=False),
    Column("body", LargeBinary, nullable=False),
    Column("hint", Text),
    #: The same id or IdempotencyKey came before with another body.
    Column("is_variant", Boolean, nullable=False),
    #: received, retrying, settled, dead.
    Column("state", String(20), nullable=False),
    Column("outcome", String(40)),
    Column("attempts", Integer, nullable=False),
    Column("settled_at", Moment),
    Column("error", Text),
)
Index("ix_events_event_id", events.c.event_id, events.c.seq)
Index("ix_events_idempotency_key", events.c.idempotency_key)
Index("ix_events_entity", events.c.entity, events.c.seq)
#: What is not settled, in two wordings, each with an index as small as the work that waits,
#: however long the history is. A query must say it in just these words to be given the index.
#: PostgreSQL cannot prove the first from the second, which keeps a claim from the index by state:
#: by statistics from a quiet hour it would read a whole backlog there, for each claim again.
OPEN_EVENTS = text("state IN ('received', 'retrying', 'dead')")
Index(
    "ix_events_open",
    events.c.state,
    events.c.seq,
    sqlite_where=OPEN_EVENTS,
    postgresql_where=OPEN_EVENTS,
)
UNSETTLED = text("state <> 'settled'")
Index(
    "ix_events_unsettled",
    events.c.entity,
    events.c.seq,
    sqlite_where=UNSETTLED,
    postgresql_where=UNSETTLED,
)
Index("ix_events_label", events.c.label, events.c.received_at)

#: Deliveries that Redis could not take; the drain empties it.
spool = Table(
    "spool",
    metadata,
    Column("seq", BigSerial, primary_key=True, autoincrement=True),
    Column("digest", LargeBinary(32), nullable=False),
    Column("headers", Text, nullable=False),
    Column("body", LargeBinary, nullable=False),
    Column("received_at", Moment, nullable=False),
)

organizations = Table(
    "organizations",
    metadata,
    Column("organization_id", Word, primary_key=True),
    Column("first_seen_at", Moment, nullable=False),
)

# --- the work ---------------------------------------------------------------

#: One row for each thing that was ever to be looked at. Due means wanted > done.
entities = Table(
    "entities",
    metadata,
    Column("entity", String(220), primary_key=True),
    Column("kind", String(20), nullable=False),
    Column("organization_id", Word),
    #: The number of a case, by which it is fetched.
    Column("lookup", Word),
    Column("wanted", BigInteger, nullable=False),
    Column("done", BigInteger, nullable=False),
    Column("due_at", Moment, nullable=False),
    #: Back-off: not before, whatever else comes.
    Column("not_before", Moment),
    #: Tries that count towards a dead letter, and all failed tries in a row: for the back-off.
    Column("attempts", Integer, nullable=False),
    Column("failures", Integer, nullable=False),
    #: How often the newest payload was re-read in vain.
    Column("doubt", Integer, nullable=False),
    #: When the newest change was told that no payload lets us check.
    Column("hidden_since", Moment),
    #: What the newest payload claims, and when it was received.
    Column("hint", Text),
    Column("hint_at", Moment),
    Column("holder", String(80)),
    Column("fence", BigInteger, nullable=False),
    Column("lease_until", Moment),
    Column("error", Text),
)
DUE = text("wanted > done")
Index("ix_entities_due", entities.c.due_at, sqlite_where=DUE, postgresql_where=DUE)
HELD = text("holder IS NOT NULL")
Index("ix_entities_held", entities.c.holder, sqlite_where=HELD, postgresql_where=HELD)

#: «Look at this entity», from whoever does not lease it; gone once it was looked at.
nudges = Table(
    "nudges",
    metadata,
    Column("nudge", BigSerial, primary_key=True, autoincrement=True),
    Column("entity", String(220), nullable=False),
    Column("cause", String(40), nullable=False),
    Column("detail", Text, nullable=False),
    Column("created_at", Moment, nullable=False),
)
Index("ix_nudges_entity", nudges.c.entity, nudges.c.nudge)

#: Named leases of whole processes, for instance `sweeper`.
leases = Table(
    "leases",
    metadata,
    Column("name", String(40), primary_key=True),
    Column("holder", String(80), nullable=False),
    Column("fence", BigInteger, nullable=False),
    Column("until", Moment, nullable=False),
)

#: The fetch sequence, for SQLite; PostgreSQL has a sequence of the same name.
fetch_numbers = Table(
    "fetch_numbers",
    metadata,
    Column("name", String(20), primary_key=True),
    Column("value", BigInteger, nullable=False),
)

# --- what Amili says ----------------------------------------------------------


def read_columns() -> tuple[Column[object], ...]:
    """Say when a row was read, and as which number: only a larger one may overwrite it."""
    return (
        Column("raw", Text),
        Column("fetch_number", BigInteger, nullable=False),
        Column("read_began_at", Moment, nullable=False),
    )


cases = Table(
    "cases",
    metadata,
    Column("case_id", Word, primary_key=True),
    Column("case_number", Word, nullable=False),
    Column("organization_id", Word),
    Column("type", Word),
    Column("status", Word),
    Column("sub_status", Word),
    Column("description", Text),
    Column("registered_at", Moment),
    Column("closed_at", Moment),
    #: Nothing is left to collect: closed, or settled in full.
    Column("is_over", Boolean, nullable=False),
    #: What the holds ask for, and the number of times that changed.
    Column("desired", String(10), nullable=False),
    Column("level", BigInteger, nullable=False),
    *read_columns(),
)
Index("ix_cases_case_number", cases.c.case_number)
Index("ix_cases_registered_at", cases.c.registered_at, cases.c.case_id)

invoices = Table(
    "invoices",
    metadata,
    Column("invoice_id", Word, primary_key=True),
    Column("organization_id", Word),
    Column("invoice_number", Word),
    Column("unique_source_invoice_id", Word),
    Column("case_id", Word),
    Column("case_number", Word),
    Column("batch_id", Word),
    Column("type", Word),
    Column("status", Word),
    Column("currency", String(10)),
    Column("original_amount", Money),
    Column("remaining_amount", Money),
    Column("remaining_principal", Money),
    Column("paid_amount", Money),
    Column("credited_amount", Money),
    Column("invoice_date", Moment),
    Column("due_date", Moment),
    *read_columns(),
)
Index("ix_invoices_case_id", invoices.c.case_id)
Index("ix_invoices_invoice_number", invoices.c.invoice_number)
Index("ix_invoices_unique_source_invoice_id", invoices.c.unique_source_invoice_id)

batches = Table(
    "batches",
    metadata,
    Column("batch_id", Word, primary_key=True),
    Column("organization_id", Word),
    Column("type", Word),
    Column("status", Word),
    Column("created_at", Moment),
    Column("finished_at", Moment),
    *read_columns(),
)

batch_items = Table(
    "batch_items",
    metadata,
    Column("batch_id", Word, ForeignKey("batches.batch_id"), primary_key=True),
    Column("position", Integer, primary_key=True),
    Column("succeeded", Boolean, nullable=False),
    Column("invoice_id", Word),
    Column("invoice_number", Word),
    Column("unique_source_invoice_id", Word),
    Column("case_id", Word),
    Column("case_number", Word),
    Column("errors", Text),
)

FAILED = text("NOT succeeded")
for _name in ("invoice_id", "invoice_number", "unique_source_invoice_id"):
    Index(
        f"ix_batch_items_failed_{_name}",
        batch_items.c[_name],
        sqlite_where=FAILED,
        postgresql_where=FAILED,
    )

settlements = Table(
    "settlements",
    metadata,
    Column("settlement_id", Word, primary_key=True),
    Column("organization_id", Word),
    Column("case_number", Word),
    Column("collection_type", Word),
    Column("currency", String(10)),
    Column("customer_reference", Text),
    *read_columns(),
)

# --- what we conclude, and what we ask of Amili -------------------------------

holds = Table(
    "holds",
    metadata,
    Column("hold_id", String(40), primary_key=True),
    Column("case_id", Word, nullable=False),
    Column("reason", Word, nullable=False),
    Column("owner", String(20), nullable=False),
    Column("comment", Text),
    Column("placed_at", Moment, nullable=False),
    Column("until", Moment),
    Column("released_at", Moment),
    Column("released_by", String(40)),
    Column("key", String(300)),
    UniqueConstraint("case_id", "key"),
)
UNRELEASED = text("released_at IS NULL")
Index("ix_holds_case_id", holds.c.case_id)
Index("ix_holds_placed_at", holds.c.placed_at)
Index("ix_holds_until", holds.c.until, sqlite_where=UNRELEASED, postgresql_where=UNRELEASED)

actions = Table(
    "actions",
    metadata,
    Column("seq", BigSerial, primary_key=True, autoincrement=True),
    Column("action_id", String(40), nullable=False, unique=True),
    Column("kind", String(40), nullable=False),
    #: A case's id, or the chunk of a submission.
    Column("target", Word, nullable=False),
    Column("organization_id", Word),
    Column("cause", Word, nullable=False),
    Column("state", String(20), nullable=False),
    Column("attempts", Integer, nullable=False),
    Column("is_ours", Boolean, nullable=False),
    Column("planned_at", Moment, nullable=False),
    Column("not_before", Moment),
    Column("sent_at", Moment),
    Column("ended_at", Moment),
    Column("closed_at", Moment),
    Column("error", Text),
    Column("detail", Text, nullable=False, server_default="{}"),
    Column("holder", String(80)),
    Column("lease_until", Moment),
    UniqueConstraint("target", "cause", "kind"),
)
ONE_OPEN = text(
    "kind IN ('pauseCase', 'resumeCase') AND state IN ('planned', 'sent', 'answered', 'uncertain')"
)
Index(
    "uq_actions_one_open",
    actions.c.target,
    unique=True,
    sqlite_where=ONE_OPEN,
    postgresql_where=ONE_OPEN,
)
UNDER_WAY = text("state IN ('planned', 'sent', 'answered', 'uncertain')")
Index(
    "ix_actions_under_way",
    actions.c.state,
    actions.c.not_before,
    sqlite_where=UNDER_WAY,
    postgresql_where=UNDER_WAY,
)

#: Single values of the whole installation, for instance `epoch`.
facts = Table(
    "facts",
    metadata,
    Column("name", String(40), primary_key=True),
    Column("value", Text, nullable=False),
)

#: Requests with an Idempotency-Key whose effect is no row of its own, and what was answered.
requests = Table(
    "requests",
    metadata,
    #: Of operation, target and key.
    Column("digest", LargeBinary(32), primary_key=True),
    Column("answer", Text, nullable=False),
    Column("asked_at", Moment, nullable=False),
)

#: The explain-why trail. The same conclusion from the same facts is one row.
decisions = Table(
    "decisions",
    metadata,
    Column("seq", BigSerial, primary_key=True, autoincrement=True),
    Column("digest", LargeBinary(32), nullable=False, unique=True),
    Column("entity", String(220), nullable=False),
    Column("policy", String(60), nullable=False),
    Column("outcome", String(40), nullable=False),
    Column("words", Text, nullable=False),
    Column("facts", Text, nullable=False),
    Column("fetch_number", BigInteger, nullable=False),
    Column("decided_at", Moment, nullable=False),
)
Index("ix_decisions_entity", decisions.c.entity, decisions.c.seq)
