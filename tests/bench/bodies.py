"""Deliveries, each unique and signed beforehand, as whole HTTP requests in a file.

The file is read by both load generators: six digits that say how long a request is, then the
request, and so on. Nothing is computed while the clock runs.
"""

from __future__ import annotations

import hmac
import json
import time
import uuid
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

SECRET = "secret-of-the-benchmark"
ORGANIZATION = "0c7de3a0-5f3b-4a57-9f35-5a1d1f0f6d11"
BODY_BYTES = 400
DIGITS = 6
NUMBERS = uuid.UUID("6f0a6b0e-3c5e-4f0e-8a53-3d3f3f1c6b10")


def case_id(number: int) -> str:
    """Name the case with this number; the stub of Amili knows the same names."""
    return f"00000000-0000-4000-8000-{number:012d}"


def invoice_id(number: int) -> str:
    """Name the invoice with this number; those of a batch carry numbers of their own."""
    return f"00000000-0000-4000-9000-{number:012d}"


def case_updated(seed: int, number: int, case: int) -> bytes:
    """Make the body of an event about a case: exactly 400 bytes, never twice the same.

    It names no invoice: the product would fetch that too, where the others fetch the case alone.
    """
    event_id = uuid.uuid5(NUMBERS, f"{seed}/{number}")
    body = (
        f'{{"id":"{event_id}","eventType":"CASE_UPDATED","source":"COLLECTION",'
        f'"timeStamp":"2026-05-04T08:00:00Z","data":{{"orgId":"{ORGANIZATION}",'
        f'"caseId":"{case_id(case)}","caseNumber":"{case}","type":"PAYMENT_REMINDER",'
        f'"status":"OPEN","invoices":[],"fields":["status"],"description":"'
    )
    return f'{body}{"." * (BODY_BYTES - len(body) - 3)}"}}}}'.encode()


def stripe_event(seed: int, number: int) -> bytes:
    """Make an event as Stripe sends it, of a type whose data dj-stripe keeps as it is."""
    event = {
        "id": f"evt_{uuid.uuid5(NUMBERS, f'stripe/{seed}/{number}').hex}",
        "object": "event",
        "api_version": "2024-06-20",
        "created": 1_750_000_000,
        "type": "balance.available",
        "livemode": False,
        "pending_webhooks": 1,
        "request": {"id": None, "idempotency_key": None},
        "data": {"object": {"object": "balance", "livemode": False, "pending": [], "note": ""}},
    }
    body = json.dumps(event)
    return body.replace('"note": ""', f'"note": "{"." * (BODY_BYTES - len(body))}"').encode()


def stripe_headers(body: bytes) -> dict[str, str]:
    """Sign as Stripe does: a time, and the HMAC over time and body."""
    at = int(time.time())
    digest = hmac.digest(SECRET.encode(), f"{at}.".encode() + body, sha256).hex()
    return {"Stripe-Signature": f"t={at},v1={digest}"}


def batch_completed(seed: int, number: int) -> bytes:
    """Make the body that tells of a finished batch."""
    event = {
        "id": str(uuid.uuid5(NUMBERS, f"batch/{seed}/{number}")),
        "type": "BATCH_COMPLETED",
        "source": "COLLECTION",
        "timeStamp": "2026-05-04T08:00:00Z",
        "data": {"batchId": case_id(number), "organizationId": ORGANIZATION, "status": "SUCCESS"},
    }
    return json.dumps(event).encode()


@dataclass(frozen=True)
class Signer:
    """How a door wants its deliveries: where, and signed with which headers."""

    path: str
    headers: Callable[[bytes], dict[str, str]]

    def request(self, body: bytes) -> bytes:
        """Write one delivery as it goes over the wire."""
        lines = [
            f"POST {self.path} HTTP/1.1",
            "Host: 127.0.0.1",
            "Content-Type: application/json",
            f"Content-Length: {len(body)}",
            *(f"{name}: {value}" for name, value in self.headers(body).items()),
        ]
        return "\r\n".join([*lines, "", ""]).encode() + body


def amili_headers(body: bytes) -> dict[str, str]:
    """Sign as Amili is assumed to: hex of the HMAC over the raw body."""
    digest = hmac.digest(SECRET.encode(), body, sha256).hex()
    return {
        "User-Agent": "Amili",
        "X-Amili-Event": "CASE_UPDATED",
        "IdempotencyKey": digest[:32],
        "X-Amili-Request-Id": digest[32:],
        "X-Webhook-Signature": digest,
    }


def write(path: Path, requests: Iterable[bytes]) -> int:
    """Write requests to a file; return how many."""
    count = 0
    with path.open("wb") as file:
        for request in requests:
            file.write(f"{len(request):0{DIGITS}d}".encode() + request)
            count += 1
    return count


def read(path: Path) -> Iterator[bytes]:
    """Read them back."""
    with path.open("rb") as file:
        while head := file.read(DIGITS):
            yield file.read(int(head))
