"""The running event loop, remembered.

Python before 3.12 asks the kernel for the process id each time it is asked for the loop. Where
such calls are slow (virtual machines, sandboxes) that costs the door as much as a signature.
"""

from __future__ import annotations

import asyncio


class RunningLoop:
    """Gives the event loop that runs the caller; for what lives in one loop at a time."""

    __slots__ = ("_loop",)

    def __init__(self) -> None:
        self._loop: asyncio.AbstractEventLoop | None = None

    def get(self) -> asyncio.AbstractEventLoop:
        """Return the running loop; raises RuntimeError when none runs."""
        loop = self._loop
        if loop is None or not loop.is_running():
            loop = self._loop = asyncio.get_running_loop()
        return loop
