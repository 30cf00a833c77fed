"""Redis as one process sees it: each command, pipeline or script is a step that may go wrong."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Sequence
from typing import Any

import redis

from service.inbox.appending import APPEND, Appender
from service.queue import QueueName
from tests.simulation.clockwork import Process
from tests.simulation.dice import Dice
from tests.simulation.redis_model import COMMANDS, Pipeline, RedisModel


class ShakyRedis:
    """What `redis.Redis` offers to the stream and the epoch."""

    def __init__(self, model: RedisModel, process: Process, dice: Dice) -> None:
        self._model = model
        self._process = process
        self._dice = dice

    def __getattr__(self, name: str) -> Callable[..., Any]:
        if name not in COMMANDS and name != "unlink":
            raise AttributeError(name)
        command = getattr(self._model, "delete" if name == "unlink" else name)
        return lambda *given, **named: self.step(lambda: command(*given, **named))

    def pipeline(self, transaction: bool = True) -> Pipeline:
        """Begin a MULTI."""
        return Pipeline(self.step, self._model)

    def step(self, work: Callable[[], Any]) -> Any:
        """Do one thing, unless it fails, crashes or stands still."""
        fate = self._dice.fate(self._process, "redis")
        if fate == "before":
            raise redis.ConnectionError("simulated: Redis is away")
        done = work()
        self._dice.done(self._process, "redis")
        if fate == "after":
            raise redis.ConnectionError("simulated: the answer was lost")
        return done


class ShakyAsyncRedis:
    """What the door's appender uses."""

    def __init__(self, model: RedisModel, process: Process, dice: Dice) -> None:
        self._model = model
        self._process = process
        self._dice = dice

    async def script_load(self, script: str) -> str:
        """SCRIPT LOAD."""
        return "append"

    async def set(self, name: str, value: str, *, px: int) -> Any:
        """SET, as the door's probe does."""
        fate = self._dice.fate(self._process, "redis")
        if fate == "before":
            raise redis.ConnectionError("simulated: Redis is away")
        done = self._model.set(name, value, px=px)
        self._dice.done(self._process, "redis")
        if fate == "after":
            raise redis.ConnectionError("simulated: the answer was lost")
        return done

    async def execute(self, name: str, sha: str, count: int, *given: Any) -> Any:
        """EVALSHA of the door's script; the caller may give up before the effect, or after."""
        fate = self._dice.fate(self._process, "redis")
        if fate == "before":
            raise redis.ConnectionError("simulated: Redis is away")
        if self._dice.happens(self._dice.stall, "redis", self._process.clockwork.now):
            await asyncio.sleep(self._dice.chance.uniform(0.5, 4))
        done = self._model.eval(APPEND, count, *given)
        if self._dice.happens(self._dice.stall, "redis", self._process.clockwork.now):
            await asyncio.sleep(self._dice.chance.uniform(0.5, 4))
        self._dice.done(self._process, "redis")
        if fate == "after":
            raise redis.ConnectionError("simulated: the answer was lost")
        return done


class ModelAppender(Appender):
    """The door's appender on the model."""

    def __init__(self, client: ShakyAsyncRedis) -> None:
        self.durability = "ok"
        self._redis = client  # type: ignore[assignment]
        self._quick = client  # type: ignore[assignment]
        self._sha = ""


class Belfry:
    """The bells of everybody: RQ's queues, of which only their being rung matters."""

    def __init__(self) -> None:
        self.rung: dict[QueueName, bool] = {"events": False, "actions": False}
        self.listeners: dict[QueueName, list[Process]] = {"events": [], "actions": []}

    def take(self, name: QueueName) -> bool:
        """Pop the bell, if it was rung."""
        was, self.rung[name] = self.rung[name], False
        return was


class ShakyBells:
    """`service.queue.Bells` as one process sees it."""

    def __init__(self, belfry: Belfry, client: ShakyRedis) -> None:
        self._belfry = belfry
        self._client = client

    def ring(self, name: QueueName) -> bool:
        """Ring, unless a bell waits already."""
        done: bool = self._client.step(lambda: self._ring(name))
        return done

    def try_ring(self, *names: QueueName) -> None:
        """Ring at each, as far as Redis is there."""
        with contextlib.suppress(redis.RedisError):
            for name in names:
                self.ring(name)

    def _ring(self, name: QueueName) -> bool:
        if self._belfry.rung[name]:
            return False
        self._belfry.rung[name] = True
        listeners: Sequence[Process] = self._belfry.listeners[name]
        for each in listeners:
            each.wake()
        return True
