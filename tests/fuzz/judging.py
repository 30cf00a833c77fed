"""Holds an answer of the door, and its stream, against what the oracle says is owed."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from service.inbox import keys
from service.redis import connect
from tests.fuzz.oracle import Owed, owed
from tests.fuzz.shapes import CANARY, Shot

TRIM_EVERY = 500


@dataclass(frozen=True)
class Said:
    """An answer."""

    status: int
    kind: str
    body: bytes


class Stream:
    """The door's stream, looked at after each answer."""

    def __init__(self, url: str) -> None:
        self._redis = connect(url)
        self._length = int(self._redis.xlen(keys.STREAM))

    def grown(self) -> tuple[int, bytes | None]:
        """Say by how many entries it grew since the last look, and give the newest body."""
        with self._redis.pipeline(transaction=False) as pipe:
            pipe.xlen(keys.STREAM)
            pipe.xrevrange(keys.STREAM, count=1)
            length, newest = pipe.execute()
        grown, self._length = length - self._length, length
        if length > TRIM_EVERY:  # nobody drains it here
            self._redis.xtrim(keys.STREAM, maxlen=0)
            self._length = 0
        return grown, newest[0][1][b"body"] if newest else None

    def close(self) -> None:
        """Close the connections."""
        self._redis.connection_pool.disconnect()


def judge(shot: Shot, said: Said, stream: Stream | None = None) -> None:
    """Raise AssertionError for an answer or an entry that is not right."""
    right = owed(shot)
    assert said.status in right.statuses, (said, sorted(right.statuses))
    if shot.method != "HEAD":
        in_form(said, right)
    if stream is not None:
        grown, newest = stream.grown()
        assert grown == (said.status == 202), (said, grown)
        assert said.status != 202 or newest == shot.body, "another body than was sent"


def in_form(said: Said, right: Owed) -> None:
    """Raise AssertionError for an answer that is not written as documented."""
    told: Any = json.loads(said.body)
    if said.status == 202:
        assert said.kind == "application/json"
        assert told == {"status": "accepted", "eventId": right.event_id}
        return
    assert said.kind == "application/problem+json"
    assert told["status"] == said.status
    assert told["type"] == "about:blank"
    assert told["title"]
    assert CANARY.encode() not in said.body
