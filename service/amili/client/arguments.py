"""Arguments of operations that have many."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple, TypedDict


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


class CaseTarget(NamedTuple):
    """The case that an operation is for."""

    organization_id: str
    case_id: str


@dataclass(frozen=True, slots=True)
class Remark:
    """What a case operation may say [assumed]: a code, and words for people."""

    reason: str | None = None
    comment: str | None = field(default=None, repr=False)
