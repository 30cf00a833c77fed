"""Calls to the API: with a token, bounded in number and time, GETs tried again."""

from __future__ import annotations

import asyncio
import math
import time
from dataclasses import replace
from types import TracebackType

import aiohttp

from service.amili.client.gate import Gate
from service.amili.client.gate_slots import Slots
from service.amili.client.gate_verdicts import Shown
from service.amili.client.gate_words import Permit
from service.amili.client.purposes import Purpose
from service.amili.client.refusals import refusal
from service.amili.client.retries import retry_wait
from service.amili.client.tokens import TokenKeeper
from service.amili.client.wire import Answer, Request, Wire
from service.amili.contract import Contract
from service.errors import ProviderError, ProviderUnreachable
from service.settings import Settings
from service.telemetry.metrics import Metrics

UNAUTHORIZED = 401
#: Nobody waits for these: they wait longer for their turn, in time-outs of a call.
UNHURRIED = (Purpose.RECONCILE, Purpose.BACKFILL)
UNHURRIED_TIMES = 6


class Transport:
    """One HTTP session to Amili; an async context manager."""

    def __init__(
        self,
        settings: Settings,
        contract: Contract,
        metrics: Metrics,
        tokens: TokenKeeper,
        gate: Gate | None = None,
    ) -> None:
        self._timeout = settings.api_timeout_seconds
        self._slots = Slots(settings.api_concurrency)
        self._request_id_header = contract.request_id_header
        self._metrics = metrics
        self._tokens = tokens
        self._gate = gate
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

        Takes at most three times the time-out, waiting for a slot not counted: once for the
        leave to call (for what has time: six times), and twice from the moment that a slot is
        free.
        """
        deadline, tries = math.inf, 0
        while True:
            tries += 1
            permit, shown = await self._permit(request, deadline), Shown()
            try:
                async with self._slots.slot(request.purpose):
                    deadline = min(deadline, time.monotonic() + 2 * self._timeout)
                    return await self._permitted(request, permit, deadline, shown)
            except ProviderError as error:
                wait = retry_wait(request.method, error, tries)
                is_crowded = self._gate is not None and self._gate.is_crowded
                if wait is None or is_crowded or time.monotonic() + wait >= deadline:
                    raise
            finally:
                if self._gate is not None and permit is not None:
                    self._gate.tell(permit, shown.verdict, shown.wait, shown.about)
            await asyncio.sleep(wait)

    async def _permit(self, request: Request, deadline: float) -> Permit | None:
        """Wait for the leave to call, holding no slot: whoever is more urgent needs it."""
        if self._gate is None:
            return None
        patience = self._left(request, deadline)
        if request.purpose in UNHURRIED and deadline == math.inf:
            patience *= UNHURRIED_TIMES
        if request.not_after is not None:
            patience = min(patience, request.not_after - time.monotonic())
        return await self._gate.give(request.operation, request.purpose, patience)

    async def _permitted(
        self, request: Request, permit: Permit | None, deadline: float, shown: Shown
    ) -> Answer:
        """Send the request; a token that is refused is renewed once."""
        if self._gate is not None and permit is not None:
            self._gate.demand_closed(request.operation, permit)
        token = await self._token(request, deadline)
        answer = await self._send(request, token, deadline, shown)
        if answer.status == UNAUTHORIZED:
            await self._tokens.invalidate(token)
            token = await self._token(request, deadline)
            answer = await self._send(request, token, deadline, shown)
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

    async def _send(self, request: Request, token: str, deadline: float, shown: Shown) -> Answer:
        signed = replace(request, headers={**request.headers, "Authorization": f"Bearer {token}"})
        left = self._left(request, deadline)
        shown.begin()
        try:
            answer = await self._open_wire().exchange(signed, timeout=left)
        except ProviderError as error:
            shown.by_error(request, error)
            raise
        shown.by_answer(request, answer, now=time.time())
        return answer

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
