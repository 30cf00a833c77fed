"""Redis, then PostgreSQL is away under load: 202, 200 or 503, and soon all is settled again."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from service.domain.deliveries import digest_of
from tests.chaos.conftest import IS_LONG
from tests.chaos.load import NOTHING, Load, Size
from tests.chaos.run import UNFINISHED, count, open_cases, table_of
from tests.chaos.stage import Stage, Variant, raised

AWAY_SECONDS = 30.0 if IS_LONG else 5.0
RATE = 60.0 if IS_LONG else 40.0
#: Before and after the outage the load goes on for so long.
AROUND_SECONDS = 3.0
DRAIN_SECONDS = 30.0
#: What is asserted is that it comes to an end; the figure is printed.
PATIENCE_SECONDS = 3 * DRAIN_SECONDS


def kill_redis(stage: Stage) -> None:
    """Let Redis be gone."""
    stage.redis.kill()


def kill_postgres(stage: Stage) -> None:
    """Let PostgreSQL be gone, as after a crash."""
    if stage.postgres is not None:
        stage.postgres.kill()


@pytest.mark.timeout(400)
@pytest.mark.parametrize("kill", [kill_redis, kill_postgres])
def test_a_store_is_away_under_load(
    tmp_path: Path, kill: Callable[[Stage], None], seed: int
) -> None:
    """No answer but 202, 200 and 503 with Retry-After; all that was answered 2xx is settled."""
    size = Size(
        deliveries=int(RATE * (AWAY_SECONDS + 2 * AROUND_SECONDS)),
        rate=RATE,
        cases=20,
        operators=0,
        submissions=0,
        seed=seed,
    )
    with raised(tmp_path, Variant(), seed) as stage:
        stage.begin()
        load = Load(stage.amili.control, stage.house.port, open_cases(stage, size.cases), size)
        thread = threading.Thread(target=load.run, name="load", daemon=True)
        thread.start()
        time.sleep(AROUND_SECONDS)
        kill(stage)
        time.sleep(AWAY_SECONDS)
        before = load.said.door.copy()
        stage.restart_stores()
        back = time.monotonic()
        thread.join(PATIENCE_SECONDS)
        sent = time.monotonic() - back
        stage.house.until(lambda: not count(stage, UNFINISHED), seconds=PATIENCE_SECONDS)
        stored = "SELECT digest FROM events WHERE state = 'settled'"

        def is_settled() -> bool:
            settled = {bytes(row[0]) for row in stage.house.rows(stored)}
            return load.said.acknowledged.keys() <= settled

        stage.house.until(is_settled, seconds=PATIENCE_SECONDS)
        drained = time.monotonic() - back
        print(  # noqa: T201
            table_of(
                f"{kill.__name__}: {AWAY_SECONDS:.0f} s away under {RATE:.0f} deliveries a second",
                [
                    ("acknowledged", len(load.said.acknowledged)),
                    ("answers until it was back", dict(before)),
                    ("answers in all", dict(load.said.door)),
                    ("senders done after its return, s", f"{sent:.1f}"),
                    ("drained after its return, s", f"{drained:.1f}"),
                ],
            )
        )
        rows = stage.house.rows("SELECT digest FROM events")
        assert len(rows) == len({bytes(row[0]) for row in rows})
        assert {digest_of(item.webhook.body) for item in load.items} == set(load.said.acknowledged)
    assert NOTHING not in load.said.door
    assert set(load.said.door) <= {200, 202, 503}
    assert load.said.door[202]
    assert not load.said.strange
