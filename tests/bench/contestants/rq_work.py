"""(b) The job: in a module of its own, so that a forked child finds it imported."""

from __future__ import annotations

import psycopg

from tests.bench.contestants.settling import DATABASE, UPSERT, fetch, row_of


def settle(case_number: str) -> None:
    """Fetch one case and save it."""
    row = row_of(fetch(case_number))
    with psycopg.connect(DATABASE, autocommit=True) as session:
        session.execute(UPSERT, row)
