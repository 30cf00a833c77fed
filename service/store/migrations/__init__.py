"""The history of the schema, for Alembic: one file for each change, oldest first."""
