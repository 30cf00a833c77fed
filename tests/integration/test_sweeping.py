"""Several sweepers: one corrects rows at a time, and all of them ring."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from service.amili.contract import Contract
from service.queue import Bells
from service.redis import connect
from service.settings import Settings
from service.store import entities
from service.store.entities import Want
from service.telemetry.metrics import Metrics
from tests.integration.store_records import case_key, emptied
from workers.parts import opened
from workers.sweeping import Sweeper


@pytest.fixture
def sweepers(shared_url: str, redis_url: str, tmp_path: Path) -> Iterator[list[Sweeper]]:
    """Give two sweepers of the same stores."""
    settings = Settings(redis_url=redis_url, database_url=shared_url, data_dir=tmp_path)
    with ExitStack() as stack:
        stack.enter_context(emptied(shared_url))
        yield [
            Sweeper(stack.enter_context(opened(settings, Contract(), Metrics(), name)))
            for name in ("one", "two")
        ]


def test_who_lacks_the_lease_rings_all_the_same(
    sweepers: list[Sweeper], shared_url: str, redis_url: str
) -> None:
    """The first may be dead before its lease ends; the second finds the work that waits."""
    first, second = sweepers
    with emptied(shared_url) as database:
        assert first.sweep()
        database.run(lambda tx: entities.want(tx, [Want(case_key())]))
        assert not second.sweep()
    client = connect(redis_url)
    assert not Bells(client).ring("events")  # somebody has rung
    assert Bells(client).ring("actions")
    client.close()


def test_a_lease_that_is_given_back_is_taken_at_once(sweepers: list[Sweeper]) -> None:
    """One that ends in good order is followed by the next in its next round."""
    first, second = sweepers
    assert (first.sweep(), second.sweep()) == (True, False)
    first.let_go()
    assert (second.sweep(), first.sweep()) == (True, False)
