"""Webhooks: what is said and who signed it. How they travel is `courier`'s.

The published examples disagree with each other (contract §4), so each event can be written in
either spelling. Signature, attempts and pauses are [assumed].
"""

from __future__ import annotations

import hashlib
import hmac
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from service.sandbox.behaviour import Behaviour
from service.sandbox.errors import SandboxError
from service.sandbox.wire import Record, dumps, stamp

BATCH_COMPLETED = "BATCH_COMPLETED"
SETTLEMENT_CREATED = "SETTLEMENT_CREATED"
CASE_CREATED = "CASE_CREATED"
CASE_UPDATED = "CASE_UPDATED"


@dataclass(frozen=True)
class Target:
    """Where webhooks go, and how they are signed; without a URL they are only recorded."""

    url: str | None = None
    secret: str | None = None
    #: Put before the hexadecimal digest, such as `sha256=`; [assumed] none.
    prefix: str = ""

    def __post_init__(self) -> None:
        """Refuse what no webhook can be sent to."""
        if self.url is not None and not str(self.url).startswith(("http://", "https://")):
            raise ValueError("a webhook's url begins with http:// or https://")

    def signature(self, raw: bytes) -> str | None:
        """Sign a raw body: hex HMAC-SHA256 [assumed]."""
        if not self.secret:
            return None
        return self.prefix + hmac.new(self.secret.encode(), raw, hashlib.sha256).hexdigest()


@dataclass
class Delivery:
    """One copy of one event on its way; its body and key stay the same over retries."""

    event_id: str
    event: str
    body: bytes
    key: str
    copy: int
    #: recorded (no target), suppressed (webhooks off), lost (by chance), waiting, delivered,
    #: given_up
    state: str = "waiting"
    attempts: list[dict[str, Any]] = field(default_factory=list)
    delivery_id: str = field(default_factory=lambda: str(uuid.uuid4()))

    def headers(self, target: Target) -> dict[str, str]:
        """Return the headers of one attempt; each has a request id of its own."""
        made = {
            "Content-Type": "application/json",
            "X-Amili-Event": self.event,
            "IdempotencyKey": self.key,
            "X-Amili-Request-Id": str(uuid.uuid4()),
        }
        signature = target.signature(self.body)
        return made | ({"X-Webhook-Signature": signature} if signature else {})

    def shown(self) -> Record:
        """Show the delivery in the control API."""
        return {
            "deliveryId": self.delivery_id,
            "eventId": self.event_id,
            "event": self.event,
            "idempotencyKey": self.key,
            "copy": self.copy,
            "state": self.state,
            "attempts": list(self.attempts),
            "body": self.body.decode(),
        }


class Outbox:
    """The deliveries, and the door through which the courier gets them."""

    def __init__(self, target: Target, happens: Callable[[float], bool]) -> None:
        self.target = target
        self._happens = happens
        #: Set while the app runs; without it deliveries are only recorded.
        self.carry: Callable[[Delivery], None] | None = None
        self._deliveries: dict[str, Delivery] = {}
        self._said = 0
        #: How many deliveries are no longer known.
        self.forgotten = 0

    def publish(self, event: str, data: Record, at: float, behaviour: Behaviour) -> str:
        """Say an event; return its id."""
        word, body = self._write(event, data, at, behaviour.spelling)
        key = str(uuid.uuid4())
        for copy in range(1, behaviour.duplicates + 1):
            delivery = Delivery(body["id"], word, dumps(body), key, copy)
            self._keep(delivery, behaviour.deliveries_kept)
            if not behaviour.webhooks_on:
                delivery.state = "suppressed"
            elif self._happens(behaviour.webhook_loss_rate):
                delivery.state = "lost"
            else:
                self._hand_over(delivery)
        return str(body["id"])

    def resend(self, delivery_id: str) -> Record:
        """Send a delivery's very body once more, as a delivery of its own."""
        old = self._deliveries.get(delivery_id)
        if old is None:
            raise SandboxError(f"no delivery {delivery_id}")
        again = Delivery(old.event_id, old.event, old.body, old.key, old.copy + 1)
        self._deliveries[again.delivery_id] = again
        self._hand_over(again)
        return again.shown()

    def deliveries(self, event: str | None = None) -> list[Record]:
        """List the deliveries, all or of one event word."""
        return [d.shown() for d in self._deliveries.values() if event in (None, d.event)]

    def clear(self) -> None:
        """Forget all deliveries."""
        self._deliveries.clear()
        self.forgotten = 0

    def _keep(self, delivery: Delivery, most: int) -> None:
        self._deliveries[delivery.delivery_id] = delivery
        while len(self._deliveries) > most:
            oldest = next(iter(self._deliveries.values()))
            if oldest.state == "waiting":
                break
            del self._deliveries[oldest.delivery_id]
            self.forgotten += 1

    def _hand_over(self, delivery: Delivery) -> None:
        if self.carry is None or self.target.url is None:
            delivery.state = "recorded"
        else:
            self.carry(delivery)

    def _write(self, event: str, data: Record, at: float, spelling: str) -> tuple[str, Record]:
        self._said += 1
        is_new_spelling = _takes_event_type(event, spelling, self._said)
        member = "eventType" if is_new_spelling else "type"
        word = "CASE" if is_new_spelling and event == CASE_CREATED else event
        organization = "orgId" if is_new_spelling else "organizationId"
        said = {organization if k == "organizationId" else k: v for k, v in data.items()}
        body = {
            "id": str(uuid.uuid4()),
            member: word,
            "source": "COLLECTION",
            "timeStamp": stamp(at),
            "data": said,
        }
        return word, body


def _takes_event_type(event: str, spelling: str, number: int) -> bool:
    if spelling == "published":
        return event.startswith("CASE")
    if spelling == "alternate":
        return number % 2 == 0
    return spelling == "eventType"
