"""Something is away: the database, Redis, both, or Amili. Nothing is lost, nobody restarts us."""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest

from service.embedded import EmbeddedRedis
from service.sandbox.harness import SandboxServer
from tests.e2e.conftest import RaiseHouse, on, only_long
from tests.e2e.house import House, Webhook, batch_completed
from tests.servers import PostgresServer, fresh_database


def finished_batches(amili: SandboxServer, count: int) -> list[Webhook]:
    """Let Amili finish batches, and return what it says of them."""
    made = []
    for _ in range(count):
        batch = amili.control.register_batch()
        done = amili.control.complete_batch(batch["batchId"], status="SUCCESS")
        made.append(Webhook.of(batch_completed(done)))
    return made


def wait_for_return(house: House, promised: int) -> None:
    """Wait until everything that was answered 202 is settled, and nothing waits anywhere."""
    house.until(lambda: house.ask("GET", "/api/v1/events").status == 200)
    house.until_settled(promised)


@pytest.mark.timeout(240)
def test_database_away_then_redis_away_then_both(
    own_postgres: PostgresServer,
    own_redis: EmbeddedRedis,
    amili: SandboxServer,
    raise_house: RaiseHouse,
) -> None:
    """The door answers 202 without database or Redis, 503 without both; all is settled after."""
    with contextlib.ExitStack() as stack:
        url = stack.enter_context(fresh_database(own_postgres.url))
        stack.callback(own_postgres.start)  # the database is dropped at the end
        house = raise_house(url, amili, redis_url=own_redis.url)
        house.start()
        door, worker = house.parts
        said: Counter[int] = Counter()
        said += house.deliver(finished_batches(amili, 30))
        house.until_settled(30)

        for stop in (own_postgres.stop, own_postgres.kill):
            stop()
            before = said[202]
            said += house.deliver(finished_batches(amili, 60))
            assert said[202] == before + 60
            ready = house.ask("GET", "/readyz")
            assert (ready.status, ready.body["parts"]["database"]) == (200, "down")
            own_postgres.start()
            wait_for_return(house, said[202])

        own_redis.kill()
        away = house.deliver(finished_batches(amili, 60))
        assert set(away) <= {202, 503}
        assert away[202]
        assert house.ask("GET", "/readyz").status == 200
        own_redis.start()
        said += away
        said += house.deliver(finished_batches(amili, 30))
        wait_for_return(house, said[202])

        own_redis.kill()
        own_postgres.kill()
        assert set(house.deliver(finished_batches(amili, 10))) == {503}
        assert house.ask("GET", "/readyz").status == 503
        assert house.ask("GET", "/livez").status == 200
        own_redis.start()
        own_postgres.start()
        house.until(house.is_ready)
        said += house.deliver(finished_batches(amili, 30))
        wait_for_return(house, said[202])
        assert len(house.events()) == said[202]
        assert set(said) <= {202, 503}
        assert [part.popen.poll() for part in (door, worker)] == [None, None]
        assert len(house.rows("SELECT batch_id FROM batches")) == said[202]


@only_long
@pytest.mark.timeout(240)
def test_frozen_redis_and_frozen_database(
    own_postgres: PostgresServer,
    own_redis: EmbeddedRedis,
    amili: SandboxServer,
    raise_house: RaiseHouse,
) -> None:
    """A Redis or a database that hangs is as one that is away: 202 or 503, all settled after."""
    with fresh_database(own_postgres.url) as url:
        house = raise_house(url, amili, redis_url=own_redis.url)
        house.start()
        said = house.deliver(finished_batches(amili, 20))
        for server in (own_redis, own_postgres):
            server.pause()
            try:
                said += house.deliver(finished_batches(amili, 40))
            finally:
                server.resume()
            wait_for_return(house, said[202])
        assert set(said) <= {202, 503}
        assert len(house.rows("SELECT batch_id FROM batches")) >= said[202]


KINDS: dict[str, dict[str, Any]] = {
    "unavailable": {"status": 503},
    "cut": {"cut": True},
    "denied": {"status": 401},
    "busy": {"status": 429, "retry_after": 2},
    "locked": {"status": 423},
}


