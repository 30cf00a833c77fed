"""All SQL of the house: SQLite (WAL) or PostgreSQL, through SQLAlchemy Core.

One file for each table or pair of tables; every function takes the transaction first,
named `tx`, and the time from it: `tx.now` is the store's clock. May import
`service.domain` and below; SQLAlchemy and Alembic are imported nowhere else.
"""
