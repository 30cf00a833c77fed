"""Several sweepers: one corrects rows at a time, and all of them ring."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from service.amili.contract import Contract
from service.errors import StoreContended
from service.queue import Bells
from service.redis import connect
from service.settings import Settings
from service.store import entities, events, partitions, retention
from service.store.database import Database
from service.store.entities import Want
from service.telemetry.metrics import Metrics
from tests.integration.store_records import case_key, emptied, received
from workers.parts import Parts, opened
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


@pytest.fixture
def keeping(shared_url: str, redis_url: str, tmp_path: Path) -> Iterator[Parts]:
    """Give the parts of a worker that keeps settled events for thirty days."""
    settings = Settings(
        redis_url=redis_url, database_url=shared_url, data_dir=tmp_path, events_kept_days=30
    )
    with emptied(shared_url), opened(settings, Contract(), Metrics(), "keeping") as parts:
        yield parts


def ids(database: Database) -> set[str]:
    """Name the events that are there."""
    with database.read() as tx:
        return {row.event_id for row in events.listed(tx, limit=5000)}


def test_what_is_old_and_settled_leaves_round_by_round(
    keeping: Parts, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A few steps in each round; what is young, or not settled, is there at the end."""
    monkeypatch.setattr(retention.remove, "__defaults__", (5,))
    now = datetime.now(UTC)
    old = [received(f"old {n}", now - timedelta(days=31, seconds=n)) for n in range(50)]
    young = [received(f"young {n}", now - timedelta(days=29)) for n in range(5)]
    database = keeping.database
    database.run(lambda tx: events.store(tx, [*old, *young]))
    with database.begin() as tx:
        debts = {old[0].event_id, old[1].event_id}
        seqs = [row.seq for row in events.listed(tx, limit=100) if row.event_id not in debts]
        events.settle(tx, seqs, "applied")
    sweeper = Sweeper(keeping)
    assert sweeper.sweep()
    assert 20 < len(ids(database)) < 55
    for _ in range(10):
        assert sweeper.sweep()
    assert ids(database) == debts | {each.event_id for each in young}


def test_nothing_leaves_unasked(sweepers: list[Sweeper], shared_url: str) -> None:
    """Without the setting, events are kept for ever."""
    with emptied(shared_url) as database:
        one = received("one", datetime(2001, 1, 1, tzinfo=UTC))
        database.run(lambda tx: events.store(tx, [one]))
        with database.begin() as tx:
            events.settle(tx, [row.seq for row in events.listed(tx)], "applied")
        for _ in range(3):
            assert sweepers[0].sweep()
        assert ids(database) == {one.event_id}


def test_the_next_months_are_made(sweepers: list[Sweeper], shared_url: str) -> None:
    """The sweeper that holds the lease makes what is lacking, before anything comes in it."""
    with emptied(shared_url) as database:
        if not database.is_sqlite:
            with database.begin() as tx:
                for month in partitions.known(tx):
                    assert partitions.drop(tx, month)
                assert len(partitions.lacking(tx)) == 1 + partitions.AHEAD
        assert sweepers[0].sweep()
        with database.read() as tx:
            assert partitions.lacking(tx) == []


def test_a_step_that_fails_holds_up_no_round(
    sweepers: list[Sweeper], shared_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The history waits; holds still end, and bells are rung."""

    def refuse(tx: object) -> list[datetime]:
        raise StoreContended("somebody reads for hours")

    monkeypatch.setattr(partitions, "lacking", refuse)
    with emptied(shared_url):
        assert sweepers[0].sweep()
        assert sweepers[0].sweep()
