"""Redis, then PostgreSQL is away under load: 202, 200 or 503, and soon all is settled again."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from service.domain.deliveries import digest_of
from tests.chaos.conftest import IS_LONG
from tests.chaos.load import NOTHING, Load, Size
from tests.chaos.run import UNFINISHED, count, open_cases, table_of
from tests.chaos.stage import Stage, Variant, raised
from tests.e2e.house import Json

AWAY_SECONDS = 30.0 if IS_LONG else 3.0
RATE = 60.0 if IS_LONG else 30.0
#: Before and after each outage the load goes on for so long.
AROUND_SECONDS = 5.0 if IS_LONG else 1.5
#: What is promised, and what the long form holds it to; on a busy machine only that it ends.
DRAIN_SECONDS = 30.0
PATIENCE_SECONDS = 3 * DRAIN_SECONDS
SETTLED = "SELECT digest FROM events WHERE state = 'settled'"


@dataclass
class Outage:
    """What was seen of one."""

    #: Answers while the store was away, and until everybody was answered 2xx.
    meanwhile: Counter[Any] = field(default_factory=Counter)
    answers: Counter[Any] = field(default_factory=Counter)
    strange: Counter[str] = field(default_factory=Counter)
    sent_seconds: float = 0.0
    drained_seconds: float = 0.0
    acknowledged: int = 0

    def table(self, store: str) -> str:
        """Write it down."""
        return table_of(
            f"{store}: {AWAY_SECONDS:.0f} s away under {RATE:.0f} deliveries a second",
            [
                ("acknowledged", self.acknowledged),
                ("answers while it was away", dict(self.meanwhile)),
                ("answers in all", dict(self.answers)),
                ("other than 202, 200, 503 with Retry-After", dict(self.strange) or 0),
                ("senders done after its return, s", f"{self.sent_seconds:.1f}"),
                ("drained after its return, s", f"{self.drained_seconds:.1f}"),
            ],
        )


@contextmanager
def loaded(stage: Stage, cases: list[Json], seed: int) -> Iterator[Load]:
    """Keep the door busy for as long as one outage takes, and a moment before and after."""
    seconds = AWAY_SECONDS + 2 * AROUND_SECONDS
    size = Size(int(RATE * seconds), RATE, operators=0, submissions=0, seed=seed)
    load = Load(stage.amili.control, stage.house.port, cases, size)
    thread = threading.Thread(target=load.run, name="load", daemon=True)
    thread.start()
    yield load
    thread.join(PATIENCE_SECONDS)
    assert load.is_sent


def outage(stage: Stage, cases: list[Json], store: str, seed: int) -> Outage:
    """Take a store away under load, and give it back; wait until all is settled."""
    seen = Outage()
    with loaded(stage, cases, seed) as load:
        time.sleep(AROUND_SECONDS)
        before = load.said.door.copy()
        servers = {"Redis": stage.redis, "PostgreSQL": stage.postgres}
        server = servers[store]
        assert server is not None
        server.kill()  # as in a crash
        time.sleep(AWAY_SECONDS)
        seen.meanwhile = load.said.door - before
        stage.restart_stores()
        back = time.monotonic()
    seen.sent_seconds = time.monotonic() - back

    def is_settled() -> bool:
        settled = {bytes(row[0]) for row in stage.house.rows(SETTLED)}
        return load.said.acknowledged.keys() <= settled and not count(stage, UNFINISHED)

    stage.house.until(is_settled, seconds=PATIENCE_SECONDS)
    seen.drained_seconds = time.monotonic() - back
    seen.answers, seen.strange = load.said.door, load.said.strange
    seen.strange += Counter({k: n for k, n in seen.answers.items() if k not in (200, 202, 503)})
    seen.acknowledged = len(load.said.acknowledged)
    assert {digest_of(item.webhook.body) for item in load.items} == set(load.said.acknowledged)
    return seen


@pytest.mark.timeout(600)
def test_a_store_is_away_under_load(tmp_path: Path, seed: int) -> None:
    """No answer but 202, 200 and 503 with Retry-After; all that was answered 2xx is settled."""
    with raised(tmp_path, Variant(workers=2 if IS_LONG else 1), seed) as stage:
        stage.begin()
        cases = open_cases(stage, 10)
        stores = ("Redis", "PostgreSQL")
        found = {name: outage(stage, cases, name, seed + n) for n, name in enumerate(stores)}
        rows = stage.house.rows("SELECT digest FROM events")
    for store, seen in found.items():
        print(seen.table(store))  # noqa: T201
    assert len(rows) == len({bytes(row[0]) for row in rows})
    for seen in found.values():
        assert NOTHING not in seen.answers
        assert not seen.strange
        assert seen.meanwhile[202]
        assert not IS_LONG or seen.drained_seconds < DRAIN_SECONDS
