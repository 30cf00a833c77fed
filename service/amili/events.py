"""What an authentic event comes down to: values that any database can keep. Pure.

Every text here is printable and at most 200 characters long.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Literal


@dataclass(frozen=True, slots=True)
class Subject:
    """What an event is about: the thing to look at."""

    kind: Literal["case", "batch", "settlement", "invoice"]
    id: str
    case_number: str | None = None


@dataclass(frozen=True, slots=True)
class Hint:
    """What the payload claims; a doubt about what we know, never state.

    `invoices`: ids; None when the payload does not name them. `fields`: the parts
    of a case that changed.
    """

    status: str | None = None
    type: str | None = None
    invoices: tuple[str, ...] | None = None
    fields: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Event:
    """One authentic event. `label` is its type for metrics: a known name, or `other`."""

    event_id: str
    type: str
    label: str
    source: str | None
    time_stamp: datetime | None
    organization_id: str | None
    subject: Subject | None
    hint: Hint
    #: Why an event of a known type cannot be used; it is kept and shown as dead.
    problem: str | None = None
