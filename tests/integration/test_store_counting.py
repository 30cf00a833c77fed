"""The gauges that SQL knows: what is open is counted each time, cases the more seldom the more."""

from __future__ import annotations

import pytest

from service.domain.entities import Read
from service.store import counting, events
from service.store.counting import Counter
from service.store.database import Database
from tests.integration.store_records import NOON, case, event, save_case


def test_cases_are_counted_seldom(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    """A count that took a moment is kept for a hundred such moments; dead letters are of now."""
    counter = Counter(database)
    database.run(lambda tx: save_case(tx, case("1"), Read(1, NOON)))
    monkeypatch.setattr(counting, "SELDOM", 1e9)
    assert sum(counter.count().cases.values()) == 1
    database.run(lambda tx: save_case(tx, case("2"), Read(1, NOON)))
    with database.begin() as tx:
        events.store(tx, [event("one")])
        events.postpone(tx, [row.seq for row in events.listed(tx)], "no", counts=True, dead=True)
    later = counter.count()
    assert (sum(later.cases.values()), later.dead_events) == (1, 1)
    assert sum(Counter(database).count().cases.values()) == 2
