"""Where the gate's state is: in Redis for all processes, and here while Redis is away."""

from __future__ import annotations

import asyncio
import json
import time
from dataclasses import asdict, replace
from importlib.resources import files
from typing import Any, Protocol

import redis
import redis.asyncio
import structlog

from service.amili.client.gate_rules import take_turn
from service.amili.client.gate_state import State
from service.amili.client.gate_words import Grant, Rules, Turn

log = structlog.get_logger()

#: Without Redis nobody knows how many processes call Amili: so many are assumed.
PROCESSES = 4
LEAST_RATE = 1.0
#: How long one turn may take, and for how long Redis is left alone after a failure.
TURN_SECONDS = 1.0
AWAY_SECONDS = 5.0


class Bucket(Protocol):
    """Takes turns for the gate."""

    async def take(self, turn: Turn) -> Grant:
        """Take one turn."""
        ...


class SharedBucket:
    """The state under one key of Redis, by one script; raises what redis-py raises.

    `now` fixes the clock, for tests; None is Redis's own.
    """

    def __init__(
        self,
        client: redis.asyncio.Redis,
        key: str,
        rules: Rules,
        *,
        now: float | None = None,
    ) -> None:
        self._key = key
        self._rules = asdict(rules)
        self._script = client.register_script(
            files("service.amili.client").joinpath("gate.lua").read_text(encoding="utf-8")
        )
        self.now = now

    async def take(self, turn: Turn) -> Grant:
        """Take one turn in Redis."""
        asked: dict[str, Any] = {"rules": self._rules, "turn": asdict(turn)}
        if self.now is not None:
            asked["now"] = self.now
        async with asyncio.timeout(TURN_SECONDS):
            said = await self._script(keys=[self._key], args=[json.dumps(asked)])
        grant = json.loads(said)
        given = tuple(int(some) for some in grant.pop("given"))
        return Grant(given=given, given_at=float(grant.pop("given_at")), **grant)


class LocalBucket:
    """The state of this process alone."""

    def __init__(self, rules: Rules) -> None:
        self._rules = rules
        self._state = State()

    async def take(self, turn: Turn) -> Grant:
        """Take one turn; it never fails."""
        return take_turn(self._state, self._rules, turn, time.monotonic())


class EitherBucket:
    """Redis while it answers, this process's own bucket while it does not.

    Moments on one's clock mean little on the other's: at worst, one verdict is not heard.
    """

    def __init__(self, shared: SharedBucket | None, rules: Rules) -> None:
        self._shared = shared
        share = max(LEAST_RATE, rules.limit / PROCESSES) if rules.limit else 0.0
        self._local = LocalBucket(replace(rules, limit=share))
        self._away_until = 0.0

    async def take(self, turn: Turn) -> Grant:
        """Take one turn somewhere; it never fails."""
        if self._shared is not None and time.monotonic() >= self._away_until:
            try:
                return await self._shared.take(turn)
            except (redis.RedisError, OSError, ValueError, KeyError, TypeError) as exc:
                # TimeoutError is an OSError; the last three are an answer of something else.
                self._away_until = time.monotonic() + AWAY_SECONDS
                log.warning("gate_is_local", error=type(exc).__name__, seconds=AWAY_SECONDS)
        return await self._local.take(turn)
