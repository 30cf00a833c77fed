"""A second, tiny Amili that has nothing in common with the sandbox but the published contract.

Other base path, other ids, another organization, other members beside the known ones.
"""

from __future__ import annotations

import asyncio
import json
import threading
import time
from types import TracebackType
from typing import Any, Self

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from service.sandbox.server import bind

ORGANIZATION = "org-77"
BASE = "/partners/no/inkasso/v7"
BEARER = "opaque.other-token"
Json = dict[str, Any]


class OtherAmili:
    """A context manager: an API on a free port, and the calls that it received."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, str]] = []
        self.status = "OPEN"
        routes = [
            Route("/oauth/v2/tokens", self._token, methods=["POST"]),
            Route(BASE + "/orgs/{org}/cases", self._cases),
            Route(BASE + "/orgs/{org}/invoices/{id}", self._invoice),
            Route(BASE + "/orgs/{org}/batches/{id}", self._batch),
            Route(BASE + "/orgs/{org}/settlements/{id}", self._settlement),
            Route(BASE + "/orgs/{org}/cases/{id}/{step}", self._step, methods=["POST"]),
        ]
        config = uvicorn.Config(
            Starlette(routes=routes), log_config=None, access_log=False, ws="none", lifespan="off"
        )
        self._server = uvicorn.Server(config)
        self._listener = bind("127.0.0.1", 0)
        self._url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        self._thread = threading.Thread(target=self._serve, daemon=True)

    @property
    def base_url(self) -> str:
        """The base URL of its API."""
        return self._url + BASE

    @property
    def token_url(self) -> str:
        """The URL of its tokens."""
        return self._url + "/oauth/v2/tokens"

    def __enter__(self) -> Self:
        self._thread.start()
        while not self._server.started:
            time.sleep(0.01)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._server.should_exit = True
        self._thread.join(10)
        self._listener.close()

    def _serve(self) -> None:
        asyncio.run(self._server.serve(sockets=[self._listener]))

    def _note(self, request: Request) -> bool:
        """Write a call down; tell whether it may enter."""
        self.calls.append((request.method, request.url.path.removeprefix(BASE)))
        return request.headers.get("authorization") == f"Bearer {BEARER}"

    def _told(self, request: Request, data: Any) -> Response:
        if not self._note(request):
            return JSONResponse({"message": "who are you?"}, 401)
        if request.path_params["org"] != ORGANIZATION:
            return JSONResponse({"message": "not yours"}, 403)
        text = json.dumps({"summary": {"status": "SUCCESS"}, "data": data})
        # Amounts come with all their digits, as Amili's examples show them.
        text = text.replace('"1234.50"', "1234.50")
        return Response(text, media_type="application/json; charset=utf-8")

    async def _token(self, request: Request) -> Response:
        form = (await request.body()).decode()
        self.calls.append(("POST", "token"))
        if "grant_type=client_credentials" not in form:
            return JSONResponse({"error": "unsupported_grant_type"}, 400)
        said = {"access_token": BEARER, "token_type": "Bearer", "expires_in": 600}
        return JSONResponse(said | {"expires_on": int(time.time()) + 600, "resource": "x"})

    async def _cases(self, request: Request) -> Response:
        number = request.query_params.get("CaseNumber")
        invoice = {
            "invoiceId": "INV:1",
            "invoiceNumber": "2026-1",
            "currency": "NOK",
            "remainingAmount": "1234.50",
        }
        case = {
            "caseId": "case.å-1",
            "caseNumber": 4711,
            "organizationId": ORGANIZATION,
            "status": self.status,
            "type": "COLLECTION_NOTICE",
            "somethingNew": {"nested": [1, None]},
            "invoices": [invoice],
            "debtors": [{"fullName": "Kari Nordmann"}],
        }
        return self._told(request, [case] if number == "4711" else [])

    async def _invoice(self, request: Request) -> Response:
        told = {
            "id": request.path_params["id"],
            "organization": {"id": ORGANIZATION, "name": "AS"},
            "invoiceNumber": "2026-1",
            "collectionCaseNumber": 4711,
            "status": "OPEN",
        }
        return self._told(request, told)

    async def _batch(self, request: Request) -> Response:
        told = {
            "batchId": request.path_params["id"],
            "type": "INVOICE",
            "status": "PARTIAL",
            "succeeded": [{"invoiceId": "INV:1", "invoiceNumber": "2026-1", "caseNumber": 4711}],
            "failed": [{"invoiceNumber": "never seen", "errors": ["no debtor"]}],
        }
        return self._told(request, told)

    async def _settlement(self, request: Request) -> Response:
        told = {"caseNumber": 4711, "collectionType": "REMINDER", "currency": "NOK", "net": 1.5}
        return self._told(request, told)

    async def _step(self, request: Request) -> Response:
        answer = self._told(request, None)
        self.status = {"pause": "PAUSED", "resume": "OPEN"}[request.path_params["step"]]
        return Response(status_code=202) if answer.status_code == 200 else answer