@on("postgresql")
@pytest.mark.timeout(240)
def test_amili_away_in_every_way(
    database_url: str, amili: SandboxServer, raise_house: RaiseHouse
) -> None:
    """503, cuts, 401, 429, 423: no attempt is counted, nothing is dead, each pause comes once."""
    house = raise_house(database_url, amili, read_lag_seconds="1", max_attempts="2")
    house.start()
    control = amili.control
    cases = {kind: control.create_case()["caseId"] for kind in KINDS}
    created = [Webhook.of(str(each["body"]).encode()) for each in control.deliveries("CASE")]
    house.deliver(created)
    house.until_settled(len(created))

    # Amili is away in all its ways at once: each way strikes batches and a case of its own.
    webhooks = []
    for kind, fault in KINDS.items():
        control.add_fault("PauseCase", target=cases[kind], rate=1.0, **fault)
        for _ in range(4):
            batch = control.register_batch()
            done = control.complete_batch(batch["batchId"], status="SUCCESS")
            control.add_fault("GetBatchById", target=batch["batchId"], rate=1.0, **fault)
            webhooks.append(Webhook.of(batch_completed(done)))
    lost = Webhook.of(batch_completed({"batchId": "gone", "organizationId": "o", "status": "x"}))
    house.deliver([lost, *webhooks])
    for case_id in cases.values():
        house.hold(case_id)
    house.until(lambda: len(house.events("retrying")) >= len(webhooks))
    house.until(lambda: all(control.calls("PauseCase", case) for case in cases.values()))
    # What Amili does not know is dead after its two attempts, whoever else waits.
    [dead] = house.until(lambda: house.events("dead"))
    assert (dead["entity"], dead["attempts"]) == ("batch:gone", 2)
    assert len(house.events("retrying")) == len(webhooks)
    others = finished_batches(amili, 10)
    house.deliver(others)
    house.until(lambda: len(house.events("settled")) == len(created) + len(others))
    assert {event["attempts"] for event in house.events("retrying")} == {0}

    control.clear_faults()
    house.until_settled(len(created) + len(others) + len(webhooks))
    for case_id in cases.values():
        house.until_confirmed(case_id, "pauseCase")
    assert [event["entity"] for event in house.events("dead")] == ["batch:gone"]
    assert {event["attempts"] for event in house.events("settled")} == {1}
    effects = Counter(
        call["target"] for call in control.calls("PauseCase") if call["effect"] == "paused"
    )
    assert effects == dict.fromkeys(cases.values(), 1)
    assert 409 not in {call["status"] for call in control.calls("PauseCase")}

    # Amili knows it after all: an operator's replay settles what was dead.
    control.register_batch(batchId="gone", organizationId="o")
    control.complete_batch("gone", status="SUCCESS")
    assert house.ask("POST", f"/api/v1/events/{dead['eventId']}/replay").status == 202
    house.until(lambda: not house.events("dead") + house.events("retrying"))


@only_long
@pytest.mark.timeout(120)
def test_token_host_away_and_everything_cut(
    sqlite_url: str, amili: SandboxServer, raise_house: RaiseHouse
) -> None:
    """Without tokens, or with every connection cut, events wait without a count and are settled."""
    house = raise_house(sqlite_url, amili)
    house.start()
    ways: list[Callable[[], object]] = [
        lambda: amili.control.add_fault("Token", status=503, rate=1.0),
        lambda: amili.control.add_fault("Token", status=401, rate=1.0),
        lambda: amili.control.add_fault("*", cut=True, rate=1.0),
    ]
    settled = 0
    for break_it in ways:
        amili.control.expire_tokens()
        break_it()
        webhooks = finished_batches(amili, 5)
        house.deliver(webhooks)
        house.until(lambda: len(house.events("retrying")) == 5)
        amili.control.clear_faults()
        settled += len(webhooks)
        house.until_settled(settled)
    assert {event["attempts"] for event in house.events()} == {1}


def test_a_schema_that_does_not_fit_tells_no_values(
    sqlite_url: str, amili: SandboxServer, raise_house: RaiseHouse
) -> None:
    """A job that the database refuses is logged without a row's values, and goes on afterwards."""
    house = raise_house(sqlite_url, amili)
    house.start(worker=False)
    house.change("ALTER TABLE events RENAME COLUMN hint TO hunt")
    house.deliver(finished_batches(amili, 3))
    house.start_worker()
    house.until(lambda: "job_failed" in house.logs())
    assert "parameters" not in house.logs(1_000_000)
    house.change("ALTER TABLE events RENAME COLUMN hunt TO hint")
    house.until_settled(3)
