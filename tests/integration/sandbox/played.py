"""What the tests of the imitated Amili play with: a caller, an endpoint, a clock.

They share none of the product's code: other tests rely on the sandbox as their oracle.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import time
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import httpx2

from service.sandbox.harness import SandboxServer
from service.sandbox.world import ORGANIZATION_ID

ORG = f"/orgs/{ORGANIZATION_ID}"
START = 1_780_000_000.0
SECRET = "invented"


class Clock:
    """A clock that stands still until it is moved."""

    def __init__(self) -> None:
        self.now = START

    def __call__(self) -> float:
        return self.now


class Caller:
    """A client of the imitated API that shares none of the product's code."""

    def __init__(self, sandbox: SandboxServer) -> None:
        form = {"grant_type": "client_credentials", "client_id": "c", "client_secret": "s"}
        token = httpx2.post(sandbox.token_url, data=form).json()["access_token"]
        bearer = {"Authorization": f"Bearer {token}"}
        self.client = httpx2.Client(base_url=sandbox.base_url, headers=bearer)

    def get(self, path: str, **query: Any) -> Any:
        answer = self.client.get(ORG + path, params=query)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def post(self, path: str, body: Any = None, key: str = "k") -> httpx2.Response:
        return self.client.post(ORG + path, json=body, headers={"IdempotencyKey": key})

    def pause(self, case: dict[str, Any]) -> int:
        return self.post(f"/cases/{case['caseId']}/pause").status_code

    def resume(self, case: dict[str, Any]) -> int:
        return self.post(f"/cases/{case['caseId']}/resume").status_code

    def status(self, case: dict[str, Any]) -> str:
        found = self.get("/cases", CaseNumber=case["caseNumber"])["data"]
        return str(found[0]["status"]) if found else "absent"


class Received:
    """One webhook as it came over the socket."""

    def __init__(self, headers: Any, raw: bytes) -> None:
        self.headers = {name.lower(): value for name, value in headers.items()}
        self.raw = raw
        self.body: dict[str, Any] = json.loads(raw)

    @property
    def signed(self) -> str:
        return hmac.new(SECRET.encode(), self.raw, hashlib.sha256).hexdigest()


class Endpoint:
    """A user's webhook endpoint: keeps what comes, answers as told (202 when told nothing)."""

    def __init__(self) -> None:
        self.received: list[Received] = []
        self.answers: list[int] = []
        seen = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                raw = self.rfile.read(int(self.headers["Content-Length"]))
                status = seen.answers.pop(0) if seen.answers else 202
                seen.received.append(Received(self.headers, raw))
                self.send_response(status)
                self.send_header("Content-Length", "0")
                self.send_header("Location", "/elsewhere")  # a redirect is not to be followed
                self.end_headers()

            def log_message(self, format: str, *args: Any) -> None:
                pass

        class Server(ThreadingHTTPServer):
            request_queue_size = 128  # else a burst of connections waits for a second SYN

        self.server = Server(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}/webhooks/amili"

    def named(self, word: str) -> list[Received]:
        return [one for one in self.received if one.headers["x-amili-event"] == word]


def until(check: Callable[[], Any], patience: float = 10.0) -> Any:
    """Wait until something is true, and return it; fail when it never is."""
    end = time.monotonic() + patience
    while not (result := check()):
        assert time.monotonic() < end, "it never became true"
        time.sleep(0.005)
    return result


def invoice(number: int, **members: Any) -> dict[str, Any]:
    """Write an invoice as it is handed over; everything in it is invented."""
    person = {
        "type": "PRIVATE",
        "firstname": "Test",
        "lastname": "Testesen",
        "customerNumber": f"K{number}",
        "identificationNumber": "00000000000",
    }
    return {
        "type": "PAYMENT_REMINDER",
        "invoiceNumber": f"F{number}",
        "uniqueSourceInvoiceId": f"src-{number}",
        "originalInvoiceAmount": 100,
        "currency": "NOK",
        "debtors": [person],
        "claims": [{"type": "PRINCIPAL", "remainingAmount": 100}],
        **members,
    }
