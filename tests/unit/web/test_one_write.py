"""What is written in one step goes out as one piece; nothing is lost, doubled or reordered."""

from __future__ import annotations

import asyncio
from typing import Any

from hypothesis import given
from hypothesis import strategies as some

from service.web.one_write import MOST_HELD, OneWrite

#: Sizes of what is written in each step of the loop.
STEPS = some.lists(
    some.lists(some.integers(0, 2 * MOST_HELD) | some.integers(0, 300), max_size=5), max_size=5
)


class Wire:
    """Keeps the pieces that were sent."""

    def __init__(self) -> None:
        self.pieces: list[bytes] = []
        self.closed = False

    def write(self, data: bytes) -> None:
        """Send one piece."""
        assert data
        assert not self.closed
        self.pieces.append(data)

    def is_closing(self) -> bool:
        """Tell whether nothing can be sent any more."""
        return self.closed

    def close(self) -> None:
        """Send nothing more."""
        self.closed = True

    def get_extra_info(self, name: str) -> str:
        """Answer as a transport does."""
        return f"the wire's {name}"


def played(steps: list[list[int]]) -> tuple[list[bytes], Wire]:
    """Write pieces of these sizes, a list in each step; return what was written, and the wire."""
    wire = Wire()
    written: list[bytes] = []

    async def play() -> None:
        transport: Any = OneWrite(wire, asyncio.get_running_loop())  # type: ignore[arg-type]
        for step in steps:
            for size in step:
                written.append(bytes([len(written) % 256]) * size)
                transport.write(written[-1])
            await asyncio.sleep(0)

    asyncio.run(play())
    return written, wire


@given(STEPS)
def test_all_of_it_in_order(steps: list[list[int]]) -> None:
    """Whatever is written when: the same bytes arrive, in the same order."""
    written, wire = played(steps)
    assert b"".join(wire.pieces) == b"".join(written)


@given(some.lists(some.lists(some.integers(1, 300), min_size=1, max_size=5), max_size=5))
def test_one_piece_for_each_step(steps: list[list[int]]) -> None:
    """Short writes of one step leave together."""
    _, wire = played(steps)
    assert len(wire.pieces) == len(steps)


def test_closed_at_once() -> None:
    """What was written before a close still goes out; what comes after a loss is dropped."""
    wire = Wire()

    async def play() -> None:
        transport: Any = OneWrite(wire, asyncio.get_running_loop())  # type: ignore[arg-type]
        assert transport.get_extra_info("peer") == "the wire's peer"
        transport.write(b"head")
        transport.write(b"body")
        transport.close()
        transport.write(b"too late")
        await asyncio.sleep(0)

    asyncio.run(play())
    assert (wire.pieces, wire.closed) == ([b"headbody"], True)
