"""Asked to go, or frozen past a lease: what is held is ended or handed on, and nothing redone."""

from __future__ import annotations

import signal
import time
from collections import Counter
from typing import Any

import aiohttp
import pytest

from service.embedded import EmbeddedRedis
from service.sandbox.harness import SandboxServer
from tests.e2e.conftest import RaiseHouse, on
from tests.e2e.failing import QUICK, effects, failing
from tests.e2e.house import House, Webhook, batch_completed, in_background

#: The supervisor kills what takes longer; deploy/kubernetes waits still longer.
GRACE_SECONDS = 60.0
HELD = "SELECT entity FROM entities WHERE holder IS NOT NULL"
SENT = "SELECT action_id FROM actions WHERE state = 'sent'"


def finished(amili: SandboxServer, count: int) -> tuple[list[Webhook], list[str]]:
    """Let batches finish; return what is told, and their ids."""
    made = [amili.control.register_batch() for _ in range(count)]
    done = [amili.control.complete_batch(each["batchId"], status="SUCCESS") for each in made]
    return [Webhook.of(batch_completed(each)) for each in done], [e["batchId"] for e in done]


@on("sqlite")
@pytest.mark.timeout(240)
def test_asked_to_go_in_the_middle_of_the_work(
    database_url: str, amili: SandboxServer, raise_house: RaiseHouse
) -> None:
    """After SIGTERM a worker ends in time and leaves no lease; each batch is read just once."""
    house = raise_house(database_url, amili)
    webhooks, cases = failing(amili, 10, 30)
    batches, names = finished(amili, 200)
    house.start()
    door, worker = house.parts
    house.deliver(webhooks[:10])
    house.until_settled(10)
    amili.control.set_behaviour(answer_delay_seconds=0.3)
    said: Counter[int] = Counter()

    def post() -> None:
        for webhook in [*webhooks[10:], *batches]:
            try:
                said.update(house.deliver([webhook], together=1))
            except (OSError, aiohttp.ClientError):
                return  # the door is closed: nothing was promised

    with in_background(post):
        house.until(lambda: len(amili.control.calls("GetBatchById")) > 10)
        began = time.monotonic()
        assert house.stop(worker) == 0
        took = time.monotonic() - began
        print(f"\nthe worker ended {took:.1f} s after SIGTERM")  # noqa: T201
        assert took < GRACE_SECONDS
        assert (house.rows(HELD), house.rows(SENT)) == ([], [])
        seen = len(amili.control.calls())
        # uvicorn closes in good order, and then ends by the signal that asked it to.
        assert house.stop(door) in (0, -signal.SIGTERM)
    assert not house.processes()
    assert len(amili.control.calls()) == seen
    assert set(said) <= {200, 202}
    amili.control.set_behaviour(answer_delay_seconds=0.0)
    house.start_door()
    house.start_worker()
    house.deliver([*webhooks[10:], *batches])
    house.until_settled(len(webhooks) + len(batches))
    for case_id in cases:
        house.until_confirmed(case_id, "pauseCase")
    assert effects(amili) == {case_id: ["paused"] for case_id in cases}
    read = Counter(call["target"] for call in amili.control.calls("GetBatchById"))
    assert {name: read[name] for name in names} == dict.fromkeys(names, 1)


