"""Commands in quick succession over one connection, past what redis-py does for each of them.

A client of redis-py borrows a connection for each command, asks whether it is alive, packs in
Python and starts a task for the write: about 0.3 ms of CPU, more than the door has for a
delivery. Here a connection is kept for a moment, and packed in C. It comes from the same pool and
goes back to it: authentication, TLS, Sentinels and the check on connecting are the pool's.
"""

from __future__ import annotations

import time
from typing import Any

import hiredis
import redis.asyncio
from redis.exceptions import ResponseError

#: So soon a connection goes back to its pool, which looks whether it is alive and still leads to
#: the master.
KEPT_SECONDS = 0.25


class Quick:
    """Executes commands over a client's pool; the caller bounds their time.

    The client is its own, made with `answer_seconds=None`: else redis-py bounds each step, too.
    """

    def __init__(self, client: redis.asyncio.Redis) -> None:
        self._client = client
        self._pool: Any = client.connection_pool
        self._kept: Any = None
        self._until = 0.0

    async def execute(self, *words: Any) -> Any:
        """Return the answer to one command, its texts as bytes; raises what redis-py raises."""
        connection = await self._take()
        is_intact = False
        try:
            packed = hiredis.pack_command(words)
            await connection.send_packed_command([packed], check_health=False)
            answer = await connection.read_response()
            is_intact = True
        except ResponseError:
            is_intact = True
            raise
        finally:
            if is_intact and self._kept is None and time.monotonic() < self._until:
                self._kept = connection
            else:
                await self._pool.release(connection)
        return answer

    async def close(self) -> None:
        """Close the connection, and the client."""
        connection, self._kept = self._kept, None
        if connection is not None:
            await self._pool.release(connection)
        await self._client.aclose()

    async def _take(self) -> Any:
        connection, self._kept = self._kept, None
        now = time.monotonic()
        if connection is not None:
            if now < self._until:
                return connection
            await self._pool.release(connection)
        self._until = now + KEPT_SECONDS
        return await self._pool.get_connection()
