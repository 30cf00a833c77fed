"""Gives the items of a file or body that was examined, as they will be sent."""

from __future__ import annotations

import io
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path

from service.amili.requests import NewInvoice
from service.domain.records import one_spelling
from service.domain.submissions import NewItem, SubmissionKind
from service.errors import SubmissionChanged, SubmissionRefused
from service.submitting.options import Options
from service.submitting.reading import BODY, Progress, Source, opened, settled
from service.submitting.records import Record, problem_of
from service.submitting.shapes import Whole, whole


def read(
    path: Path,
    kind: SubmissionKind,
    options: Options,
    digest: bytes,
    *,
    progress: Progress | None = None,
) -> Iterator[NewItem]:
    """Give the items of a file whose examination told this digest.

    Raises SubmissionChanged, which may be after the last item only, when the file is another by
    now, and SubmissionRefused for what is wrong: send nothing before the last item is there.
    """
    options = settled(path, options)
    with opened(path) as stream:
        source = Source(stream, kind, options, progress)
        yield from items(source, kind)
        if source.digest() != digest:
            raise SubmissionChanged


def read_body(body: bytes, kind: SubmissionKind) -> Iterator[NewItem]:
    """Give the items of a body. Raises SubmissionRefused for what is wrong."""
    return items(Source(io.BytesIO(body), kind, BODY), kind)


def items(source: Source, kind: SubmissionKind) -> Iterator[NewItem]:
    """Give the items of a source. Raises SubmissionRefused."""
    for position, record in enumerate(source):
        found, flaws = whole(record, kind)
        if found is None:
            raise SubmissionRefused(
                problems=[problem_of(record, flaw, position=position) for flaw in flaws]
            )
        yield item(record, found)


def item(record: Record, found: Whole) -> NewItem:
    """Put an item together with the names by which it is found again."""
    model = found.model
    if isinstance(model, NewInvoice):
        return NewItem(
            line=record.line,
            body=found.text,
            unique_source_invoice_id=model.unique_source_invoice_id,
            invoice_number=model.invoice_number,
        )
    return NewItem(
        line=record.line,
        body=found.text,
        invoice_id=one_spelling(model.invoice_id),
        amount=Decimal(model.amount),
    )
