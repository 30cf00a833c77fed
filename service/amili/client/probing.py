"""Two questions of `doctor` that are no operations: a token alone, and what time a host has."""

from __future__ import annotations

import time
from dataclasses import dataclass
from email.utils import parsedate_to_datetime

import aiohttp

from service.amili.client.tokens import TokenKeeper
from service.amili.client.wire import Request, Wire
from service.amili.contract import Contract
from service.telemetry.metrics import Metrics

OPERATION = "probe"


@dataclass(frozen=True, slots=True)
class HostTime:
    """What a host's `Date` said (whole seconds), and between which moments of ours."""

    date: float | None
    asked_at: float
    answered_at: float
    #: The answer carried the contract's request id header.
    has_request_id: bool


async def fetch_token(tokens: TokenKeeper, contract: Contract, *, timeout: float) -> None:
    """Fetch a token and keep it in the keeper; raises a ProviderError when there is none."""
    async with aiohttp.ClientSession(cookie_jar=aiohttp.DummyCookieJar()) as session:
        wire = Wire(session, Metrics(), contract.request_id_header)
        await tokens.get(wire, timeout=timeout)


async def host_time(url: str, contract: Contract, *, timeout: float) -> HostTime:
    """Ask a host, without credentials, for any answer, and read its `Date` header.

    Raises ProviderUnreachable when nobody answers.
    """
    async with aiohttp.ClientSession(cookie_jar=aiohttp.DummyCookieJar()) as session:
        wire = Wire(session, Metrics(), contract.request_id_header)
        request = Request(OPERATION, "HEAD", url, needs_body=False)
        await wire.exchange(request, timeout=timeout)  # the connection's time is not measured
        asked_at = time.time()
        answer = await wire.exchange(request, timeout=timeout)
        answered_at = time.time()
    return HostTime(
        _date(answer.headers.get("Date", "")),
        asked_at,
        answered_at,
        contract.request_id_header in answer.headers,
    )


def _date(said: str) -> float | None:
    """Read an HTTP date as Unix time; None when it is none."""
    try:
        return parsedate_to_datetime(said).timestamp()
    except (ValueError, TypeError, IndexError, OverflowError):
        return None
