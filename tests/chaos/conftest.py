"""What chaos is told from outside: AMILI_CHAOS_LONG=1, as by `make chaos`, and AMILI_CHAOS_SEED."""

from __future__ import annotations

import os

import pytest

from tests.e2e.conftest import amili, raise_house

__all__ = ["amili", "raise_house"]

#: Read once: each test's environment is cleaned of everything that begins with AMILI_.
IS_LONG = os.environ.get("AMILI_CHAOS_LONG", "") not in ("", "0")
SEED = int(os.environ.get("AMILI_CHAOS_SEED", "") or 1)


@pytest.fixture
def seed() -> int:
    """Give the seed of everything that is left to chance."""
    return SEED
