"""TCP links between our processes and what they rely on, that break when they are told to.

    with Proxy() as proxy:
        link = proxy.link(6379)      # clients connect to link.port
        link.cut(0.5)                # reset half of its connections
        link.delay(0.3)              # every piece waits up to so many seconds
        link.blackhole(2.0)          # nothing arrives for so long, then all are reset

What was held back by a black hole never arrives: a caller that gave up is not contradicted later.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import threading
from collections.abc import Callable
from types import TracebackType
from typing import Any

PIECE = 65536
PATIENCE_SECONDS = 10.0
#: A delayed piece waits no longer than this.
LONGEST_DELAY = 1.0


class Link:
    """One listening port and the server behind it; its methods may be called from any thread."""

    def __init__(self, to_port: int, loop: asyncio.AbstractEventLoop, chance: random.Random):
        self.port = 0
        #: How many connections were reset.
        self.resets = 0
        self._to_port = to_port
        self._loop = loop
        self._chance = chance
        self._delay = 0.0
        self._is_clear = asyncio.Event()
        self._is_clear.set()
        self._ends: dict[asyncio.Task[None], tuple[asyncio.StreamWriter, ...]] = {}
        self._server: asyncio.Server | None = None
        self._timer: asyncio.TimerHandle | None = None

    def cut(self, share: float = 1.0) -> None:
        """Reset this share of the connections."""
        self._soon(lambda: self._reset(share))

    def delay(self, seconds: float) -> None:
        """Hold each piece back for up to so long; 0 is as before."""
        self._delay = min(seconds, LONGEST_DELAY)

    def blackhole(self, seconds: float) -> None:
        """Let nothing through for so long, and reset then what was there."""
        self._soon(lambda: self._close(seconds))

    def heal(self) -> None:
        """Let everything through again."""
        self._delay = 0.0
        self._soon(self._open)

    async def listen(self) -> None:
        """Take connections; call it inside the loop."""
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]

    async def stop(self) -> None:
        """Reset everything and listen no more."""
        if self._server is not None:
            self._server.close()
        self._reset(1.0)
        for task in list(self._ends):
            task.cancel()
        await asyncio.gather(*self._ends, return_exceptions=True)

    def _soon(self, work: Callable[[], None]) -> None:
        self._loop.call_soon_threadsafe(work)

    def _close(self, seconds: float) -> None:
        self._is_clear.clear()
        if self._timer is not None:
            self._timer.cancel()
        self._timer = self._loop.call_later(seconds, self._open)

    def _open(self) -> None:
        if not self._is_clear.is_set():
            self._reset(1.0)
            self._is_clear.set()

    def _reset(self, share: float) -> None:
        for writers in list(self._ends.values()):
            if self._chance.random() < share:
                self.resets += 1
                abort(*writers)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        if task is None:
            raise RuntimeError("a connection is served by a task")
        self._ends[task] = (writer,)
        try:
            far_reader, far_writer = await asyncio.open_connection("127.0.0.1", self._to_port)
            self._ends[task] = (writer, far_writer)
            await asyncio.gather(self._carry(reader, far_writer), self._carry(far_reader, writer))
        except (OSError, asyncio.CancelledError):
            abort(*self._ends[task])
        finally:
            for each in self._ends.pop(task):
                each.close()

    async def _carry(self, source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
        while piece := await source.read(PIECE):
            if self._delay:
                await asyncio.sleep(self._chance.uniform(0, self._delay))
            await self._is_clear.wait()
            if sink.transport.is_closing():
                return
            sink.write(piece)
            await sink.drain()
        with contextlib.suppress(OSError):
            sink.close()


def abort(*writers: asyncio.StreamWriter) -> None:
    """Reset connections: what they still hold is lost."""
    for writer in writers:
        writer.transport.abort()


class Proxy:
    """The links and the thread that serves them; a context manager."""

    def __init__(self, seed: int = 1) -> None:
        self._chance = random.Random(seed)
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run, name="proxy", daemon=True)
        self.links: list[Link] = []

    def __enter__(self) -> Proxy:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for link in self.links:
            self._do(link.stop())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(PATIENCE_SECONDS)
        self._loop.close()

    def link(self, to_port: int) -> Link:
        """Open a port that leads to this one."""
        link = Link(to_port, self._loop, self._chance)
        self._do(link.listen())
        self.links.append(link)
        return link

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        self._loop.run_forever()

    def _do(self, work: Any) -> None:
        asyncio.run_coroutine_threadsafe(work, self._loop).result(PATIENCE_SECONDS)
