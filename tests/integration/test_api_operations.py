"""What people ask of Amili through the API: once, refused in words, taken back, sent again."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from service.domain.actions import ASKED, Action, ActionState
from service.domain.entities import Read
from service.domain.holds import Hold
from service.domain.records import Settlement
from service.queue import Bells
from service.redis import connect
from service.store import events, holds, ledger
from service.store.database import Tx
from tests.doors import drained, event
from tests.integration.store_records import save_settlement
from tests.integration.test_api import AT, Desk, desk_of, pages, refuses

ANSWERS = {
    "debt-collection-list/accept": "acceptDebtCollectionList",
    "debt-collection-list/reject": "rejectDebtCollectionList",
    "eviction-request/accept": "acceptEvictionRequest",
    "eviction-request/reject": "rejectEvictionRequest",
    "eviction-confirmation/accept": "acceptEvictionConfirmation",
    "eviction-confirmation/reject": "rejectEvictionConfirmation",
}
WITHDRAW: dict[str, Any] = {"reason": "bankrupt", "confirm": True}


@pytest.fixture
def desk(redis_url: str, database_url: str, tmp_path: Path) -> Iterator[Desk]:
    """Open a door with records, on both databases."""
    with desk_of(redis_url, database_url, tmp_path) as opened:
        yield opened


@pytest.fixture
def lite(redis_url: str, sqlite_url: str, tmp_path: Path) -> Iterator[Desk]:
    """Open a door with records, on SQLite."""
    with desk_of(redis_url, sqlite_url, tmp_path) as opened:
        yield opened


def asked(desk: Desk, case_id: str = "case-2") -> list[Action]:
    """Read the ledger of a case."""
    found: list[Action] = desk.run(lambda tx: list(ledger.of_cases(tx, [case_id])[case_id]))
    return found


def become(desk: Desk, action_id: str, **changes: Any) -> None:
    """Let an action be as workers would leave it."""

    def run(tx: Tx) -> None:
        action = ledger.get(tx, action_id)
        assert action is not None
        ledger.save(tx, [replace(action, **changes)])

    desk.run(run)


def wait(desk: Desk, action_id: str) -> None:
    """Let an action be one that nobody knows the fate of, and that waits for a person."""
    become(
        desk,
        action_id,
        state=ActionState.UNCERTAIN,
        attempts=1,
        sent_at=AT,
        ended_at=AT,
        closed_at=AT,
        error="cut",
    )


class TestAsking:
    def test_withdraw(self, desk: Desk) -> None:
        """A withdrawal is 202 with its action: planned, its reason and what was before noted."""
        reply = desk.door.post("/cases/case-2/withdraw", WITHDRAW)
        assert reply.status == 202
        said = reply.json
        assert (said["kind"], said["state"], said["attempts"]) == ("withdrawCase", "planned", 0)
        assert (said["caseId"], said["reason"]) == ("case-2", "bankrupt")
        assert desk.door.get(f"/actions/{said['actionId']}").json == said
        (action,) = asked(desk)
        assert action.organization_id == "org-1"
        assert action.detail == {
            "reason": "bankrupt",
            "beforeStatus": "OPEN",
            "beforeType": "DEBT",
            "beforeReadAt": AT.isoformat(),
        }
        steps = desk.door.get("/cases/case-2/timeline").json["data"]
        assert [step["kind"] for step in steps] == ["action"]

    def test_rings_for_the_workers(self, lite: Desk) -> None:
        """A request rings the bell of the actions at once: no sweep has to find it."""
        client = connect(lite.settings.redis_url)
        try:
            lite.door.post("/cases/case-2/withdraw", WITHDRAW)
            assert Bells(client).ring("actions") is False
            assert Bells(client).ring("events") is True
        finally:
            client.close()

    @pytest.mark.parametrize(("path", "kind"), ANSWERS.items())
    def test_answers(self, lite: Desk, path: str, kind: str) -> None:
        """Each answer is 202 with an action of its kind, with a reason and with no body at all."""
        said = lite.door.post(f"/cases/case-2/{path}", {"reason": "checked"})
        assert (said.status, said.json["kind"], said.json["reason"]) == (202, kind, "checked")
        bare = lite.door.post(f"/cases/case-3/{path}")
        assert (bare.status, bare.json["kind"], bare.json["reason"]) == (202, kind, None)

    def test_what_withdraws_nothing(self, lite: Desk) -> None:
        """Without `confirm: true` or a fit reason nothing is planned, and 422 says what to send."""
        reply = lite.door.post("/cases/case-2/withdraw", {"reason": "x"})
        assert refuses(reply, 422)
        assert '"confirm": true' in reply.json["detail"]
        for body in (
            None,
            b"[]",
            {},
            {"confirm": True},
            {"reason": "x", "confirm": False},
            {"reason": "x", "confirm": "true"},
            {"reason": "x", "confirm": 1},
            {"reason": "", "confirm": True},
            {"reason": " ", "confirm": True},
            {"reason": "x" * 201, "confirm": True},
            {"reason": "a\nb", "confirm": True},
            {"reason": "x", "confirm": True, "comment": "y"},
        ):
            assert refuses(lite.door.post("/cases/case-2/withdraw", body), 422), body
        for bad in (b"[]", {"reason": ""}, {"reason": 5}, {"confirm": True}, b"{"):
            reply = lite.door.post("/cases/case-2/debt-collection-list/accept", bad)
            assert refuses(reply, 422), bad
        assert asked(lite) == []

    def test_unknown_case(self, desk: Desk) -> None:
        """A case that is not known is a 404, for every operation on one."""
        for name in ("none", "%00", "x" * 201):
            for path in (*ANSWERS, "withdraw", "pause", "resume"):
                body = WITHDRAW if path == "withdraw" else {"reason": "x"}
                assert refuses(desk.door.post(f"/cases/{name}/{path}", body), 404), path
            for verb in ("cancel", "resend"):
                assert refuses(desk.door.post(f"/actions/{name}/{verb}"), 404)

    def test_no_token(self, lite: Desk) -> None:
        """Without a token nothing is asked of Amili."""
        paths = [f"/cases/case-2/{path}" for path in (*ANSWERS, "withdraw", "pause", "resume")]
        for path in (*paths, "/actions/action-1/cancel", "/actions/action-1/resend"):
            assert refuses(lite.door.ask("POST", f"/api/v1{path}", b"{}"), 401), path
        assert refuses(lite.door.get("/settlements", "wrong"), 401)
        assert asked(lite) == []


class TestOnce:
    def test_same_key_same_action(self, desk: Desk) -> None:
        """The same request under one key is one action; anything else under it is 422."""
        first = desk.door.post("/cases/case-2/withdraw", WITHDRAW, key="k")
        again = desk.door.post("/cases/case-2/withdraw", WITHDRAW, key="k")
        assert (first.status, again.status) == (202, 202)
        assert first.json == again.json
        other = WITHDRAW | {"reason": "another"}
        assert refuses(desk.door.post("/cases/case-2/withdraw", other, key="k"), 422)
        path = "/cases/case-2/debt-collection-list/accept"
        assert refuses(desk.door.post(path, {"reason": "bankrupt"}, key="k"), 422)
        assert len(asked(desk)) == 1
        elsewhere = desk.door.post("/cases/case-3/withdraw", WITHDRAW, key="k")
        assert elsewhere.json["caseId"] == "case-3"

    def test_same_key_after_its_end(self, lite: Desk) -> None:
        """Who asks again under the key of a request that has ended hears of that one."""
        key = "x" * 200
        first = lite.door.post("/cases/case-2/withdraw", WITHDRAW, key=key).json
        become(lite, first["actionId"], state=ActionState.REFUSED, closed_at=AT, error="no")
        again = lite.door.post("/cases/case-2/withdraw", WITHDRAW, key=key).json
        assert (again["actionId"], again["state"]) == (first["actionId"], "refused")
        anew = lite.door.post("/cases/case-2/withdraw", WITHDRAW, key="y" * 200).json
        assert anew["actionId"] != first["actionId"]

    def test_one_at_a_time(self, desk: Desk) -> None:
        """While an answer is under way the same and the opposite one are 422, and name it."""
        first = desk.door.post("/cases/case-2/debt-collection-list/accept").json
        for state in ("planned", "sent", "answered", "uncertain"):
            become(desk, first["actionId"], state=ActionState(state))
            for path in ("debt-collection-list/accept", "debt-collection-list/reject"):
                for key in (None, "another"):
                    reply = desk.door.post(f"/cases/case-2/{path}", key=key)
                    assert refuses(reply, 422)
                    assert first["actionId"] in reply.json["detail"]
        assert desk.door.post("/cases/case-2/eviction-request/accept").status == 202
        become(desk, first["actionId"], state=ActionState.CONFIRMED, closed_at=AT)
        assert desk.door.post("/cases/case-2/debt-collection-list/accept").status == 202

    def test_many_at_once(self, desk: Desk) -> None:
        """Of many at the same moment one is planned, with one key and without any."""
        with ThreadPoolExecutor(6) as pool:
            path = "/cases/case-2/withdraw"
            keyed = list(pool.map(lambda _: desk.door.post(path, WITHDRAW, key="k"), range(6)))
            path = "/cases/case-3/withdraw"
            bare = list(pool.map(lambda _: desk.door.post(path, WITHDRAW), range(6)))
        assert {reply.status for reply in keyed} == {202}
        assert len({reply.json["actionId"] for reply in keyed}) == 1
        assert sorted(reply.status for reply in bare) == [202, 422, 422, 422, 422, 422]
        assert (len(asked(desk)), len(asked(desk, "case-3"))) == (1, 1)

    @pytest.mark.parametrize("key", ["", "x" * 201, "a\tb"])
    def test_bad_key(self, lite: Desk, key: str) -> None:
        """A key that could not be kept is 400, on every POST, and nothing happens."""
        for path in ("/cases/case-2/withdraw", "/cases/case-2/resume", "/events/e/replay"):
            assert refuses(lite.door.post(path, WITHDRAW, key=key), 400), path
        for verb in ("cancel", "resend"):
            assert refuses(lite.door.post(f"/actions/action-1/{verb}", key=key), 400)
        assert asked(lite) == []


class TestCancel:
    def test_before_it_is_sent(self, desk: Desk) -> None:
        """What was never sent is cancelled, twice too, and is then due for nobody."""
        action = desk.door.post("/cases/case-2/withdraw", WITHDRAW).json
        for _ in range(2):
            reply = desk.door.post(f"/actions/{action['actionId']}/cancel", key="k")
            assert (reply.status, reply.json["state"]) == (200, "cancelled")
            assert reply.json["closedAt"] is not None
        assert desk.run(lambda tx: ledger.due(tx, ASKED, 10)) == []
        assert desk.door.post("/cases/case-2/withdraw", WITHDRAW).status == 202

    def test_too_late(self, lite: Desk) -> None:
        """What was sent, or may be tried again, is not cancelled; a pause ends with its holds."""
        action_id = lite.door.post("/cases/case-2/withdraw", WITHDRAW).json["actionId"]
        for changes in (
            {"state": ActionState.SENT, "attempts": 1},
            {"state": ActionState.ANSWERED, "attempts": 1},
            {"state": ActionState.PLANNED, "attempts": 1},
            {"state": ActionState.CONFIRMED, "attempts": 1},
        ):
            become(lite, action_id, **changes)
            assert refuses(lite.door.post(f"/actions/{action_id}/cancel"), 422)
        reply = lite.door.post("/actions/action-1/cancel")
        assert refuses(reply, 422)
        assert "holds" in reply.json["detail"]


class TestResend:
    def test_once_for_a_key(self, desk: Desk) -> None:
        """What waits for a person is planned again under its own id, once for each key."""
        action_id = desk.door.post("/cases/case-2/withdraw", WITHDRAW).json["actionId"]
        wait(desk, action_id)
        reply = desk.door.post(f"/actions/{action_id}/resend", key="k")
        assert (reply.status, reply.json["state"]) == (202, "planned")
        (action,) = asked(desk)
        assert (action.action_id, action.attempts, action.closed_at) == (action_id, 1, None)
        wait(desk, action_id)
        again = desk.door.post(f"/actions/{action_id}/resend", key="k")
        assert (again.status, again.json["state"]) == (202, "uncertain")
        assert desk.door.post(f"/actions/{action_id}/resend", key="l").json["state"] == "planned"

    def test_only_what_waits_for_a_person(self, lite: Desk) -> None:
        """Nothing else is sent again, whatever its state."""
        action_id = lite.door.post("/cases/case-2/withdraw", WITHDRAW).json["actionId"]
        for changes in (
            {"state": ActionState.PLANNED},
            {"state": ActionState.UNCERTAIN, "attempts": 1},
            {"state": ActionState.ANSWERED, "closed_at": AT},
            {"state": ActionState.REFUSED, "closed_at": AT},
        ):
            become(lite, action_id, **{"closed_at": None} | changes)
            assert refuses(lite.door.post(f"/actions/{action_id}/resend"), 422)
        become(lite, "action-1", state=ActionState.UNCERTAIN, closed_at=AT)
        assert refuses(lite.door.post("/actions/action-1/resend"), 422)


class TestPauseAndResume:
    def test_pause_is_a_hold(self, desk: Desk) -> None:
        """A pause is 201 with a hold of the API's, once for each key; no action is planned here."""
        wish = {"reason": "dispute", "comment": "by phone"}
        first = desk.door.post("/cases/case-2/pause", wish, key="k")
        assert first.status == 201
        assert (first.json["owner"], first.json["reason"]) == ("api", "dispute")
        assert desk.door.post("/cases/case-2/pause", wish, key="k").json == first.json
        assert refuses(desk.door.post("/cases/case-2/pause", {"reason": "x"}, key="k"), 422)
        assert refuses(desk.door.post("/cases/case-2/pause", {}), 422)
        case = desk.door.get("/cases/case-2").json
        assert (case["desired"], case["holds"]) == ("paused", [first.json])
        assert asked(desk) == []

    def test_resume_leaves_what_policies_hold(self, desk: Desk) -> None:
        """Resuming ends the holds of people, names those of policies, and plans nothing itself."""

        def place(tx: Tx) -> None:
            for name, owner, until in (
                ("by-policy", "policy", None),
                ("by-operator", "operator", None),
                ("over", "policy", tx.now - timedelta(hours=1)),
            ):
                placed = tx.now - timedelta(days=1)
                holds.place(tx, Hold(name, "case-2", "dispute", owner, placed, until))

        desk.run(place)
        desk.door.post("/cases/case-2/pause", {"reason": "court"})
        reply = desk.door.post("/cases/case-2/resume")
        assert reply.status == 200
        said = reply.json
        assert {hold["owner"] for hold in said["released"]} == {"operator", "api"}
        assert all(hold["releasedBy"] == "released" for hold in said["released"])
        assert [hold["holdId"] for hold in said["stillHeld"]] == ["by-policy"]
        assert (said["caseId"], said["desired"]) == ("case-2", "paused")
        assert asked(desk) == []
        again = desk.door.post("/cases/case-2/resume").json
        assert (again["released"], len(again["stillHeld"])) == ([], 1)

    def test_same_key_releases_once(self, desk: Desk) -> None:
        """A resume that comes again under its key ends no hold that was placed since."""
        desk.door.post("/cases/case-2/pause", {"reason": "court"})
        first = desk.door.post("/cases/case-2/resume", key="k")
        assert (first.json["desired"], len(first.json["released"])) == ("running", 1)
        desk.door.post("/cases/case-2/pause", {"reason": "court"})
        again = desk.door.post("/cases/case-2/resume", key="k")
        assert again.json == first.json
        assert desk.door.get("/cases/case-2").json["desired"] == "paused"


