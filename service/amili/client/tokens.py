"""The access token: fetched with client credentials, cached, shared, renewed in time [doc]."""

from __future__ import annotations

import asyncio
import hashlib
import time
from collections.abc import Callable
from typing import Any
from urllib.parse import urlencode

import redis.asyncio

from service.amili.client.refusals import refusal
from service.amili.client.shared_token import SharedToken, Token
from service.amili.client.wire import Answer, Request, Wire
from service.amili.contract import token_url
from service.amili.texts import decode
from service.errors import (
    ConfigError,
    ContractBroken,
    ProviderDenied,
    ProviderError,
    ProviderRefused,
)
from service.settings import Settings

OPERATION = "get_token"
#: A token is renewed before its end: by a tenth of its life, at most by so many seconds.
MARGIN_SECONDS = 30.0
#: Life of a token whose answer does not tell it.
DEFAULT_LIFE = 60.0
#: How long, and how often, we look whether the process whose turn it is has a token.
OTHERS_TURN_SECONDS = 2.0
LOOK_EVERY_SECONDS = 0.05
#: Refused credentials are not tried again before.
DENIED_SECONDS = 5.0


class TokenKeeper:
    """Keeps one token for one event loop; Redis, where given, shares it between processes.

    `clock` tells Unix time. Raises ConfigError when the credentials are not set.
    """

    def __init__(
        self,
        settings: Settings,
        redis: redis.asyncio.Redis | None = None,
        *,
        clock: Callable[[], float] = time.time,
    ) -> None:
        if not settings.client_id or settings.client_secret is None:
            raise ConfigError(
                "AMILI_CLIENT_ID and AMILI_CLIENT_SECRET: needed to ask Amili for a token"
            )
        self._url = settings.token_url or token_url(settings.environment)
        self._client_id = settings.client_id
        self._secret = settings.client_secret
        self._clock = clock
        self._lock = asyncio.Lock()
        self._token: Token | None = None
        self._denied: tuple[float, ProviderDenied] | None = None
        name = hashlib.sha256((self._url + self._client_id).encode()).hexdigest()
        self._shared = SharedToken(redis, f"amili:token:{name}")

    async def get(self, wire: Wire, *, timeout: float) -> str:
        """Return a token that is good for a while, fetching one when needed."""
        if (token := self._usable()) is None:
            async with self._lock:
                token = self._usable() or await self._renew(wire, timeout)
                self._token = token
        return token.text

    async def invalidate(self, text: str) -> None:
        """Forget this token, here and in Redis: Amili refused it. A newer one stays."""
        if self._token is not None and self._token.text == text:
            self._token = None
        await self._shared.forget(text)

    def _usable(self) -> Token | None:
        token = self._token
        return token if token is not None and token.usable_until > self._clock() else None

    async def _renew(self, wire: Wire, timeout: float) -> Token:
        """Take the token that another process fetched, or fetch one: one process at a time."""
        looks = int(OTHERS_TURN_SECONDS / LOOK_EVERY_SECONDS)
        for _ in range(looks):
            if (token := await self._read_shared()) is not None:
                return token
            if await self._shared.take_turn():
                try:
                    return await self._read_shared() or await self._fetch(wire, timeout)
                finally:
                    await self._shared.end_turn()
            await asyncio.sleep(LOOK_EVERY_SECONDS)
        return await self._fetch(wire, timeout)

    async def _read_shared(self) -> Token | None:
        token = await self._shared.read()
        return token if token is not None and token.usable_until > self._clock() else None

    async def _fetch(self, wire: Wire, timeout: float) -> Token:
        if self._denied is not None and time.monotonic() < self._denied[0]:
            raise self._denied[1].with_traceback(None)
        asked_at = self._clock()
        try:
            answer = await wire.exchange(self._request(), timeout=timeout)
            token = self._read(answer, asked_at)
        except ProviderError as error:
            error.may_have_happened = False  # the call that needs the token was not sent
            if isinstance(error, ProviderDenied):
                self._denied = (time.monotonic() + DENIED_SECONDS, error)
            raise
        await self._shared.write(token, now=self._clock())
        return token

    def _request(self) -> Request:
        form = {
            "grant_type": "client_credentials",
            "client_id": self._client_id,
            "client_secret": self._secret.get_secret_value(),
        }
        headers = {"Content-Type": "application/x-www-form-urlencoded"}
        return Request(OPERATION, "POST", self._url, headers, body=urlencode(form).encode())

    def _read(self, answer: Answer, asked_at: float) -> Token:
        if not answer.is_success:
            raise self._refusal(answer)
        try:
            said = decode(answer.body)
        except ValueError:
            said = None
        text = said.get("access_token") if isinstance(said, dict) else None
        if not isinstance(text, str) or not text.isascii() or not text.isprintable() or not text:
            raise ContractBroken(
                "no access_token in the answer",
                operation=OPERATION,
                status=answer.status,
                request_id=answer.request_id,
            )
        life = token_life(said, asked_at)
        return Token(text, asked_at + life - min(MARGIN_SECONDS, life / 10))

    def _refusal(self, answer: Answer) -> ProviderError:
        """Make the error: whatever a token host refuses, it refuses our credentials."""
        error = refusal(OPERATION, answer, now=self._clock())
        if isinstance(error, ProviderRefused):
            error = refusal(OPERATION, answer, now=self._clock(), kind=ProviderDenied)
        error.body = error.body.replace(self._secret.get_secret_value(), "[secret]")
        return error


def token_life(said: dict[str, Any], now: float) -> float:
    """Read for how many seconds a token is good: the shorter of `expires_in` and `expires_on`.

    An `expires_on` that is over on our clock is not believed: the clocks differ then.
    """
    lives = [_seconds(said.get("expires_in")), _seconds(said.get("expires_on")) - now]
    return min((life for life in lives if life > 0), default=DEFAULT_LIFE)


def _seconds(value: object) -> float:
    """Read a number [doc], or one written as text [assumed]; 0 when there is none."""
    try:
        return float(str(value))
    except ValueError:
        return 0.0
