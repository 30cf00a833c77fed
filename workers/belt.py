"""Keeps calls under way: a new follow-up need not wait for a slow submission to end.

While anything is under way, what is planned is looked for again and again, so that the pause
that is planned during a long call leaves at once. No call is cut off in its middle, whatever
fails beside it.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Coroutine, Sequence
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
#: No slow call is put on after so long: the job comes to its end.
TAKE_SECONDS = 15.0
#: Beside what is still under way follow-ups are put on for so long: RQ ends a job after 60 s.
LAST_SECONDS = 40.0

Perform = Callable[[Parts, AmiliClient, Due], Coroutine[None, None, None]]
ON_CASES = frozenset(ActionKind) - SUBMISSIONS


@dataclass(frozen=True, slots=True)
class Lane:
    """Calls of one sort: how many at once, which are due, and how one is made."""

    width: int
    due: Callable[[Tx, int], list[Due]]
    perform: Perform
    #: A call of this sort ends within seconds.
    is_quick: bool = False


LANES = (
    Lane(16, lambda tx, limit: ledger.due(tx, ON_CASES, limit), perform, is_quick=True),
    # Few at once: each is large, and Amili works through them one after the other anyway.
    Lane(2, lambda tx, limit: ledger.due(tx, SUBMISSIONS, limit), submit),
    Lane(2, ledger.lost, look_up),
)


async def act(parts: Parts, client: AmiliClient, began: float | None = None) -> int:
    """Perform what is planned and due until nothing is left; return how many were taken up.

    `began` is when the job began (`time.monotonic()`), if it was not just now.
    """
    belt = Belt(parts, client, began=began)
    return await belt.run()


class Belt:
    """The calls under way, by action."""

    def __init__(
        self,
        parts: Parts,
        client: AmiliClient,
        lanes: Sequence[Lane] = LANES,
        began: float | None = None,
    ) -> None:
        self._parts = parts
        self._client = client
        self._all = lanes
        self._began = time.monotonic() if began is None else began
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._lanes: dict[str, Lane] = {}
        self._errors: list[BaseException] = []
        self._taken = 0

    async def run(self) -> int:
        """Run until nothing is under way and nothing is due, or the time is up."""
        while True:
            for lane, each in await self._look():
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

    async def _look(self) -> list[tuple[Lane, Due]]:
        """Look for what is due; after the first error nothing is."""
        lanes = self._served()
        if self._errors or not lanes:
            return []
        try:
            return await asyncio.to_thread(self._due, lanes)
        except Exception as exc:
            self._errors.append(exc)
            return []

    def _served(self) -> list[Lane]:
        """Say for which calls there is time: a pause need not wait for a slow call to end."""
        age = time.monotonic() - self._began
        if age < TAKE_SECONDS:
            return list(self._all)
        is_last = age >= LAST_SECONDS or not self._tasks
        return [] if is_last else [lane for lane in self._all if lane.is_quick]

    def _due(self, lanes: Sequence[Lane]) -> list[tuple[Lane, Due]]:
        """Read what there may be room for; some of it may be under way already."""
        with self._parts.database.read() as tx:
            return [(lane, each) for lane in lanes for each in lane.due(tx, 2 * lane.width)]

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