@on("sqlite")
@pytest.mark.timeout(240)
def test_redis_goes_away_in_the_middle_of_a_job(
    database_url: str, own_redis: EmbeddedRedis, amili: SandboxServer, raise_house: RaiseHouse
) -> None:
    """The job ends, the same processes go on, and no stack trace is printed."""
    house = raise_house(database_url, amili, redis_url=own_redis.url)
    webhooks, _ = finished(amili, 40)
    house.start()
    worker = house.parts[1]
    parents = [house.rq_worker(worker, queue).pid for queue in ("events", "actions")]
    house.deliver(webhooks[:1])
    house.until_settled(1)
    amili.control.set_behaviour(answer_delay_seconds=1.0)
    house.deliver(webhooks[1:20])
    house.until(lambda: len(amili.control.calls("GetBatchById")) > 1)
    own_redis.kill()
    settled = "SELECT count(*) FROM events WHERE state = 'settled'"
    house.until(lambda: house.rows(settled) == [(20,)])
    house.until(lambda: house.horse(worker, "events") is None)
    late = house.start_worker(
        "--only", "events"
    )  # one that starts while Redis is away waits for it
    house.until(lambda: house.rq_worker(late, "events"))
    own_redis.start()
    house.deliver(webhooks[20:])
    house.until_settled(40)
    assert [house.rq_worker(worker, queue).pid for queue in ("events", "actions")] == parents

    own_redis.kill()  # who is asked to go meanwhile goes
    assert (house.stop(late), house.stop(worker)) == (0, 0)
    told = (house.data_dir / "worker.log").read_text()
    assert '"redis_away"' in told
    assert "Traceback" not in told
    assert '"worker_ended"' not in told


def lease_of(house: House, case_id: str) -> tuple[Any, ...]:
    """Read (holder, fence, number of the read whose result stands) of a case."""
    [row] = house.rows(
        "SELECT e.holder, e.fence, c.fetch_number FROM entities e"  # noqa: S608 - our own id
        f" JOIN cases c ON e.entity = 'case:' || c.case_id WHERE c.case_id = '{case_id}'"
    )
    return row


@on("sqlite")
@pytest.mark.timeout(240)
def test_frozen_longer_than_its_lease(
    database_url: str, amili: SandboxServer, raise_house: RaiseHouse
) -> None:
    """Another takes over with a higher fencing number; the first, thawed, writes nothing."""
    house = raise_house(database_url, amili, **QUICK)
    webhooks, [case_id, *_] = failing(amili, 3, 6)
    house.start()
    worker = house.parts[1]
    house.deliver(webhooks[:3])
    house.until_settled(3)

    # A look: its answer waits in the frozen process while another one reads and applies.
    amili.control.set_behaviour(answer_delay_seconds=1.5)
    seen = len(amili.control.calls())
    amili.control.update_case(case_id, description="news")
    news = Webhook.of(str(amili.control.deliveries("CASE_UPDATED")[-1]["body"]).encode())
    house.deliver([news])
    house.until(lambda: len(amili.control.calls()) > seen)
    horse = house.until(lambda: house.horse(worker, "events"))
    horse.suspend()
    holder, fence, fetched = lease_of(house, case_id)
    assert f":{horse.pid}:" in holder
    other = house.start_worker("--only", "events")
    try:
        house.until_settled(4)
        assert house.metric("amili_leases_lost_total") == 0
        after = lease_of(house, case_id)
        assert after[1] > fence
        assert after[2] > fetched
    finally:
        horse.resume()
    house.until(lambda: house.metric("amili_leases_lost_total") >= 1)
    assert lease_of(house, case_id) == after
    assert house.rows("SELECT count(*) FROM events WHERE state = 'settled'") == [(4,)]
    assert house.metric("amili_events_total", outcome="settled") == 4
    house.stop(other)
    amili.control.set_behaviour(answer_delay_seconds=0.0)

    # A call: it had its effect; the frozen process hears so when reads have told it long ago.
    amili.control.add_fault("PauseCase", delay_seconds=1.5, rate=1.0)
    house.hold(case_id)
    house.until(lambda: amili.control.calls("PauseCase", case_id))
    horse = house.until(lambda: house.horse(worker, "actions"))
    horse.suspend()
    lost = house.metric("amili_leases_lost_total")
    try:
        house.until_confirmed(case_id, "pauseCase")
    finally:
        horse.resume()
    house.until(lambda: house.metric("amili_leases_lost_total") > lost)
    assert effects(amili) == {case_id: ["paused"]}
    assert [a["state"] for a in house.actions(case_id)] == ["confirmed"]
