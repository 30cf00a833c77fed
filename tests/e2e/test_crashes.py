"""Processes die, freeze or are asked to go in the middle of their work: nothing lost or doubled."""

from __future__ import annotations

import random
import signal
import time
from collections import Counter

import aiohttp
import psutil
import pytest

from service.sandbox.harness import SandboxServer
from tests.e2e.conftest import RaiseHouse, on
from tests.e2e.house import House, Part, Webhook, batch_completed, in_background

#: Short leases, so that what the dead held is soon free.
QUICK = {"lease_seconds": "3", "lease_renew_seconds": "1", "read_lag_seconds": "1"}


def failing(amili: SandboxServer, count: int, events: int) -> tuple[list[Webhook], list[str]]:
    """Open cases, let a batch fail for each and change it a few times; return what is told."""
    control = amili.control
    made = [control.create_case() for _ in range(count)]
    webhooks = [Webhook.of(str(told["body"]).encode()) for told in control.deliveries("CASE")]
    for case in made:
        batch = control.register_batch(type="PAYMENT")
        item = {"invoiceNumber": case["invoices"][0]["invoiceNumber"], "errors": []}
        done = control.complete_batch(batch["batchId"], status="FAILED", failed=[item])
        webhooks.append(Webhook.of(batch_completed(done)))
    for n in range(events - len(webhooks)):
        control.update_case(made[n % count]["caseId"], description=f"Step {n}")
    told = control.deliveries("CASE_UPDATED")
    webhooks += [Webhook.of(str(each["body"]).encode()) for each in told]
    return webhooks, [case["caseId"] for case in made]


def effects(amili: SandboxServer) -> dict[str | None, list[str]]:
    """List, for each case, what our calls did to it, refused ones too."""
    found: dict[str | None, list[str]] = {}
    for call in amili.control.calls():
        if call["operation"] in ("PauseCase", "ResumeCase"):
            done = call["effect"] if call["effect"] != "none" else f"answered {call['status']}"
            found.setdefault(call["target"], []).append(done)
    return found


def end_supervisor_tree(house: House, worker: Part) -> Part:
    """Kill everything, and start another worker."""
    house.kill(worker)
    return house.start_worker()


def end_rq_parent(house: House, worker: Part) -> Part:
    """Kill the RQ worker that forks; the supervisor starts another."""
    house.rq_worker(worker, "events").kill()
    return worker


def end_horse(house: House, worker: Part) -> Part:
    """Kill only the child that does the work."""
    house.until(lambda: house.horse(worker, "events"))
    horse = house.horse(worker, "events")
    if horse is not None:
        horse.kill()
    return worker


@on("sqlite")
@pytest.mark.timeout(240)
def test_killed_in_the_middle_of_the_work(
    database_url: str, amili: SandboxServer, raise_house: RaiseHouse
) -> None:
    """Tree, RQ worker or horse killed while they work: all settled, and each case paused once."""
    house = raise_house(database_url, amili, **QUICK)
    webhooks, cases = failing(amili, 30, 400)
    house.start()
    worker = house.parts[1]
    amili.control.set_behaviour(answer_delay_seconds=0.3)
    house.deliver(webhooks[:30])
    house.until_settled(30)
    seen = len(amili.control.calls())
    with in_background(lambda: print(house.deliver(webhooks[30:], together=4))):  # noqa: T201
        for end in (end_supervisor_tree, end_rq_parent, end_horse):
            house.until(lambda seen=seen: len(amili.control.calls()) > seen)  # type: ignore[misc]
            worker = end(house, worker)
            seen = len(amili.control.calls())
    amili.control.set_behaviour(answer_delay_seconds=0.0)
    house.until_settled(len(webhooks))
    for case_id in cases:
        house.until_confirmed(case_id, "pauseCase")
    assert effects(amili) == {case_id: ["paused"] for case_id in cases}
    assert not house.events("dead")
    house.until(lambda: not house.rows("SELECT 1 FROM entities WHERE holder IS NOT NULL"))
    assert house.rows("SELECT count(*) FROM events") == [(len(webhooks),)]


@on("postgresql")
@pytest.mark.timeout(400)
def test_killed_again_and_again(
    database_url: str, amili: SandboxServer, raise_house: RaiseHouse, is_long: bool
) -> None:
    """Two workers, something of them killed every moment: all settled, each case paused once."""
    chance = random.Random(7)
    count = 120 if is_long else 40
    kills = 60 if is_long else 8
    house = raise_house(database_url, amili, **QUICK, max_attempts="50")
    webhooks, cases = failing(amili, count, 10 * count)
    house.start()
    workers = [house.parts[1], house.start_worker()]
    house.deliver(webhooks[:count])
    house.until_settled(count)
    amili.control.set_behaviour(answer_delay_seconds=0.05)
    with in_background(lambda: print(house.deliver(webhooks[count:], together=2))):  # noqa: T201
        for _ in range(kills):
            time.sleep(chance.uniform(0.1, 1.0))  # the moment of a kill is a matter of chance
            n = chance.randrange(2)
            if chance.random() < 0.25:
                workers[n] = end_supervisor_tree(house, workers[n])
                continue
            below = house.tree(workers[n])[1:]
            if below:
                victim = chance.choice(below)
                try:
                    victim.kill()
                except psutil.NoSuchProcess:
                    continue
    house.until_settled(len(webhooks), seconds=120)
    for case_id in cases:
        house.until_confirmed(case_id, "pauseCase", seconds=120)
    assert effects(amili) == {case_id: ["paused"] for case_id in cases}
    assert not house.events("dead")


