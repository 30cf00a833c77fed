"""Calls to the API: with a token, bounded in number and time, GETs tried again."""

from __future__ import annotations

import asyncio
import time
from dataclasses import replace
from types import TracebackType

import aiohttp

from service.amili.client.refusals import refusal
from service.amili.client.retries import retry_wait
from service.amili.client.tokens import TokenKeeper
from service.amili.client.wire import Answer, Request, Wire
from service.amili.contract import Contract
from service.errors import ProviderError, ProviderUnreachable
from service.settings import Settings
from service.telemetry.metrics import Metrics

UNAUTHORIZED = 401


class Transport:
    """One HTTP session to Amili; an async context manager."""

    def __init__(
        self, settings: Settings, contract: Contract, metrics: Metrics, tokens: TokenKeeper
    ) -> None:
        self._timeout = settings.api_timeout_seconds
        self._slots = asyncio.Semaphore(settings.api_concurrency)
        self._request_id_header = contract.request_id_header
        self._metrics = metrics
        self._tokens = tokens
        self._wire: Wire | None = None

    async def __aenter__(self) -> Transport:
        """Open the session; it connects on first use."""
        session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0),  # the slots are the limit
            cookie_jar=aiohttp.DummyCookieJar(),
            headers={"Accept": "application/json", "User-Agent": "amili-events"},
        )
        self._wire = Wire(session, self._metrics, self._request_id_header)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, at: TracebackType | None
    ) -> None:
        """Close the session and its connections."""
        if self._wire is not None:
            await self._wire.session.close()
            self._wire = None

    async def call(self, request: Request) -> Answer:
        """Return the 2xx answer, or raise the error that the last try ended with.

        Takes at most twice the time-out, from the moment that a slot is free.
        """
        async with self._slots:
            deadline = time.monotonic() + 2 * self._timeout
            tries = 0
            while True:
                tries += 1
                try:
                    return await self._try(request, deadline)
                except ProviderError as error:
                    wait = retry_wait(request.method, error, tries)
                    if wait is None or time.monotonic() + wait >= deadline:
                        raise
                await asyncio.sleep(wait)

    async def _try(self, request: Request, deadline: float) -> Answer:
        """Send the request; a token that is refused is renewed once."""
        token = await self._token(request, deadline)
        answer = await self._send(request, token, deadline)
        if answer.status == UNAUTHORIZED:
            await self._tokens.invalidate(token)
            token = await self._token(request, deadline)
            answer = await self._send(request, token, deadline)
        if not answer.is_success:
            raise refusal(request.operation, answer, now=time.time())
        return answer

    async def _token(self, request: Request, deadline: float) -> str:
        left = self._left(request, deadline)
        try:
            async with asyncio.timeout(left):
                return await self._tokens.get(self._open_wire(), timeout=left)
        except TimeoutError:
            raise _too_late(request) from None

    async def _send(self, request: Request, token: str, deadline: float) -> Answer:
        signed = replace(request, headers={**request.headers, "Authorization": f"Bearer {token}"})
        return await self._open_wire().exchange(signed, timeout=self._left(request, deadline))

    def _left(self, request: Request, deadline: float) -> float:
        now = time.monotonic()
        left = min(self._timeout, deadline - now)
        if left <= 0 or (request.not_after is not None and now > request.not_after):
            raise _too_late(request)
        return left

    def _open_wire(self) -> Wire:
        if self._wire is None:
            raise RuntimeError("use the client inside `async with`")
        return self._wire


def _too_late(request: Request) -> ProviderUnreachable:
    return ProviderUnreachable(
        "no time left before it could be sent",
        operation=request.operation,
        may_have_happened=False,
    )
