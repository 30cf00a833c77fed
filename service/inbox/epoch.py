"""Redis' side of the store epoch: which database the door's keys speak of.

`amili:epoch` is the id that the database had when the keys were marked, or `clearing:<id>`
while the keys of another one are being deleted. `amili:witnesses` holds one body's digest of
each of the last groups that were committed, and `amili:witnesses:spaced` one of each hour;
`Stream` adds them with the keys, in one step.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import redis

from service.inbox import keys

#: Keys looked at in one step: Redis answers others in between.
STEP = 1_000

#: Only while nobody else has begun to clear for another database.
FINISH = """
if redis.call('GET', KEYS[1]) == 'clearing:' .. ARGV[1] then
  redis.call('SET', KEYS[1], ARGV[1])
  return 1
end
return 0
"""


@dataclass(frozen=True, slots=True)
class Known:
    """What Redis says; `epoch` None when it knows of no database."""

    epoch: str | None
    is_clearing: bool
    witnesses: tuple[bytes, ...]


def read(client: redis.Redis) -> Known:
    """Read everything in one round trip."""
    with client.pipeline(transaction=True) as pipe:
        pipe.get(keys.EPOCH)
        pipe.lrange(keys.WITNESSES, 0, keys.MOST_WITNESSES)
        pipe.lrange(keys.SPACED_WITNESSES, 0, keys.MOST_SPACED)
        said, newest, spaced = pipe.execute()
    text = None if said is None else bytes(said).decode("ascii", "replace")
    is_clearing = text is not None and text.startswith(keys.CLEARING)
    epoch = text.removeprefix(keys.CLEARING) if text is not None else None
    return Known(epoch, is_clearing, tuple(bytes(each) for each in (*newest, *spaced)))


def adopt(client: redis.Redis, epoch: str) -> bool:
    """Tell a Redis that knows of no database which one it is; False when it does know one."""
    return bool(client.set(keys.EPOCH, epoch, nx=True))


def clear(client: redis.Redis, epoch: str) -> Iterator[int]:
    """Delete the door's keys step by step, yielding how many went; then they speak of `epoch`.

    From the start on, marks under any other epoch are refused. Stopped in the middle, it is to
    be begun again. Safe with others that do the same.
    """
    with client.pipeline(transaction=True) as pipe:
        pipe.set(keys.EPOCH, f"{keys.CLEARING}{epoch}")
        pipe.delete(keys.WITNESSES, keys.SPACED_WITNESSES, keys.SPACE)
        pipe.execute()
    cursor = 0
    while True:
        said: Any = client.scan(cursor, match=keys.SEEN_PATTERN, count=STEP)
        cursor, found = int(said[0]), said[1]
        yield int(client.unlink(*found)) if found else 0
        if not cursor:
            break
    client.eval(FINISH, 1, keys.EPOCH, epoch)
