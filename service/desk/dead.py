"""Dead letters, many at once: counted, and worked on again some at a time.

A replay goes around every dedup: it makes the row in SQL wait again, whatever the door's
keys say of its body. It is a new attempt: it begins at the first try.
"""

from __future__ import annotations

import json
from collections.abc import Sequence

import structlog

from service.desk.once import named, once
from service.desk.shapes import Shape
from service.domain.deliveries import EventState, Which
from service.domain.receiving import receive
from service.queue import Bells
from service.store import dead_letters
from service.store.database import Database, Tx

log = structlog.get_logger()

#: In one transaction: SQLite lets nobody else write meanwhile.
MOST_TOGETHER = 500


class DeadLetters:
    """Counts and replays dead letters; `ours`: our organizations, empty for all."""

    def __init__(self, database: Database, bells: Bells, ours: Sequence[str] = ()) -> None:
        self._database = database
        self._bells = bells
        self._ours = ours

    def count(self, which: Which) -> tuple[int, int]:
        """Return how many are meant, and the `seq` of the newest: the end of a replay."""
        with self._database.read() as tx:
            return dead_letters.count(tx, which)

    def replay(
        self,
        which: Which,
        *,
        after: int = 0,
        until: int | None = None,
        limit: int = MOST_TOGETHER,
        key: str | None = None,
    ) -> Shape:
        """Have up to `limit` of these, the oldest first, read and worked on again.

        Returns `{"replayed", "skipped", "next"}`: what is skipped has still nothing to be done
        for, or cannot be read; `next` is the `after` of the rest, null when all were dealt
        with. The same `key` again replays nothing; for another type, error or `after` it is
        another request. `since` may be a span, which means another moment each time it is asked.
        """

        def work(tx: Tx) -> Shape:
            found, is_cut = dead_letters.take(tx, which, after=after, until=until, limit=limit)
            read = [(seq, receive(delivery, self._ours)) for seq, delivery in found]
            again = [each for each in read if each[1].state is EventState.RECEIVED]
            replayed = dead_letters.revive(tx, again) if again else 0
            following = str(found[-1][0]) if found and is_cut else None
            return {"replayed": replayed, "skipped": len(found) - replayed, "next": following}

        target = json.dumps([which.type, which.error, after])

        def run(tx: Tx) -> Shape:
            done: Shape = once(tx, named("replay-dead", target, key), lambda: work(tx))
            return done

        told = self._database.run(run)
        self._bells.try_ring("events")
        return told
