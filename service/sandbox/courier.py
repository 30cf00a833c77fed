"""Carries webhooks to the user's endpoint: at least once, in no promised order.

After anything but a 2xx it tries again with growing pauses. All of that is [assumed].
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable

import aiohttp

from service.sandbox.behaviour import Behaviour
from service.sandbox.outbox import Delivery, Target

AT_ONCE = 16
SUCCESS = range(200, 300)


class Courier:
    """One HTTP session and the deliveries under way."""

    def __init__(
        self,
        behaviour: Callable[[], Behaviour],
        target: Callable[[], Target],
        clock: Callable[[], float],
    ) -> None:
        self._behaviour = behaviour
        self._target = target
        self._clock = clock
        self._gate = asyncio.Semaphore(AT_ONCE)
        self._session: aiohttp.ClientSession | None = None
        self._under_way: set[asyncio.Task[None]] = set()

    async def start(self) -> None:
        """Open the session; call it inside the running loop."""
        self._session = aiohttp.ClientSession()

    async def close(self) -> None:
        """Leave all deliveries where they are."""
        self.drop()
        await asyncio.gather(*self._under_way, return_exceptions=True)
        if self._session is not None:
            await self._session.close()

    def drop(self) -> None:
        """Give up what is under way, without waiting."""
        for task in self._under_way:
            task.cancel()

    def send(self, delivery: Delivery, chance: random.Random) -> None:
        """Take a delivery and return at once."""
        behaviour = self._behaviour()
        wait = chance.uniform(0, behaviour.reorder_window_seconds) if behaviour.reorder else 0.0
        task = asyncio.get_running_loop().create_task(self._carry(delivery, wait))
        self._under_way.add(task)
        task.add_done_callback(self._under_way.discard)

    async def _carry(self, delivery: Delivery, wait: float) -> None:
        while len(delivery.attempts) < self._behaviour().webhook_attempts:
            if wait:
                await asyncio.sleep(wait)
            target = self._target()
            if target.url is None:
                delivery.state = "recorded"
                return
            async with self._gate:
                status, error = await self._post(delivery, target.url, target)
            seen = {"at": self._clock(), "url": target.url, "status": status, "error": error}
            delivery.attempts.append(seen)
            if status in SUCCESS:
                delivery.state = "delivered"
                return
            wait = self._behaviour().pause_before(len(delivery.attempts) + 1)
        delivery.state = "given_up"

    async def _post(
        self, delivery: Delivery, url: str, target: Target
    ) -> tuple[int | None, str | None]:
        if self._session is None:
            raise RuntimeError("start() opens the session")
        bound = aiohttp.ClientTimeout(total=self._behaviour().webhook_timeout_seconds)
        try:
            async with self._session.post(
                url,
                data=delivery.body,
                headers=delivery.headers(target),
                timeout=bound,
                allow_redirects=False,
            ) as answer:
                await answer.read()
                return answer.status, None
        except (aiohttp.ClientError, OSError, ValueError) as exc:
            return None, type(exc).__name__