@on("sqlite")
@pytest.mark.timeout(240)
def test_frozen_longer_than_its_lease(
    database_url: str, amili: SandboxServer, raise_house: RaiseHouse
) -> None:
    """A look and a call frozen past their leases are taken over; thawed, they write nothing."""
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
    other = house.start_worker()
    try:
        house.until_settled(4)
        assert house.metric("amili_leases_lost_total") == 0
    finally:
        horse.resume()
    house.until(lambda: house.metric("amili_leases_lost_total") >= 1)
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


@on("postgresql")
@pytest.mark.timeout(240)
def test_killed_between_sent_and_answered(
    database_url: str, amili: SandboxServer, raise_house: RaiseHouse
) -> None:
    """Killed while Amili answers slowly: one pause takes effect, had the call arrived or not."""
    house = raise_house(database_url, amili, **QUICK)
    webhooks, cases = failing(amili, 6, 6)
    house.start()
    worker = house.parts[1]
    house.deliver(webhooks[:6])
    house.until_settled(6)
    arrived, cut = cases[:3], cases[3:]
    for case_id in arrived:
        amili.control.add_fault("PauseCase", target=case_id, delay_seconds=5.0)
    for case_id in cut:  # nobody can tell these from the others: the connection breaks before
        amili.control.add_fault("PauseCase", target=case_id, cut=True)
    for case_id in cases:
        house.hold(case_id)
    house.until(lambda: len(amili.control.calls("PauseCase")) == len(cases))
    house.kill(worker)
    house.start_worker()
    for case_id in cases:
        house.until_confirmed(case_id, "pauseCase")
    done = effects(amili)
    assert {case_id: done[case_id] for case_id in arrived} == {each: ["paused"] for each in arrived}
    for case_id in cut:
        assert Counter(done[case_id])["paused"] == 1
        keys = {call["idempotencyKey"] for call in amili.control.calls("PauseCase", case_id)}
        assert len(keys) == 1


@on("sqlite")
@pytest.mark.timeout(180)
def test_asked_to_go_in_the_middle_of_the_work(
    database_url: str, amili: SandboxServer, raise_house: RaiseHouse
) -> None:
    """SIGTERM ends door and worker in good order: what was answered is kept, no lease stays."""
    house = raise_house(database_url, amili)
    webhooks, cases = failing(amili, 20, 600)
    house.start()
    door, worker = house.parts
    amili.control.set_behaviour(answer_delay_seconds=0.2)
    house.deliver(webhooks[:20])
    house.until_settled(20)
    said: Counter[int] = Counter()

    def post() -> None:
        for webhook in webhooks[20:]:
            try:
                said.update(house.deliver([webhook], together=1))
            except (OSError, aiohttp.ClientError):
                return  # the door is closed: nothing was promised

    with in_background(post):
        house.until(lambda: said[202] > 50)
        assert house.stop(worker) == 0
        held = house.rows("SELECT entity FROM entities WHERE holder IS NOT NULL")
        sent = house.rows("SELECT action_id FROM actions WHERE state = 'sent'")
        assert (held, sent) == ([], [])
        # uvicorn closes in good order, and then ends by the signal that asked it to.
        assert house.stop(door) in (0, -signal.SIGTERM)
    assert not house.processes()
    assert set(said) <= {200, 202}
    house.start_door()
    house.start_worker()
    house.deliver(webhooks[20:])
    house.until_settled(len(webhooks))
    for case_id in cases:
        house.until_confirmed(case_id, "pauseCase")
    assert effects(amili) == {case_id: ["paused"] for case_id in cases}


@pytest.mark.timeout(180)
def test_the_door_is_killed_and_what_it_answered_is_kept(
    sqlite_url: str, amili: SandboxServer, raise_house: RaiseHouse
) -> None:
    """Whatever the door answered with 202 before it was killed is settled by the workers."""
    house = raise_house(sqlite_url, amili)
    webhooks, _ = failing(amili, 100, 100)
    house.start()
    said: Counter[int] = Counter()

    def post() -> None:
        for start in range(0, len(webhooks), 5):
            try:
                said.update(house.deliver(webhooks[start : start + 5]))
            except (OSError, aiohttp.ClientError):
                return

    with in_background(post):
        house.until(lambda: said[202] >= 25)
        house.parts[0].popen.send_signal(signal.SIGKILL)
    house.parts.pop(0).popen.wait(10)
    house.until(lambda: len(house.rows("SELECT 1 FROM events")) >= said[202])
    house.start_door()
    house.until_settled(said[202])
