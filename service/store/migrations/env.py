"""Run by Alembic; the connection comes from `service.store.migrating`, never from a file."""

from __future__ import annotations

from alembic import context

from service.store import schema

connection = context.config.attributes["connection"]
context.configure(
    connection=connection, target_metadata=schema.events.metadata, transaction_per_migration=False
)
with context.begin_transaction():
    context.run_migrations()
