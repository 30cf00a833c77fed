"""What files of payments and corrections name, looked up among the invoices that are known."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from service import settings as our_settings
from service.desk.reading import Reading
from service.domain.submissions import SubmissionKind
from service.store.database import Database
from service.submitting.knowing import Unknown

SQLITE = "sqlite:///"


@contextmanager
def known_here(kind: SubmissionKind) -> Iterator[Unknown | None]:
    """Give what looks invoices up; None for a file of invoices, and where nothing is kept yet."""
    url = our_settings.load().sql_url
    nothing = url.startswith(SQLITE) and not Path(url.removeprefix(SQLITE)).exists()
    if kind is SubmissionKind.INVOICES or nothing:
        yield None
        return
    database = Database(url, pool=1)
    try:
        yield Reading(database).unknown_invoices
    finally:
        database.close()
