"""Processes die in the middle of their work: nothing lost or doubled. Freezes: `tests/chaos`."""

from __future__ import annotations

import signal
from collections import Counter

import aiohttp
import pytest

from service.sandbox.harness import SandboxServer
from tests.e2e.conftest import RaiseHouse, on
from tests.e2e.failing import QUICK, effects, failing
from tests.e2e.house import House, Part, in_background


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
