"""The drain's side: take entries, and let go of them once they are in SQL.

Entries come from four places: what this consumer was given and never finished, what a
consumer that is gone left behind, what is new, and what is old and in nobody's hands
(after a fail-over, or a group made anew). Taking one twice is harmless: SQL judges.
"""

from __future__ import annotations

import json
import time
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import redis
import structlog
from redis.exceptions import OutOfMemoryError, ResponseError

from service.domain.deliveries import Delivery, digest_of
from service.inbox import keys

log = structlog.get_logger()

#: A consumer that did not finish an entry for this long is taken for gone.
IDLE_MS = 10_000
LONGEST_HEADER = 200
#: An entry this old that nobody was given is taken by its id.
STRAY_MS = 20_000

#: «stored» never takes the place of «settled»: whoever drained may be slower than who settled.
#: A key that is gone comes back only under the epoch that its row was committed under: after a
#: restore, who worked with the lost rows must not tell the door that they are there.
MARK = """
local epoch = redis.call('GET', KEYS[1])
if ARGV[3] ~= '' and not epoch then
  redis.call('SET', KEYS[1], ARGV[3])
  epoch = ARGV[3]
end
local ours = ARGV[3] ~= '' and (epoch == ARGV[3] or epoch == ARGV[5] .. ARGV[3])
for i = 5, #KEYS do
  local state = redis.call('GET', KEYS[i])
  if (state or ours) and (ARGV[1] == 'settled' or state ~= 'settled') then
    redis.call('SET', KEYS[i], ARGV[1], 'PX', ARGV[2])
  end
end
if ours then
  redis.call('LPUSH', KEYS[2], ARGV[4])
  redis.call('LTRIM', KEYS[2], 0, ARGV[6] - 1)
  redis.call('PEXPIRE', KEYS[2], ARGV[2])
  if redis.call('SET', KEYS[4], '1', 'NX', 'PX', ARGV[7]) then
    redis.call('LPUSH', KEYS[3], ARGV[4])
    redis.call('LTRIM', KEYS[3], 0, ARGV[8] - 1)
    redis.call('PEXPIRE', KEYS[3], ARGV[2])
  end
end
"""

#: Delete a consumer only while nothing is pending with it: with it its entries would go.
FORGET = """
for _, consumer in ipairs(redis.call('XINFO', 'CONSUMERS', KEYS[1], ARGV[1])) do
  local info = {}
  for i = 1, #consumer, 2 do info[consumer[i]] = consumer[i + 1] end
  if info['pending'] == 0 and info['idle'] > tonumber(ARGV[2]) then
    redis.call('XGROUP', 'DELCONSUMER', KEYS[1], ARGV[1], info['name'])
  end
end
"""


@dataclass(frozen=True, slots=True)
class Entry:
    """One entry of the stream; `delivery` None when it is not one of the door's."""

    id: bytes
    delivery: Delivery | None


