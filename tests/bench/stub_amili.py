"""A stub of Amili that costs next to nothing: every answer is ready, late by a chosen latency.

    python -m tests.bench.stub_amili PORT LATENCY_MS [BATCH_INVOICES]

It knows every case and invoice, and one batch for each number. `GET /_counts` tells how many calls
of each kind came. HTTP/1.1 with keep-alive, no pipelining.
"""

from __future__ import annotations

import asyncio
import json
import sys
from collections import Counter
from typing import cast
from urllib.parse import parse_qs, urlsplit

import uvloop

from tests.bench.bodies import ORGANIZATION, case_id, invoice_id

HEAD = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n"
TOKEN = {"access_token": "token", "token_type": "Bearer", "expires_in": 3600}


def case(number: int) -> dict[str, object]:
    """Write a case as Amili does, but without invoices: the product alone would fetch those."""
    return {
        "caseId": case_id(number),
        "caseNumber": number,
        "organizationId": ORGANIZATION,
        "creditorId": ORGANIZATION,
        "creditorNumber": "1001",
        "status": "OPEN",
        "subStatus": None,
        "type": "PAYMENT_REMINDER",
        "description": "",
        "registeredAt": "2026-05-01T08:00:00Z",
        "closedAt": None,
        "invoices": [],
        "debtors": [{"debtorId": invoice_id(number), "type": "PRIVATE", "debtorNumber": "7"}],
    }


def invoice(number: int) -> dict[str, object]:
    """Write an invoice as it is read back."""
    return {
        "id": invoice_id(number),
        "organization": {"id": ORGANIZATION, "organizationNumber": "987654321", "name": "Bench"},
        "invoiceNumber": f"F-{number}",
        "collectionCaseNumber": str(number),
        "type": "PAYMENT_REMINDER",
        "status": "OPEN",
        "createdAt": "2026-05-01T08:00:00Z",
        "uniqueSourceInvoiceId": f"S-{number}",
        "remainingAmount": 3000.00,
        "currency": "NOK",
    }


def batch(number: int, invoices: int) -> dict[str, object]:
    """Write a finished batch; its invoices have numbers of their own."""
    first = number * invoices
    return {
        "batchId": case_id(number),
        "type": "INVOICE",
        "status": "SUCCESS",
        "createdAt": "2026-05-01T08:00:00Z",
        "finishedAt": "2026-05-01T08:01:00Z",
        "organizationId": ORGANIZATION,
        "createdBy": "bench",
        "succeeded": [
            {
                "invoiceId": invoice_id(n),
                "invoiceNumber": f"F-{n}",
                "caseNumber": str(n),
            }
            for n in range(first, first + invoices)
        ],
        "failed": [],
    }


class Amili:
    """What it answers, and what it was asked."""

    def __init__(self, latency_ms: float, invoices: int) -> None:
        self.latency = latency_ms / 1000
        self.invoices = invoices
        self.calls: Counter[str] = Counter()

    def answer(self, target: str) -> tuple[bytes, float]:
        """Return the answer to a request, and after how many seconds it is to leave."""
        url = urlsplit(target)
        parts = url.path.strip("/").split("/")
        if parts[0] == "_counts":
            return whole(dict(self.calls)), 0.0
        if parts[-1] == "token":
            self.calls["token"] += 1
            return whole(TOKEN), 0.0
        kind = "cases" if url.query else parts[-2]
        self.calls[kind] += 1
        return enveloped(self.data(kind, parts[-1], url.query)), self.latency

    def data(self, kind: str, name: str, query: str) -> object:
        """Find a record: cases by their number, the others by what stands at an id's end."""
        if kind == "cases":
            return [case(int(parse_qs(query)["CaseNumber"][0]))]
        number = int(name[-12:])
        return batch(number, self.invoices) if kind == "batches" else invoice(number)


def enveloped(data: object) -> bytes:
    """Put data into Amili's envelope."""
    return whole({"summary": {"status": "SUCCESS"}, "data": data})


def whole(said: object) -> bytes:
    """Write a whole answer."""
    body = json.dumps(said).encode()
    return HEAD.format(len(body)).encode() + body


class Line(asyncio.Protocol):
    """One connection."""

    def __init__(self, amili: Amili) -> None:
        self._amili = amili
        self._loop = asyncio.get_running_loop()
        self._buffer = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Remember where to answer."""
        self._transport = cast(asyncio.WriteTransport, transport)  # uvloop's own class

    def data_received(self, data: bytes) -> None:
        """Answer once a request is complete."""
        self._buffer += data
        head, found, rest = self._buffer.partition(b"\r\n\r\n")
        if not found or len(rest) < length(head):
            return
        self._buffer = b""
        answer, delay = self._amili.answer(head.split(b" ", 2)[1].decode("latin-1"))
        if delay:
            self._loop.call_later(delay, self._transport.write, answer)
        else:
            self._transport.write(answer)


def length(head: bytes) -> int:
    """Read how long a request's body is."""
    for line in head.lower().split(b"\r\n"):
        if line.startswith(b"content-length:"):
            return int(line.partition(b":")[2])
    return 0


async def serve(port: int, amili: Amili) -> None:
    """Serve until told to end."""
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: Line(amili), "127.0.0.1", port, backlog=512)
    await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(
        serve(int(sys.argv[1]), Amili(float(sys.argv[2]), int((sys.argv[3:] or ["10000"])[0])))
    )
