"""RQ is the bell, never the truth: its keys, and all of Redis, may be lost while work waits."""

from __future__ import annotations

import pytest
import redis

from service.embedded import EmbeddedRedis
from service.redis import connect
from service.sandbox.harness import SandboxServer
from service.sandbox.world import ORGANIZATION_ID
from tests.e2e.conftest import RaiseHouse, on
from tests.e2e.house import House, Json, Webhook, batch_completed, envelope


def forget_rq(client: redis.Redis) -> int:
    """Delete every key of RQ; return how many there were."""
    keys = list(client.scan_iter("rq:*"))
    return int(client.delete(*keys)) if keys else 0


class Teller:
    """Lets Amili finish batches, and remembers what it said of them."""

    def __init__(self, amili: SandboxServer) -> None:
        self._amili = amili
        self.told: list[Webhook] = []

    def tell(self, count: int) -> list[Webhook]:
        """Finish so many batches; return the webhooks."""
        made = []
        for _ in range(count):
            batch = self._amili.control.register_batch()
            done = self._amili.control.complete_batch(batch["batchId"], status="SUCCESS")
            made.append(Webhook.of(batch_completed(done)))
        self.told += made
        return made


@on("sqlite")
@pytest.mark.timeout(180)
def test_the_bells_are_lost_while_work_waits(
    database_url: str, own_redis: EmbeddedRedis, amili: SandboxServer, raise_house: RaiseHouse
) -> None:
    """Every key of RQ is lost before and while the workers listen, and all is settled."""
    house = raise_house(database_url, amili, redis_url=own_redis.url)
    house.start(worker=False)
    client, teller = connect(own_redis.url), Teller(amili)
    house.deliver(teller.tell(50))
    assert forget_rq(client)
    worker = house.start_worker()
    house.until_settled(50)
    amili.control.set_behaviour(answer_delay_seconds=0.2)
    for _ in range(5):
        house.deliver(teller.tell(20))
        forget_rq(client)
        house.until(lambda: house.events("received") or all_settled(house, teller))
        forget_rq(client)
    house.until_settled(len(teller.told))
    assert worker.popen.poll() is None
    client.close()


@on("postgresql")
@pytest.mark.timeout(180)
def test_all_of_redis_is_lost_and_odd_events_are_kept(
    database_url: str, own_redis: EmbeddedRedis, amili: SandboxServer, raise_house: RaiseHouse
) -> None:
    """After FLUSHALL all that is in SQL is settled; odd events are kept, counted and shown."""
    house = raise_house(database_url, amili, redis_url=own_redis.url, read_lag_seconds="1")
    house.start()
    client, teller = connect(own_redis.url), Teller(amili)
    case_id = amili.control.create_case()["caseId"]
    [created] = amili.control.deliveries("CASE")
    odd = [
        envelope("CASE_DREAMT", {"caseId": "x", "organizationId": ORGANIZATION_ID}),
        envelope("BATCH_COMPLETED", {"organizationId": ORGANIZATION_ID}),
    ]
    house.deliver([Webhook.of(str(created["body"]).encode()), *map(Webhook.of, odd)])
    house.deliver(teller.tell(50))
    house.until_settled(52)
    assert house.knows(case_id)

    amili.control.add_fault("*", status=503, rate=1.0)
    house.deliver(teller.tell(30))
    hold = house.hold(case_id)
    house.until(lambda: len(house.events("retrying")) == 30)
    client.flushall()
    amili.control.clear_faults()
    house.until_settled(82)
    house.until_confirmed(case_id, "pauseCase")
    house.release(case_id, hold)
    house.until_confirmed(case_id, "resumeCase")
    # Redis remembers only what was settled since; Amili says everything once more, SQL knows it.
    assert house.deliver(teller.told) == {200: 30, 202: 50}
    house.deliver(teller.tell(20))
    house.until_settled(102)
    house.until(lambda: house.deliver(teller.told) == {200: 100})
    assert house.rows("SELECT count(*) FROM events") == [(103,)]
    effects = [call["effect"] for call in amili.control.calls(target=case_id)]
    assert [each for each in effects if each != "none"] == ["paused", "resumed"]
    judge_odd(house, [house.get(f"/events/{each['id']}") for each in odd])
    client.close()


def all_settled(house: House, teller: Teller) -> bool:
    """Whether everything told so far is settled."""
    return len(house.events("settled")) == len(teller.told)


def judge_odd(house: House, shown: list[Json]) -> None:
    """See that an unknown type is settled, a malformed known one dead, and both are counted."""
    unknown, malformed = shown
    assert (unknown["type"], unknown["state"]) == ("CASE_DREAMT", "settled")
    assert unknown["outcome"] == "unknown_type"
    assert (malformed["type"], malformed["state"]) == ("BATCH_COMPLETED", "dead")
    assert malformed["outcome"] == "malformed"
    assert "batchId" in malformed["error"]
    assert house.metric("amili_events_total", event="other", outcome="unknown_type") == 1
    assert house.metric("amili_events_total", outcome="malformed") == 1
    assert house.metric("amili_webhooks_total", event="other", outcome="accepted") == 1
    house.until(lambda: house.metric("amili_dead_events") == 1)
