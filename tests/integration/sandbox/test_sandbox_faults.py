"""Case operations and faults of the imitated Amili do what they say."""

from __future__ import annotations

from typing import Any

import httpx2
import pytest

from service.sandbox.harness import SandboxServer
from tests.integration.sandbox.played import ORG, Caller, Clock


class TestSteps:
    def test_pausing_twice_is_a_conflict_and_both_are_recorded(
        self, sandbox: SandboxServer, caller: Caller
    ) -> None:
        """A second pause answers 409; the record shows both calls, one with an effect."""
        case = sandbox.control.create_case()
        reason = {"reason": "dispute"}
        first = caller.post(f"/cases/{case['caseId']}/pause", reason, key="one")
        assert (first.status_code, first.content) == (202, b"")
        assert caller.pause(case) == 409
        assert caller.resume(case) == 202
        assert caller.resume(case) == 409
        calls = sandbox.control.calls("PauseCase", case["caseId"])
        assert [(c["status"], c["effect"]) for c in calls] == [(202, "paused"), (409, "none")]
        assert (calls[0]["idempotencyKey"], calls[0]["body"]) == ("one", reason)

    def test_an_effect_may_come_later_and_conflicts_are_judged_by_it(
        self, sandbox: SandboxServer, caller: Caller, clock: Clock
    ) -> None:
        """A promised pause is not yet seen, but a second one conflicts and a resume follows it."""
        case = sandbox.control.create_case()
        sandbox.control.set_behaviour(effect_delay_seconds=5)
        assert (caller.pause(case), caller.pause(case)) == (202, 409)
        assert caller.status(case) == "OPEN"
        sandbox.control.set_behaviour(effect_delay_seconds=0)
        assert caller.resume(case) == 202
        assert caller.status(case) == "OPEN"
        clock.now += 5
        assert caller.status(case) == "OPEN"
        history = sandbox.control.get_case(case["caseId"])["history"]
        assert [version["status"] for version in history][-2:] == ["PAUSED", "OPEN"]

    def test_somebody_else_can_pause(self, sandbox: SandboxServer, caller: Caller) -> None:
        """A pause by hand is no call of ours, yet our pause then conflicts."""
        case = sandbox.control.create_case()
        sandbox.control.pause_by_hand(case["caseId"])
        assert caller.pause(case) == 409
        sandbox.control.resume_by_hand(case["caseId"])
        assert caller.pause(case) == 202

    def test_the_list_is_accepted_once_and_withdrawing_closes(
        self, sandbox: SandboxServer, caller: Caller
    ) -> None:
        """Accepting needs the manual list; a withdrawn case takes no further step."""
        case = sandbox.control.create_case(subStatus="DEBT_COLLECTION_LIST_MANUAL")
        path = f"/cases/{case['caseId']}"
        assert caller.post(f"{path}/debt-collection-list/accept").status_code == 202
        assert caller.post(f"{path}/debt-collection-list/reject").status_code == 409
        assert caller.post(f"{path}/withdraw").status_code == 202
        assert caller.pause(case) == 422

    def test_an_unknown_path_is_recorded(self, sandbox: SandboxServer, caller: Caller) -> None:
        """A call that no operation takes answers 404 and stands in the record."""
        assert caller.client.post(f"{ORG}/cases/x/pauze").status_code == 404
        assert sandbox.control.calls("Unknown")[0]["path"].endswith("/cases/x/pauze")


class TestFaults:
    def test_a_status_strikes_as_often_as_ordered(
        self, sandbox: SandboxServer, caller: Caller
    ) -> None:
        """A fault of two times answers its status twice, without effect, then no more."""
        case = sandbox.control.create_case()
        sandbox.control.add_fault("PauseCase", status=429, retry_after=7, times=2)
        answer = caller.post(f"/cases/{case['caseId']}/pause")
        assert (answer.status_code, answer.headers["Retry-After"]) == (429, "7")
        assert (caller.pause(case), caller.pause(case)) == (429, 202)
        effects = [call["effect"] for call in sandbox.control.calls("PauseCase")]
        assert effects == ["none", "none", "paused"]

    @pytest.mark.parametrize(
        ("after_effect", "status", "effect"), [(False, "OPEN", "none"), (True, "PAUSED", "paused")]
    )
    def test_a_cut_connection_has_an_effect_or_none(
        self, sandbox: SandboxServer, caller: Caller, after_effect: bool, status: str, effect: str
    ) -> None:
        """The caller sees no answer in both cases; only the record tells them apart."""
        case = sandbox.control.create_case()
        sandbox.control.add_fault("PauseCase", cut=True, after_effect=after_effect)
        with pytest.raises(httpx2.TransportError):
            caller.pause(case)
        [call] = sandbox.control.calls("PauseCase")
        assert (call["status"], call["effect"]) == (None, effect)
        assert caller.status(case) == status

    def test_an_error_after_the_effect(self, sandbox: SandboxServer, caller: Caller) -> None:
        """A 502 can hide a pause that took place, and its body is not JSON."""
        case = sandbox.control.create_case()
        sandbox.control.add_fault(status=502, after_effect=True, target=case["caseId"])
        answer = caller.post(f"/cases/{case['caseId']}/pause")
        assert (answer.status_code, answer.text[:6]) == (502, "<html>")
        assert caller.status(case) == "PAUSED"

    def test_a_rate_strikes_some_calls_and_the_same_ones_for_a_seed(
        self, sandbox: SandboxServer, caller: Caller
    ) -> None:
        """Rate faults follow the seed, so that a run can be repeated."""
        rows = []
        for _ in range(2):
            sandbox.control.reset()
            sandbox.control.add_fault("GetCasesByOrganization", status=500, rate=0.5)
            rows.append([caller.client.get(f"{ORG}/cases").status_code for _ in range(20)])
        assert rows[0] == rows[1]
        assert set(rows[0]) == {200, 500}

    @pytest.mark.parametrize(
        "members", [{"operation": "Pause"}, {"operation": "PauseCase"}, {"status": 200}]
    )
    def test_a_fault_that_cannot_strike_is_refused(
        self, sandbox: SandboxServer, members: dict[str, Any]
    ) -> None:
        """An unknown operation, a fault without harm and a success are no faults."""
        answer = httpx2.post(f"{sandbox.control_url}/faults", json=members)
        assert answer.status_code == 400
