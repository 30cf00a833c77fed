"""What a person asks of Amili: one call each, judged by reads, never repeated unasked."""

from __future__ import annotations

from typing import Any

import pytest

from service.sandbox.harness import SandboxServer
from service.sandbox.journal import Call
from tests.e2e.conftest import RaiseHouse, on
from tests.e2e.house import House

LIST = "DEBT_COLLECTION_LIST_MANUAL"
#: Lets every call of unknown fate have ended long ago.
AGE = "UPDATE actions SET ended_at = '2020-01-01 00:00:00.000000' WHERE state = 'uncertain'"


class Stage:
    """A house whose reads lag, at an Amili with cases that the house knows."""

    def __init__(self, house: House, amili: SandboxServer) -> None:
        self.house, self.amili = house, amili
        amili.control.set_webhook(url=f"http://127.0.0.1:{house.port}/webhooks/amili")
        amili.control.set_behaviour(read_lag_seconds=1.0, effect_delay_seconds=0.5)
        house.start()

    def case(self, sub_status: str | None = None) -> str:
        """Open a case, and wait until the house has read it."""
        case_id = str(self.amili.control.create_case(subStatus=sub_status)["caseId"])
        self.house.until(lambda: self.house.knows(case_id))
        return case_id

    def ask(self, case_id: str, path: str, **body: Any) -> str:
        """Ask for something; return the id of the action."""
        answer = self.house.ask("POST", f"/api/v1/cases/{case_id}/{path}", body)
        assert answer.status == 202, answer
        return str(answer.body["actionId"])

    def until(self, action_id: str, *states: str) -> dict[str, Any]:
        """Wait until an action is in one of these states; return it."""

        def found() -> dict[str, Any] | None:
            action: dict[str, Any] = self.house.get(f"/actions/{action_id}")
            return action if action["state"] in states else None

        return self.house.until(found)

    def calls(self, operation: str, case_id: str) -> list[Call]:
        """List the calls that Amili got."""
        return self.amili.control.calls(operation, case_id)

    def outcomes(self, case_id: str) -> list[str]:
        """List what was concluded about the requests on a case."""
        return [outcome for policy, outcome in self.house.decisions(case_id) if policy == "asked"]


@on("sqlite")
@pytest.mark.timeout(240)
def test_what_people_ask_for(
    database_url: str, amili: SandboxServer, raise_house: RaiseHouse
) -> None:
    """Confirmed by a read, uncertain after a lost answer, refused in words: one call for each."""
    stage = Stage(raise_house(database_url, amili, read_lag_seconds="2"), amili)
    withdrawn, listed, unknown = stage.case(), stage.case(LIST), stage.case()
    evicted = stage.case("EVICTION_REQUEST")
    amili.control.add_fault("AcceptDebtCollectionList", cut=True, after_effect=True, target=listed)
    amili.control.add_fault("WithdrawCase", status=404, target=unknown)

    first = stage.ask(withdrawn, "withdraw", reason="bankrupt", confirm=True)
    lost = stage.ask(listed, "debt-collection-list/accept", reason="checked")
    denied = stage.ask(unknown, "withdraw", reason="bankrupt", confirm=True)
    answer = stage.ask(evicted, "eviction-request/reject")
    held = stage.house.hold(evicted)

    refused = stage.until(denied, "refused")
    assert "withdraw_case" in refused["error"]
    assert "404" in refused["error"]
    assert stage.until(lost, "uncertain")["attempts"] == 1
    for action_id in (first, answer):
        assert stage.until(action_id, "confirmed")["attempts"] == 1
    stage.house.until_confirmed(evicted, "pauseCase")
    stage.house.release(evicted, held)
    stage.house.until_confirmed(evicted, "resumeCase")

    (call,) = stage.calls("WithdrawCase", withdrawn)
    assert (call["idempotencyKey"], call["body"]) == (first, {"reason": "bankrupt"})
    (call,) = stage.calls("AcceptDebtCollectionList", listed)
    assert (call["idempotencyKey"], call["fault"]) == (lost, "cut after effect")
    (call,) = stage.calls("RejectEvictionRequest", evicted)
    assert call["status"] == 202
    assert len(stage.calls("WithdrawCase", unknown)) == 1
    assert stage.outcomes(withdrawn) == stage.outcomes(evicted) == ["confirmed"]
    # The lost one did arrive; others may have done as much: it is for a person to ask.
    stage.house.change(AGE)
    stage.house.until(lambda: stage.house.get(f"/actions/{lost}")["closedAt"])
    assert stage.house.get(f"/actions/{lost}")["state"] == "uncertain"
    assert stage.outcomes(listed) == ["waits"]
    assert stage.house.get(f"/cases/{withdrawn}")["status"] == "CLOSED"


@on("postgresql")
@pytest.mark.timeout(240)
def test_what_only_a_person_may_do(
    database_url: str, amili: SandboxServer, raise_house: RaiseHouse
) -> None:
    """A cancelled request is never sent; a lost one is sent again by a person, with its key.

    That it is in conflict then is no refusal: the first try may have arrived. The case tells.
    """
    stage = Stage(raise_house(database_url, amili, read_lag_seconds="2"), amili)
    cancelled, lost = stage.case(), stage.case()
    stage.house.stop(stage.house.parts[-1])
    action_id = stage.ask(cancelled, "withdraw", reason="bankrupt", confirm=True)
    answer = stage.house.ask("POST", f"/api/v1/actions/{action_id}/cancel")
    assert (answer.status, answer.body["state"]) == (200, "cancelled")
    amili.control.add_fault("WithdrawCase", cut=True, target=lost)
    again = stage.ask(lost, "withdraw", reason="bankrupt", confirm=True)
    stage.house.start_worker()

    stage.until(again, "uncertain")
    resend = f"/api/v1/actions/{again}/resend"
    assert stage.house.ask("POST", resend).status == 422  # reads may still tell
    stage.house.change(AGE)  # the next read is the last one
    stage.house.until(lambda: stage.house.get(f"/actions/{again}")["closedAt"])
    assert stage.house.get(f"/actions/{again}")["state"] == "uncertain"
    amili.control.add_fault("WithdrawCase", status=409, after_effect=True, target=lost)
    assert stage.house.ask("POST", resend).status == 202
    assert stage.until(again, "confirmed", "refused")["state"] == "confirmed"
    assert stage.house.get(f"/actions/{again}")["attempts"] == 2

    first, second = stage.calls("WithdrawCase", lost)
    assert (first["fault"], second["status"]) == ("cut before effect", 409)
    assert first["idempotencyKey"] == second["idempotencyKey"] == again
    assert stage.calls("WithdrawCase", cancelled) == []
    assert stage.house.get(f"/actions/{action_id}")["state"] == "cancelled"
    assert stage.outcomes(lost) == ["waits", "confirmed"]
