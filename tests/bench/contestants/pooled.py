"""The work of one event in a process that lives on, with threads: sessions come from a pool."""

from __future__ import annotations

from functools import cache

from psycopg_pool import ConnectionPool

from tests.bench.contestants.settling import DATABASE, TOGETHER, UPSERT, fetch, row_of


@cache
def pool() -> ConnectionPool:
    """Open the process's pool at its first use."""
    return ConnectionPool(DATABASE, min_size=4, max_size=TOGETHER, kwargs={"autocommit": True})


def settle_pooled(case_number: str) -> None:
    """Fetch one case and save it."""
    row = row_of(fetch(case_number))
    with pool().connection() as session:
        session.execute(UPSERT, row)
