"""What a check found, and how a check is kept within its time."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Literal, TypeVar

from service.errors import AmiliEventsError
from service.redis import RedisError, explained

T = TypeVar("T")
Result = Literal["ok", "warning", "failed", "skipped"]
#: For one check; what a check asks others is bounded below it.
SECONDS = 5.0


@dataclass(frozen=True, slots=True)
class Check:
    """One result: a sentence, and what to do unless all is well."""

    name: str
    result: Result
    says: str
    do: str = ""


async def bounded(name: str, work: Awaitable[Check], do: str, seconds: float = SECONDS) -> Check:
    """Wait for a check; whatever goes wrong in it is its failure, in one sentence."""
    try:
        async with asyncio.timeout(seconds):
            return await work
    except TimeoutError:
        return Check(name, "failed", f"No answer within {seconds:.0f} s.", do)
    except AmiliEventsError as exc:
        return Check(name, "failed", sentence(str(exc)), do)
    except RedisError as exc:
        return Check(name, "failed", f"No answer: {explained(exc)}.", do)
    except OSError as exc:
        return Check(name, "failed", f"It did not answer: {type(exc).__name__}.", do)
    except Exception as exc:
        return Check(name, "failed", f"The check itself failed: {type(exc).__name__}.", do)


async def in_thread(work: Callable[[], T]) -> T:
    """Run what blocks in a thread that keeps nobody from ending."""
    loop = asyncio.get_running_loop()
    future: asyncio.Future[T] = loop.create_future()

    def tell(done: Callable[[], None]) -> None:
        def unless_given_up() -> None:
            if not future.done():
                done()

        try:
            loop.call_soon_threadsafe(unless_given_up)
        except RuntimeError:
            return  # the loop has ended: nobody waits any more

    def run() -> None:
        try:
            result = work()
        except Exception as exc:
            error = exc
            tell(lambda: future.set_exception(error))
        else:
            tell(lambda: future.set_result(result))

    threading.Thread(target=run, name="doctor", daemon=True).start()
    return await future


def skipped(names: list[str], why: str) -> list[Check]:
    """Say of several checks that they could not be made."""
    return [Check(name, "skipped", why) for name in names]


def sentence(text: str) -> str:
    """End a text like a sentence."""
    return text if text.endswith((".", "!", "?")) else f"{text}."
