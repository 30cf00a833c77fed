"""One HTTP exchange: send, read within bounds, count, translate. No retry, no token.

The only module that catches aiohttp's errors.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field

import aiohttp
from yarl import URL

from service.amili.client.purposes import Purpose
from service.errors import ContractBroken, ProviderUnreachable
from service.telemetry.metrics import Metrics

#: More than any answer of a sane size, a batch of ten thousands of invoices included.
MAX_ANSWER_BYTES = 64 * 1024 * 1024
#: Of an error's body we keep 4 KiB.
MAX_ERROR_BYTES = 16 * 1024
CHUNK = 64 * 1024
#: Headers in which servers tell a request's id, after the contract's own.
REQUEST_ID_HEADERS = ("X-Request-Id", "Request-Id", "X-Correlation-Id")


@dataclass(frozen=True, slots=True)
class Request:
    """What to send. `url` is quoted already; it and the headers stay out of every text."""

    operation: str
    method: str
    url: str
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    params: tuple[tuple[str, str], ...] = ()
    body: bytes | None = field(default=None, repr=False)
    #: A 2xx is worthless without its body; otherwise the status alone is the answer.
    needs_body: bool = True
    #: Not to be sent after this moment of `time.monotonic()`: whoever stood still may have
    #: been given up meanwhile.
    not_after: float | None = None
    #: Who goes first when there is not time for all.
    purpose: Purpose = Purpose.FETCH


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back."""

    status: int
    headers: Mapping[str, str] = field(repr=False)
    body: bytes = field(repr=False)
    request_id: str | None = None

    @property
    def is_success(self) -> bool:
        """Tell whether the status is 2xx."""
        return 200 <= self.status < 300


@dataclass(frozen=True, slots=True)
class Wire:
    """The session that all exchanges share, and where they are counted."""

    session: aiohttp.ClientSession
    metrics: Metrics
    request_id_header: str
    max_answer_bytes: int = MAX_ANSWER_BYTES

    async def exchange(self, request: Request, *, timeout: float) -> Answer:
        """Send the request once and return the answer, whatever its status is.

        Raises ProviderUnreachable when none came, ContractBroken when it is too large.
        """
        began = time.perf_counter()
        status = "cancelled"
        try:
            answer = await self._send(request, timeout)
            status = str(answer.status)
            return answer
        except (aiohttp.ClientError, OSError) as exc:  # TimeoutError is an OSError
            status = "timeout" if isinstance(exc, TimeoutError) else "unreachable"
            raise _unreachable(request.operation, exc) from None
        except ContractBroken as error:
            status = str(error.status)
            raise
        finally:
            self.metrics.api_requests.labels(request.operation, status).inc()
            self.metrics.api_request_seconds.labels(request.operation).observe(
                time.perf_counter() - began
            )

    async def _send(self, request: Request, timeout: float) -> Answer:
        async with self.session.request(
            request.method,
            URL(request.url, encoded=True),
            params=request.params or None,
            headers=request.headers,
            data=request.body,
            allow_redirects=False,
            # Half for the connection, so that its time-out is told from a slow answer.
            timeout=aiohttp.ClientTimeout(total=timeout, connect=timeout / 2),
        ) as response:
            return Answer(
                response.status,
                response.headers,
                await self._body(request, response),
                self._request_id(response),
            )

    async def _body(self, request: Request, response: aiohttp.ClientResponse) -> bytes:
        needed = request.needs_body and 200 <= response.status < 300
        limit = self.max_answer_bytes if needed else MAX_ERROR_BYTES
        body = bytearray()
        try:
            async for chunk in response.content.iter_chunked(CHUNK):
                body += chunk
                if len(body) > limit:
                    break
        except (aiohttp.ClientError, OSError):
            if needed:
                raise
        if needed and len(body) > limit:
            raise ContractBroken(
                f"an answer of more than {limit} bytes",
                operation=request.operation,
                status=response.status,
                request_id=self._request_id(response),
            )
        return bytes(body)

    def _request_id(self, response: aiohttp.ClientResponse) -> str | None:
        for name in (self.request_id_header, *REQUEST_ID_HEADERS):
            said = response.headers.get(name, "")
            if 0 < len(said) <= 100 and said.isascii() and said.isprintable():
                return said
        return None


def _unreachable(operation: str, exc: Exception) -> ProviderUnreachable:
    """Translate a failure of the connection; before it stood, nothing can have happened."""
    before = aiohttp.ClientConnectorError | aiohttp.ConnectionTimeoutError | aiohttp.InvalidURL
    nothing_sent = isinstance(exc, before)
    words = "no answer in time" if isinstance(exc, TimeoutError) else type(exc).__name__
    return ProviderUnreachable(
        f"Amili was not reached: {words}" if nothing_sent else f"the call broke off: {words}",
        operation=operation,
        may_have_happened=not nothing_sent,
    )
