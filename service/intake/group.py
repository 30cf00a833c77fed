"""Group commit: while one write is under way, the next deliveries gather.

Under load one fsync serves many answers; a lone sender waits for nothing but its own.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Sequence

from service.domain.deliveries import Delivery
from service.errors import IntakeError, NothingDurable
from service.intake.running import RunningLoop

Write = Callable[[Sequence[Delivery]], Awaitable[Sequence[str]]]
Group = list[tuple[Delivery, asyncio.Future[str]]]

MOST_WAITING = 4_000
MOST_WAITING_BYTES = 64 * 1024 * 1024
GROUP = 128
GROUP_BYTES = 8 * 1024 * 1024


class GroupCommit:
    """Collects deliveries and writes them group by group, in order."""

    def __init__(self, write: Write) -> None:
        self._write = write
        self._waiting: deque[tuple[Delivery, asyncio.Future[str]]] = deque()
        self._bytes = 0
        self._task: asyncio.Task[None] | None = None
        self._loop = RunningLoop()

    async def put(self, delivery: Delivery) -> str:
        """Return the former state of the delivery's body, once it is written.

        Raises NothingDurable when it is not, or when too much waits already.
        """
        size = len(delivery.body)
        if len(self._waiting) >= MOST_WAITING or self._bytes + size > MOST_WAITING_BYTES:
            raise NothingDurable
        loop = self._loop.get()
        future: asyncio.Future[str] = loop.create_future()
        self._waiting.append((delivery, future))
        self._bytes += size
        if self._task is None or self._task.done():
            self._task = loop.create_task(self._run())
        return await future

    async def _run(self) -> None:
        while self._waiting:
            # What the server has received meanwhile comes along: one turn of the event loop
            # reads it, and the next one brings it here.
            await asyncio.sleep(0)
            await asyncio.sleep(0)
            if group := self._next_group():
                await self._write_group(group)

    async def _write_group(self, group: Group) -> None:
        try:
            states = await self._write([delivery for delivery, _ in group])
            told = list(zip(group, states, strict=True))
        except IntakeError as exc:
            self._fail(group, exc)
        except BaseException as exc:
            # A sender that waits must be answered, whatever went wrong here.
            self._fail(group, NothingDurable())
            if not isinstance(exc, Exception):
                self._fail(list(self._waiting), NothingDurable())
                raise
        else:
            for (_, future), state in told:
                if not future.done():
                    future.set_result(state)

    def _next_group(self) -> Group:
        group: Group = []
        size = 0
        while self._waiting and len(group) < GROUP and size < GROUP_BYTES:
            delivery, future = self._waiting.popleft()
            size += len(delivery.body)
            if not future.cancelled():  # its sender hung up: it will come again
                group.append((delivery, future))
        self._bytes -= size
        return group

    @staticmethod
    def _fail(group: Group, exc: Exception) -> None:
        for _, future in group:
            if not future.done():
                future.set_exception(exc)
