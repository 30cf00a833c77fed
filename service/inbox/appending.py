"""The door's side: one atomic step that dedups, appends and says whether to ring.

An answer counts only if Redis is as durable as asked for; that is checked on every new
connection, before anything is written on it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import redis
import structlog
from redis.exceptions import NoPermissionError, NoScriptError, ResponseError

from service.domain.deliveries import Delivery
from service.inbox import keys
from service.redis import DEMOTED, Quick, connect_async

Durability = Literal["unknown", "ok", "unverified", "too weak"]
log = structlog.get_logger()

#: Every path writes, so that every answer stands behind a write of its own. What is only
#: «seen» is appended again: a key without its entry must never swallow a delivery.
APPEND = """
local states, appended = {}, false
for i = 3, #KEYS do
  local at = 3 * (i - 3) + 2
  local state = redis.call('GET', KEYS[i])
  if state == 'stored' or state == 'settled' then
    redis.call('SET', KEYS[i], state, 'PX', ARGV[1])
  else
    redis.call('XADD', KEYS[1], '*', 'body', ARGV[at + 1], 'headers', ARGV[at + 2],
               'at', ARGV[at + 3])
    redis.call('SET', KEYS[i], 'seen', 'PX', ARGV[1])
    appended = true
  end
  states[i - 2] = state or 'new'
end
local ring = 0
if appended and redis.call('SET', KEYS[2], '1', 'NX', 'PX', ARGV[2]) then ring = 1 end
return {ring, states}
"""


class NotDurable(redis.ConnectionError):
    """This Redis would lose answered deliveries.

    Needed: `appendonly yes`, `appendfsync always`, `no-appendfsync-on-rewrite no`, and a
    `maxmemory-policy` that evicts no keys without an end: `noeviction`.
    """


@dataclass(frozen=True, slots=True)
class Appended:
    """What became of a group: the former state of each body, and whether to ring the bell."""

    states: tuple[str, ...]
    ring: bool


class Appender:
    """Appends groups of deliveries, without retries: the caller has a second store.

    Nor does it bound `append` in time: that is the caller's, too.
    """

    def __init__(self, url: str, *, demand: Literal["disk", "memory"]) -> None:
        self._demand = demand
        self.durability: Durability = "unknown"
        self._redis = connect_async(url, on_connect=self._check, connections=1)
        self._quick = Quick(
            connect_async(url, on_connect=self._check, connections=1, answer_seconds=None)
        )
        self._sha = ""

    async def append(self, group: Sequence[Delivery]) -> Appended:
        """Write a group. Any error means: take it that nothing was written."""
        names = [keys.STREAM, keys.BELL, *(keys.seen(each.digest) for each in group)]
        values: list[Any] = [keys.SEEN_MS, keys.BELL_MS]
        for each in group:
            at = each.received_at.isoformat()
            values += [each.body, json.dumps(dict(each.headers)), at]
        ring, states = await self._run(names, values)
        if len(states) != len(group):
            raise ResponseError("the inbox script answered for fewer deliveries than it was given")
        return Appended(tuple(bytes(state).decode() for state in states), bool(ring))

    async def probe(self) -> None:
        """Make one durable write; raises as `append` does."""
        await self._redis.set(keys.PROBE, "1", px=60_000)

    async def close(self) -> None:
        """Close the connections."""
        await self._quick.close()
        await self._redis.aclose()

    async def _run(self, names: list[str], values: list[Any]) -> Any:
        for _ in range(2):
            if not self._sha:
                self._sha = await self._redis.script_load(APPEND)
            try:
                return await self._quick.execute("EVALSHA", self._sha, len(names), *names, *values)
            except NoScriptError:  # Redis was flushed or is another one now
                self._sha = ""
        raise ResponseError("Redis forgets its scripts")

    async def _check(self, connection: Any) -> None:
        try:
            await self._demand_durable(connection)
        except BaseException:
            # redis-py closes it after errors of its own only. Left open it would be used, unproven.
            await connection.disconnect(nowait=True)
            raise

    async def _demand_durable(self, connection: Any) -> None:
        await connection.on_connect()
        config = await self._read_config(connection)
        if config.get("replicaof") or config.get("slaveof"):
            # A Sentinel that lags names a demoted master; it would refuse the first write.
            raise redis.ConnectionError(DEMOTED)
        before, self.durability = self.durability, self._judge(config)
        if self.durability == "unverified" != before:
            log.warning("redis_durability_unverified")  # once: every reconnection says the same
        if self.durability == "too weak":
            raise NotDurable(NotDurable.__doc__)

    async def _read_config(self, connection: Any) -> dict[str, str]:
        """Read the server's configuration; nothing where we may not."""
        try:
            await connection.send_command("CONFIG", "GET", "*")
            said = await connection.read_response()
        except (NoPermissionError, ResponseError):
            return {}
        if not isinstance(said, dict):
            said = dict(zip(said[::2], said[1::2], strict=True))
        return {text(name): text(value) for name, value in said.items()}

    def _judge(self, config: Mapping[str, str]) -> Durability:
        if not config:
            return "ok" if self._demand == "memory" else "unverified"
        if config.get("maxmemory-policy", "").startswith("allkeys-"):
            return "too weak"  # it drops the whole stream when it needs room
        durable = self._demand == "memory" or (
            config.get("appendonly") == "yes"
            and config.get("appendfsync") == "always"
            # With `yes` nothing is synced while the file is rewritten, `always` or not.
            and config.get("no-appendfsync-on-rewrite") != "yes"
        )
        return "ok" if durable else "too weak"


def text(value: Any) -> str:
    """Read a bulk string; a password among them may be in any encoding."""
    return value.decode(errors="replace") if isinstance(value, bytes) else str(value)
