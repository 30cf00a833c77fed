"""What is counted is what was done, however many processes and forks did it."""

from __future__ import annotations

from itertools import product

import pytest

from service.embedded import free_port
from service.sandbox.harness import SandboxServer
from tests.e2e.conftest import RaiseHouse, on
from tests.e2e.house import Webhook, batch_completed, count, http_call

JOBS = 25
CYCLES = 2
SETTLED = "SELECT seq FROM events WHERE state = 'settled'"
KINDS = ("pauseCase", "resumeCase")
STATES = ("planned", "sent", "answered", "confirmed")
LONG_JOBS = 400


@on("postgresql")
@pytest.mark.timeout(400)
def test_metrics_of_many_processes_and_forks(
    database_url: str, amili: SandboxServer, raise_house: RaiseHouse, is_long: bool
) -> None:
    """After many jobs of two workers, some killed, the totals are right and the files are few."""
    house = raise_house(database_url, amili, door_processes="2", read_lag_seconds="1")
    ports = [free_port(), free_port()]
    house.start(worker=False)
    workers = [house.start_worker(metrics_port=str(port)) for port in ports]
    for port in ports:
        house.until(lambda port=port: answers(port))  # type: ignore[misc]
    case_id = amili.control.create_case()["caseId"]
    [created] = amili.control.deliveries("CASE")
    house.deliver([Webhook.of(str(created["body"]).encode())])
    house.until_settled(1)
    folder = house.data_dir / "metrics"
    files, jobs = 0, LONG_JOBS if is_long else JOBS
    for n in range(jobs):
        batch = amili.control.register_batch()
        done = amili.control.complete_batch(batch["batchId"], status="SUCCESS")
        webhook = Webhook.of(batch_completed(done))
        said = house.deliver([webhook, webhook], together=1)
        assert set(said) <= {200, 202}
        # One after the other, so that each has a bell, a fork and a count of its own.
        house.until(lambda n=n: len(house.rows(SETTLED)) == 2 + n)  # type: ignore[misc]
        if n == jobs // 2:
            files = len(list(folder.iterdir()))
    for _ in range(CYCLES):
        hold = house.hold(case_id)
        house.until_confirmed(case_id, "pauseCase")
        house.release(case_id, hold)
        house.until_confirmed(case_id, "resumeCase")
    assert 0 < len(list(folder.iterdir())) <= files + 6  # the actions' processes count late

    assert count(house.port, "amili_webhooks_total", event="BATCH_COMPLETED") == 2 * jobs
    judge_pages(amili, [house.port, *ports], jobs)
    for port in ports:
        assert http_call(port, "GET", "/livez").status == 200
        assert http_call(port, "GET", "/nothing").status == 404

    # A worker that is killed takes no count with it, and its successor adds to the same files.
    house.kill(workers[0])
    house.start_worker()
    assert settled(house.port) == 1 + jobs
    batch = amili.control.register_batch()
    done = amili.control.complete_batch(batch["batchId"], status="SUCCESS")
    house.deliver([Webhook.of(batch_completed(done))])
    house.until(lambda: settled(house.port) == 2 + jobs)
    assert not answers(ports[0])
    assert http_call(ports[1], "GET", "/livez").status == 200


def judge_pages(amili: SandboxServer, ports: list[int], jobs: int) -> None:
    """Compare every page with what was done."""
    called = amili.control.calls
    assert (len(called("PauseCase")), len(called("ResumeCase"))) == (CYCLES, CYCLES)
    for port in ports:
        assert settled(port) == 1 + jobs
        assert count(port, "amili_event_settle_seconds_count") == 1 + jobs
        asked = count(port, "amili_api_requests_total", operation="get_batch_by_id")
        assert asked == len(called("GetBatchById"))
        for kind, state in product(KINDS, STATES):
            assert count(port, "amili_actions_total", kind=kind, state=state) == CYCLES


def settled(port: int) -> float:
    """Read how many events are counted as settled."""
    return count(port, "amili_events_total", outcome="settled")


def answers(port: int) -> bool:
    """Whether somebody serves a page there."""
    try:
        return http_call(port, "GET", "/livez").status == 200
    except OSError:
        return False
