"""Keeps calls under way: a new follow-up need not wait for a slow submission to end.

While anything is under way, what is planned is looked for again and again, so that the pause
that is planned during a long call leaves at once.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Coroutine
from dataclasses import dataclass

from service.amili.client import AmiliClient
from service.domain.actions import SUBMISSIONS, ActionKind
from service.store import ledger
from service.store.database import Tx
from service.store.ledger import Due
from workers.acting import perform
from workers.looking_up import look_up
from workers.parts import Parts
from workers.submitting import submit

#: How soon the belt looks again while something is under way.
LOOK_SECONDS = 0.2
#: Nothing new is put on after so long: the job comes to its end.
TAKE_SECONDS = 15.0

Perform = Callable[[Parts, AmiliClient, Due], Coroutine[None, None, None]]
ON_CASES = frozenset(ActionKind) - SUBMISSIONS


@dataclass(frozen=True, slots=True)
class Lane:
    """Calls of one sort: how many at once, which are due, and how one is made."""

    width: int
    due: Callable[[Tx, int], list[Due]]
    perform: Perform


LANES = (
    Lane(16, lambda tx, limit: ledger.due(tx, ON_CASES, limit), perform),
    # Few at once: each is large, and Amili works through them one after the other anyway.
    Lane(2, lambda tx, limit: ledger.due(tx, SUBMISSIONS, limit), submit),
    Lane(2, ledger.lost, look_up),
)


async def act(parts: Parts, client: AmiliClient) -> int:
    """Perform what is planned and due until nothing is left; return how many were taken up."""
    belt = Belt(parts, client)
    return await belt.run()


class Belt:
    """The calls under way, by action."""

    def __init__(self, parts: Parts, client: AmiliClient) -> None:
        self._parts = parts
        self._client = client
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._lanes: dict[str, Lane] = {}
        self._errors: list[BaseException] = []
        self._taken = 0

    async def run(self) -> int:
        """Run until nothing is under way and nothing is due, or the time is up."""
        until = time.monotonic() + TAKE_SECONDS
        while True:
            if not self._errors and time.monotonic() < until:
                for lane, each in await asyncio.to_thread(self._due):
                    self._put_on(lane, each)
            if not self._tasks:
                break
            await asyncio.wait(
                self._tasks.values(), timeout=LOOK_SECONDS, return_when=asyncio.FIRST_COMPLETED
            )
            self._take_off()
        # All of them end before an error is told: none is cut off in the middle of its call.
        if self._errors:
            raise self._errors[0]
        return self._taken

    def _due(self) -> list[tuple[Lane, Due]]:
        """Read what there may be room for; some of it may be under way already."""
        with self._parts.database.read() as tx:
            return [(lane, each) for lane in LANES for each in lane.due(tx, 2 * lane.width)]

    def _put_on(self, lane: Lane, due: Due) -> None:
        busy = sum(each is lane for each in self._lanes.values())
        if due.action_id in self._tasks or busy >= lane.width:
            return
        self._lanes[due.action_id] = lane
        call = lane.perform(self._parts, self._client, due)
        self._tasks[due.action_id] = asyncio.create_task(call)
        self._taken += 1

    def _take_off(self) -> None:
        for name in [name for name, task in self._tasks.items() if task.done()]:
            error = self._tasks.pop(name).exception()
            del self._lanes[name]
            if error is not None:
                self._errors.append(error)