class Stream:
    """The consumer group `workers` of the inbox, seen by one consumer."""

    def __init__(self, client: redis.Redis, consumer: str) -> None:
        self._redis = client
        self._consumer = consumer
        #: Of the database, as the newest commit of this process read it; '' before.
        self.epoch = ""

    def take(self, limit: int) -> list[Entry]:
        """Return up to `limit` entries, oldest worries first."""
        for source in (self._unfinished, self._left_behind, self._new, self._stray):
            found = self._with_group(source, limit)
            if found:
                return found
        return []

    def done(self, entries: Sequence[Entry], settled: Iterable[bytes]) -> None:
        """Let go of entries that are in SQL; their keys say `stored`, or `settled`."""
        over = set(settled)
        ids = [entry.id for entry in entries]
        with self._redis.pipeline(transaction=True) as pipe:
            pipe.xack(keys.STREAM, keys.GROUP, *ids)
            pipe.xdel(keys.STREAM, *ids)
            pipe.execute()
        digests = {e.delivery.digest for e in entries if e.delivery is not None}
        self._mark(digests & over, "settled")
        self._mark(digests - over, "stored")

    def mark_settled(self, digests: Iterable[bytes]) -> None:
        """Let the door answer «duplicate» from now on."""
        self._mark(set(digests), "settled")

    def _mark(self, digests: Collection[bytes], state: str) -> None:
        """Set the door's keys. A full Redis refuses new values: what it has must still go."""
        if not digests:
            return
        names = [keys.EPOCH, keys.WITNESSES, keys.SPACED_WITNESSES, keys.SPACE]
        names += [keys.seen(digest) for digest in digests]
        said = (state, keys.SEEN_MS, self.epoch, next(iter(digests)), keys.CLEARING)
        bounds = (keys.MOST_WITNESSES, keys.SPACE_MS, keys.MOST_SPACED)
        try:
            self._redis.eval(MARK, len(names), *names, *said, *bounds)
        except OutOfMemoryError:
            log.warning("keys_not_marked", count=len(digests))  # SQL judges without them

    def silence(self) -> None:
        """Take down the bell's flag: what is appended from now on rings again."""
        self._redis.delete(keys.BELL)

    def backlog(self) -> tuple[int, float]:
        """Return the number of entries and the age of the oldest in seconds."""
        count = int(self._redis.xlen(keys.STREAM))
        oldest: Any = self._redis.xrange(keys.STREAM, count=1)
        if not oldest:
            return count, 0.0
        born = int(bytes(oldest[0][0]).split(b"-")[0]) / 1000
        return count, max(0.0, time.time() - born)

    def forget_consumers(self, idle_ms: int = 3_600_000) -> None:
        """Delete consumers that are long gone and hold nothing."""
        try:
            self._redis.eval(FORGET, 1, keys.STREAM, keys.GROUP, idle_ms)
        except ResponseError:
            return  # no stream or no group yet

    def _with_group(self, source: Any, limit: int) -> list[Entry]:
        try:
            return [entry(raw) for raw in source(limit)]
        except ResponseError as exc:
            if not str(exc).startswith("NOGROUP"):
                raise
        self._make_group()
        return [entry(raw) for raw in source(limit)]

    def _make_group(self) -> None:
        try:
            # From 0: what came while there was no group is to be read too.
            self._redis.xgroup_create(keys.STREAM, keys.GROUP, id="0", mkstream=True)
        except ResponseError as exc:
            if not str(exc).startswith("BUSYGROUP"):
                raise

    def _unfinished(self, limit: int) -> Any:
        return self._read("0", limit)

    def _new(self, limit: int) -> Any:
        return self._read(">", limit)

    def _read(self, since: str, limit: int) -> Any:
        said: Any = self._redis.xreadgroup(
            keys.GROUP, self._consumer, {keys.STREAM: since}, count=limit
        )
        if isinstance(said, dict):
            return [raw for chunks in said.values() for chunk in chunks for raw in pairs(chunk)]
        return [raw for _, found in said or () for raw in found]

    def _left_behind(self, limit: int) -> Any:
        said: Any = self._redis.xautoclaim(
            keys.STREAM, keys.GROUP, self._consumer, IDLE_MS, count=limit
        )
        return [raw for raw in said[1] if raw[1] is not None]

    def _stray(self, limit: int) -> Any:
        until = int(time.time() * 1000) - STRAY_MS
        return self._redis.xrange(keys.STREAM, max=until, count=limit)


def pairs(chunk: Any) -> list[Any]:
    """Even out the two shapes in which RESP3 answers nest."""
    return [chunk] if isinstance(chunk, tuple) else list(chunk)


def entry(raw: Any) -> Entry:
    """Read one entry."""
    entry_id, fields = raw
    if b"body" not in fields:
        return Entry(entry_id, None)
    # A body is never let go of because of what stands beside it: another version of the door
    # may have written that.
    body = bytes(fields[b"body"])
    born = int(bytes(entry_id).partition(b"-")[0]) / 1000
    return Entry(
        entry_id,
        Delivery(digest_of(body), body, headers_of(fields), received_at(fields, born)),
    )


def headers_of(fields: Any) -> dict[str, str]:
    """Read the headers that the door keeps; none where they are not of its form."""
    try:
        found = json.loads(fields[b"headers"])
        pairs_found = list(found.items())
    except (KeyError, ValueError, TypeError, AttributeError, RecursionError):
        return {}
    return {
        name: value
        for name, value in pairs_found
        if isinstance(value, str) and value.isprintable() and len(value) <= LONGEST_HEADER
    }


def received_at(fields: Any, born: float) -> datetime:
    """Read when the door took it in; else when Redis did, as the entry's id says."""
    try:
        return datetime.fromisoformat(fields[b"at"].decode()).astimezone(UTC)
    except (KeyError, ValueError, TypeError, OverflowError):
        return datetime.fromtimestamp(min(born, time.time()), UTC)
