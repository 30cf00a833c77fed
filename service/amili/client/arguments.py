"""Arguments of operations that have many: filters of lists, and what is common to calls.

Each filter is a parameter of the query in snake case; None leaves it out. Times and dates are
text as Amili writes them. What names a person stays out of URLs: ids and numbers only.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple, TypedDict


class BatchFilter(TypedDict, total=False):
    """Filters of GetBatchesByOrganization [doc]; `sort_direction`: ASC or DESC [assumed]."""

    state: str | None
    type: str | None
    subject_id: str | None
    idempotency_key: str | None
    page_size: int | None
    sort_direction: str | None


class InvoiceFilter(TypedDict, total=False):
    """Filters of GetInvoicesByOrganization [doc]; Amili chooses the size of a page."""

    status: str | None
    type: str | None
    invoice_number: str | None
    unique_source_invoice_id: str | None
    customer_number: str | None
    from_: str | None
    to: str | None


class CaseFilter(TypedDict, total=False):
    """Filters of GetCasesByOrganization [doc]; free search is left out: it would put names in URLs.

    Times as text in RFC 3339.
    """

    status: str | None
    type: str | None
    case_number: str | None
    customer_number: str | None
    unique_source_invoice_id: str | None
    from_created_at: str | None
    to_created_at: str | None
    page_size: int | None


class SettlementFilter(TypedDict, total=False):
    """Filters of GetSettlements [doc]; dates as text, `2026-12-31`."""

    from_date: str | None
    to_date: str | None
    page_size: int | None


class CaseTarget(NamedTuple):
    """The case that an operation is for."""

    organization_id: str
    case_id: str


@dataclass(frozen=True, slots=True)
class Remark:
    """What a case operation may say [assumed]: a code, and words for people."""

    reason: str | None = None
    comment: str | None = field(default=None, repr=False)


class Said(TypedDict, total=False):
    """What may go with an operation on a case: the remark, and until when it may be sent."""

    reason: str | None
    comment: str | None
    #: A moment of `time.monotonic()` after which it is not sent any more.
    not_after: float | None
