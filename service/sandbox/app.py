"""The ASGI application: routes, the courier and the pulse, bound to one world."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

from starlette.applications import Starlette

from service.sandbox import api, control_routes
from service.sandbox.courier import Courier
from service.sandbox.world import World

#: How often the agenda is looked at when no call comes in.
PULSE_SECONDS = 0.02


def create_app(world: World) -> Starlette:
    """Make the application of one world."""
    courier = Courier(lambda: world.behaviour, lambda: world.outbox.target, world.clock)

    @asynccontextmanager
    async def lifespan(_app: Starlette) -> AsyncIterator[None]:
        await courier.start()
        world.outbox.carry = lambda delivery: courier.send(delivery, world.chance)
        world.on_reset = courier.drop
        pulse = asyncio.create_task(_pulse(world))
        yield
        world.outbox.carry = world.on_reset = None
        pulse.cancel()
        with suppress(asyncio.CancelledError):
            await pulse
        await courier.close()

    return Starlette(routes=[*api.routes(world), *control_routes.routes(world)], lifespan=lifespan)


async def _pulse(world: World) -> None:
    while True:
        world.tick()
        await asyncio.sleep(PULSE_SECONDS)
