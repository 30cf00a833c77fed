"""The slots for calls under way: the most urgent caller gets the next one."""

from __future__ import annotations

import asyncio
import heapq
import itertools
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from service.amili.client.gate_words import ORDER
from service.amili.client.purposes import Purpose


class Slots:
    """A bounded number of slots; first come, first served within one purpose."""

    def __init__(self, number: int) -> None:
        self._free = number
        self._waiting: list[tuple[int, int, asyncio.Future[None]]] = []
        self._ticket = itertools.count()

    @asynccontextmanager
    async def slot(self, purpose: Purpose) -> AsyncIterator[None]:
        """Hold a slot, waiting for it if need be."""
        if self._free > 0:
            self._free -= 1
        else:
            await self._wait(ORDER.index(purpose))
        try:
            yield
        finally:
            self._hand_on()

    async def _wait(self, rank: int) -> None:
        future = asyncio.get_running_loop().create_future()
        heapq.heappush(self._waiting, (rank, next(self._ticket), future))
        try:
            await future
        except asyncio.CancelledError:
            if future.done() and not future.cancelled():
                self._hand_on()  # the slot came together with the cancellation
            raise

    def _hand_on(self) -> None:
        """Give a slot to whoever is next."""
        while self._waiting:
            _, _, future = heapq.heappop(self._waiting)
            if not future.done():
                future.set_result(None)
                return
        self._free += 1
