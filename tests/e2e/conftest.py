"""Houses for the end-to-end tests, each with a Redis of its own; AMILI_E2E_LONG=1 asks for more.

amili        an imitation of Amili in this process; nothing is sent before a test says where to
raise_house  makes a `House`; whatever it started is gone at the end of the test
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Protocol

import pytest

from service.embedded import EmbeddedRedis
from service.sandbox.harness import SandboxServer
from tests.e2e.house import CLIENT_ID, CLIENT_SECRET, SECRET, Amili, House

#: Read once: each test's environment is cleaned of everything that begins with AMILI_.
IS_LONG = os.environ.get("AMILI_E2E_LONG", "") not in ("", "0")


def on(database: str) -> pytest.MarkDecorator:
    """Run a test on one database; the long form runs it on both."""
    databases = ("sqlite", "postgresql") if IS_LONG else (database,)
    return pytest.mark.parametrize("database_url", databases, indirect=True)


#: What the short form leaves out: other ways to show what is shown already.
only_long = pytest.mark.skipif(not IS_LONG, reason="the long form only: AMILI_E2E_LONG=1")


class RaiseHouse(Protocol):
    """Makes a house; nothing runs before its `start`."""

    def __call__(
        self,
        database_url: str,
        amili: Amili | None = None,
        *,
        redis_url: str | None = None,
        **settings: str,
    ) -> House:
        """Give it a Redis of its own, unless one is named."""


@pytest.fixture
def is_long() -> bool:
    """Whether the long form of a test is wanted."""
    return IS_LONG


@pytest.fixture
def amili() -> Iterator[SandboxServer]:
    """Play Amili."""
    with sandbox() as server:
        yield server


def sandbox() -> SandboxServer:
    """Make an imitation of Amili that knows the houses' credentials."""
    return SandboxServer(client_id=CLIENT_ID, client_secret=CLIENT_SECRET, webhook_secret=SECRET)


@pytest.fixture
def raise_house(tmp_path: Path) -> Iterator[RaiseHouse]:
    """Make houses, and end them one and all."""
    with ExitStack() as stack:
        made: list[House] = []

        def build(
            database_url: str,
            amili: Amili | None = None,
            *,
            redis_url: str | None = None,
            **settings: str,
        ) -> House:
            folder = tmp_path / f"house-{len(made)}"
            if redis_url is None:
                redis_url = stack.enter_context(EmbeddedRedis(folder / "redis")).url
            house = House(
                folder, redis_url=redis_url, database_url=database_url, amili=amili, more=settings
            )
            made.append(stack.enter_context(house))
            return house

        yield build
