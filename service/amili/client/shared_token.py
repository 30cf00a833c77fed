"""One access token for all processes, kept in Redis; without Redis, each has its own.

No failure of Redis leaves this module: sharing only saves requests.
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Awaitable
from dataclasses import dataclass, field
from typing import Any, cast

import redis
import redis.asyncio

#: The turn to fetch ends by itself, should its holder die.
TURN_MILLISECONDS = 15_000
#: After a failure Redis is left alone for so long.
AWAY_SECONDS = 5.0
DELETE_IF_EQUAL = """
if redis.call('GET', KEYS[1]) == ARGV[1] then return redis.call('DEL', KEYS[1]) end
return 0
"""


@dataclass(frozen=True, slots=True)
class Token:
    """An access token and the Unix time after which it is not to be used."""

    text: str = field(repr=False)
    usable_until: float


class SharedToken:
    """The token under one key of Redis, and the turn to fetch a new one."""

    def __init__(self, client: redis.asyncio.Redis | None, key: str) -> None:
        self._redis = client
        self._key = key
        self._turn_key = f"{key}:turn"
        self._turn = ""
        self._away_until = 0.0

    async def read(self) -> Token | None:
        """Return the token that some process fetched; None when there is none."""
        return _parse(await self._call("GET", self._key))

    async def write(self, token: Token, *, now: float) -> None:
        """Let the other processes use this token until its time is over."""
        milliseconds = int((token.usable_until - now) * 1000)
        if milliseconds > 0:
            await self._call("SET", self._key, _format(token), "PX", milliseconds)

    async def forget(self, text: str) -> None:
        """Delete the token if it is still this one."""
        said = await self._call("GET", self._key)
        token = _parse(said)
        if token is not None and token.text == text:
            await self._call("EVAL", DELETE_IF_EQUAL, 1, self._key, said)

    async def take_turn(self) -> bool:
        """Claim the turn to fetch; True also when there is no Redis to ask."""
        self._turn = uuid.uuid4().hex  # not before: a fork must not share it
        taken = await self._call("SET", self._turn_key, self._turn, "NX", "PX", TURN_MILLISECONDS)
        return bool(taken) or not self._is_there

    async def end_turn(self) -> None:
        """Give the turn back, if it is still ours."""
        await self._call("EVAL", DELETE_IF_EQUAL, 1, self._turn_key, self._turn)

    @property
    def _is_there(self) -> bool:
        return self._redis is not None and time.monotonic() >= self._away_until

    async def _call(self, *command: object) -> Any:
        """Run one command; None when Redis does not answer."""
        if self._redis is None or not self._is_there:
            return None
        try:
            command_result = self._redis.execute_command(*command)  # type: ignore[no-untyped-call]
            return await cast(Awaitable[Any], command_result)
        except (redis.RedisError, OSError):
            self._away_until = time.monotonic() + AWAY_SECONDS
            return None


def _format(token: Token) -> str:
    return f"{token.usable_until!r} {token.text}"


def _parse(said: Any) -> Token | None:
    text = said.decode("ascii", "replace") if isinstance(said, bytes) else said
    if not isinstance(text, str):
        return None
    until, _, token = text.partition(" ")
    try:
        return Token(token, float(until)) if token else None
    except ValueError:
        return None
