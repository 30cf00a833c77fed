"""The bound on refusals: by source and minute, with bounded memory."""

from __future__ import annotations

import pytest

from service.intake import limiting
from service.intake.limiting import RefusalLimit


class Clock:
    """A clock that a test moves."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        """Tell the time."""
        return self.now


def test_by_source_and_minute() -> None:
    """Each source has its own count, which starts again after a minute."""
    clock = Clock()
    limit = RefusalLimit(2, clock)
    assert [limit.exceeded("a") for _ in range(3)] == [False, False, True]
    assert not limit.exceeded("b")
    clock.now = 59.9
    assert limit.exceeded("a")
    clock.now = 60.0
    assert [limit.exceeded("a") for _ in range(3)] == [False, False, True]


def test_memory_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """A flood from many sources makes us forget the one that was quiet for longest, no other."""
    monkeypatch.setattr(limiting, "MOST_SOURCES", 3)
    limit = RefusalLimit(1, Clock())
    for source in ("a", "b", "c"):
        limit.exceeded(source)
    assert limit.exceeded("a")
    limit.exceeded("d")
    assert limit.exceeded("a")
    assert not limit.exceeded("b")