class TestReplayOnce:
    def test_same_key_same_answer(self, desk: Desk) -> None:
        """An event is replayed once for each key; without one every time."""
        desk.door.deliver(event(id="event-1"))
        drained(desk.settings)

        def state() -> str:
            return str(desk.door.get("/events/event-1").json["state"])

        def settle(tx: Tx) -> None:
            (row,) = events.by_id(tx, "event-1")
            events.settle(tx, [row.seq], "looked")

        for key, revives in (("k", True), ("k", False), ("l", True), (None, True), (None, True)):
            desk.run(settle)
            reply = desk.door.post("/events/event-1/replay", key=key)
            assert (reply.status, reply.json) == (202, {"replayed": 1})
            assert state() == ("received" if revives else "settled"), key

    def test_a_refusal_uses_no_key(self, lite: Desk) -> None:
        """A key under which nothing could be replayed can be used again."""
        assert refuses(lite.door.post("/events/event-1/replay", key="k"), 404)
        lite.door.deliver(event(id="event-1"))
        drained(lite.settings)
        assert lite.door.post("/events/event-1/replay", key="k").json == {"replayed": 1}


class TestLists:
    def test_pages_of_holds(self, desk: Desk) -> None:
        """Following `next` shows every hold once, newest first, also those of one moment."""

        def place(tx: Tx) -> None:
            for number in range(7):
                placed = tx.now - timedelta(hours=number // 3)
                holds.place(tx, Hold(f"hold-{number}", "case-2", "court", "api", placed))

        desk.run(place)
        assert pages(desk, "/holds", "holdId") == [f"hold-{number}" for number in range(7)]
        assert desk.door.get("/holds?after=none").json == {"data": [], "next": None}
        assert refuses(desk.door.get("/holds?after=%00"), 400)

    def test_pages_of_settlements(self, desk: Desk) -> None:
        """Following `next` shows every settlement once, each as it is shown alone."""

        def save(tx: Tx) -> None:
            for number in (2, 3, 4):
                raw = f'{{"totalAmount":{number}.50}}'
                row = Settlement(f"set-{number}", "org-1", "8811", "DEBT", "NOK", None, raw)
                save_settlement(tx, row, Read(1, AT))

        desk.run(save)
        names = [f"set-{number}" for number in (1, 2, 3, 4)]
        assert pages(desk, "/settlements", "settlementId") == names
        listed = desk.door.get("/settlements").json["data"]
        assert listed == [desk.door.get(f"/settlements/{name}").json for name in names]
        assert listed[1]["record"] == {"totalAmount": "2.50"}
        assert refuses(desk.door.get("/settlements?limit=0"), 400)
