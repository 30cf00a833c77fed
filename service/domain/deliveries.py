"""What came in at the door, and what it becomes in the inbox."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from service.amili.webhooks import EVENTS, SAME
from service.domain.entities import Claims, EntityKey

#: The closed set of event labels; every type that is not known is `other`.
LABELS = (*dict.fromkeys(SAME.get(name, name) for name in EVENTS), "other")


def label_of(event_type: str) -> str:
    """Name the label of events of a type."""
    name = SAME.get(event_type, event_type)
    return name if name in LABELS else "other"


def digest_of(body: bytes) -> bytes:
    """Return what two deliveries share when they are the same."""
    return hashlib.sha256(body).digest()


class EventState(StrEnum):
    """How far an event got."""

    RECEIVED = "received"
    RETRYING = "retrying"
    SETTLED = "settled"
    DEAD = "dead"


@dataclass(frozen=True, slots=True)
class Delivery:
    """One webhook as it arrived: nothing read into it yet."""

    #: SHA-256 of the raw body: two deliveries are the same when this is.
    digest: bytes
    body: bytes
    #: The few headers that are kept, by lower-case name.
    headers: Mapping[str, str]
    received_at: datetime


@dataclass(frozen=True, slots=True)
class Which:
    """Which events are meant; None: any."""

    state: str | None = None
    type: str | None = None
    #: A part of the last error, in capitals or not.
    error: str | None = None
    #: Received at this moment or later.
    since: datetime | None = None


@dataclass(frozen=True, slots=True)
class NewEvent:
    """A delivery and all that was read from it; every text fits any database."""

    delivery: Delivery
    event_id: str
    type: str
    #: The type, from a closed set: for metrics.
    label: str
    state: EventState
    #: Set when it is settled or dead from the start: `unknown_type`, `foreign`, `malformed`.
    outcome: str | None = None
    error: str | None = None
    key: EntityKey | None = None
    lookup: str | None = None
    organization_id: str | None = None
    provider_at: datetime | None = None
    claims: Claims | None = None
    #: It tells of a change that the payload does not show, so no read can be checked by it.
    is_hidden_change: bool = False
