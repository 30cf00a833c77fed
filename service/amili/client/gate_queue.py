"""Who waits for a permit in this process, by purpose; within one, first come, first served."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Iterator
from dataclasses import dataclass, field

from service.amili.client.gate_words import ORDER, Grant, Permit
from service.amili.client.purposes import Purpose
from service.errors import ProviderError


@dataclass(eq=False, slots=True)
class Waiter:
    """A call that waits for its permit, until a moment of `time.monotonic()`."""

    operation: str
    rank: int
    until: float
    future: asyncio.Future[Permit] = field(repr=False)
    #: The permit is in the hands of the call.
    took: bool = False


class Queue:
    """The waiting calls of one event loop."""

    def __init__(self) -> None:
        # Dictionaries are ordered sets here: thousands may wait, and any of them may leave.
        self._ranks: tuple[dict[Waiter, None], ...] = tuple({} for _ in ORDER)

    def join(self, operation: str, purpose: Purpose, until: float) -> Waiter:
        """Begin to wait."""
        future: asyncio.Future[Permit] = asyncio.get_running_loop().create_future()
        waiter = Waiter(operation, ORDER.index(purpose), until, future)
        self._ranks[waiter.rank][waiter] = None
        return waiter

    def leave(self, waiter: Waiter) -> Permit | None:
        """Stop waiting; return a permit that was given and that the waiter did not take.

        To be called at the end of each wait, once.
        """
        self._ranks[waiter.rank].pop(waiter, None)
        future = waiter.future
        if future.cancelled() or not future.done() or future.exception() is not None:
            future.cancel()
            return None
        return None if waiter.took else future.result()

    def wants(self) -> tuple[int, ...]:
        """Count who waits, for each purpose."""
        return tuple(len(waiting) for waiting in self._ranks)

    def first_rank(self) -> int | None:
        """Return the most urgent rank at which somebody waits."""
        return next((rank for rank, waiting in enumerate(self._ranks) if waiting), None)

    def all(self) -> Iterator[Waiter]:
        """Iterate over everybody who waits; they may be refused meanwhile."""
        for waiting in self._ranks:
            yield from tuple(waiting)

    def refuse(self, waiter: Waiter, error: ProviderError) -> None:
        """End a wait with an error, unless it ended already."""
        self._ranks[waiter.rank].pop(waiter, None)
        if not waiter.future.done():
            waiter.future.set_exception(error)

    def serve(self, grant: Grant, probe: str) -> Iterator[Permit]:
        """Hand out what was given; yield what nobody waits for any more.

        A probe goes to anybody: were it always the first, and its request the one that Amili
        fails at, then nobody would ever find out that all is well otherwise.
        """
        if probe:
            for waiting in self._ranks:
                _shuffle(waiting)
        for purpose, waiting, some in zip(ORDER, self._ranks, grant.given, strict=True):
            for _ in range(some):
                permit = Permit(purpose, grant.given_at, probe)
                if not _serve_one(waiting, permit):
                    yield permit


def _shuffle(waiting: dict[Waiter, None]) -> None:
    order = list(waiting)
    random.shuffle(order)
    waiting.clear()
    waiting.update(dict.fromkeys(order))


def _serve_one(waiting: dict[Waiter, None], permit: Permit) -> bool:
    while waiting:
        waiter = next(iter(waiting))
        del waiting[waiter]
        if not waiter.future.done():
            waiter.future.set_result(permit)
            return True
    return False
