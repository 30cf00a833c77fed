"""Fixtures of the tests that need a store: one migrated database of each kind for a module."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from service.store.database import Database
from tests.integration.store_records import Clock, emptied, shared_database


@pytest.fixture
def clock() -> Clock:
    """Give the store's clock, moved by hand."""
    return Clock()


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def shared_url(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[str]:
    """Give a migrated database of each kind, for all tests of a module."""
    with shared_database(request, tmp_path_factory) as url:
        yield url


@pytest.fixture
def database(shared_url: str, clock: Clock) -> Iterator[Database]:
    """Give an empty database whose clock is ours."""
    with emptied(shared_url, clock) as opened:
        yield opened
