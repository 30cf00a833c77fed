"""One system call, and one packet, for each answer.

uvicorn writes an answer's head and body apart, and uvloop sends each at once: twice the work in
the kernel, here and at the sender. What is written in one step of the event loop goes out
together at its end.
"""

from __future__ import annotations

import asyncio
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

#: A long answer is not gathered first.
MOST_HELD = 64 * 1024


class OneWrite:
    """A transport whose writes wait for the end of the step; all else is the transport's own."""

    __slots__ = ("_held", "_loop", "_size", "_transport")

    def __init__(self, transport: asyncio.Transport, loop: asyncio.AbstractEventLoop) -> None:
        self._transport = transport
        self._loop = loop
        self._held: list[bytes] = []
        self._size = 0

    def write(self, data: bytes) -> None:
        """Write soon."""
        if not data:
            return
        if not self._held:
            self._loop.call_soon(self.flush)
        self._held.append(data)
        self._size += len(data)
        if self._size > MOST_HELD:
            self.flush()

    def close(self) -> None:
        """Close once all is written."""
        self.flush()
        self._transport.close()

    def flush(self) -> None:
        """Write now what waits."""
        if self._held:
            data = self._held[0] if len(self._held) == 1 else b"".join(self._held)
            self._held.clear()
            self._size = 0
            if not self._transport.is_closing():
                self._transport.write(data)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)


class OneWriteProtocol(HttpToolsProtocol):
    """uvicorn's protocol, whose answers leave in one piece."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Begin to serve a connection."""
        self._gathered = OneWrite(transport, self.loop)
        super().connection_made(self._gathered)  # type: ignore[arg-type]

    def eof_received(self) -> None:
        """Send what waits: the transport closes now, but a sender that ended may still read."""
        self._gathered.flush()
