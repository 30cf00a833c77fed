"""The belt over a real ledger: slow calls hold up no pause, and no call is cut off."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Coroutine, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from service.amili.client import AmiliClient, TokenKeeper
from service.amili.contract import Contract
from service.domain.actions import SUBMISSIONS, Action, ActionKind, ActionState
from service.domain.pausing import Rules
from service.errors import StoreUnavailable
from service.inbox.stream import Stream
from service.policies import POLICIES
from service.queue import Bells
from service.redis import connect
from service.settings import Settings
from service.store import ledger
from service.store.database import Database, Tx
from service.store.ledger import Due
from service.store.schema import actions
from service.telemetry.metrics import Metrics
from workers import belt
from workers.belt import ON_CASES, Belt, Lane
from workers.parts import Parts, new_holder

PAUSE, SUBMIT = ActionKind.PAUSE_CASE, ActionKind.CREATE_INVOICES


@pytest.fixture
def parts(database: Database, redis_url: str, tmp_path: Path) -> Iterator[Parts]:
    """Give a worker's parts over an empty database of either kind."""
    client = connect(redis_url)
    yield Parts(
        settings=Settings(
            data_dir=tmp_path,
            api_base_url="http://127.0.0.1:1",
            token_url="http://127.0.0.1:1",
            client_id="c",
            client_secret="s",
        ),
        contract=Contract(),
        metrics=Metrics(),
        database=database,
        redis=client,
        stream=Stream(client, "tests"),
        bells=Bells(client),
        policies=POLICIES,
        rules=Rules(timedelta(seconds=10)),
        holder=new_holder(),
    )
    client.connection_pool.disconnect()


Work = Callable[["Scene", Due], Coroutine[Any, Any, None]]


class Scene:
    """A belt whose calls a test plays; what they do to the ledger is real."""

    def __init__(self, parts: Parts, slow: Work) -> None:
        self.parts = parts
        self.slow = slow
        #: What began and what ended, in this order.
        self.began: list[str] = []
        self.ended: list[str] = []
        #: How often the ledger was looked at for follow-ups, what fails then, and how often it did.
        self.looks = self.failures = 0
        self.fault: Exception | None = None

    def plan(self, kind: ActionKind, name: str) -> None:
        """Plan an action of this name."""

        def run(tx: Tx) -> None:
            planned = Action(name, kind, name, "o", f"cause:{name}", ActionState.PLANNED, tx.now)
            ledger.plan(tx, planned)

        self.parts.database.run(run)

    def run(self, began: float | None = None) -> int:
        """Run the belt to its end, bounded against hanging."""

        async def run() -> int:
            settings, metrics = self.parts.settings, self.parts.metrics
            tokens = TokenKeeper(settings)
            async with AmiliClient(settings, Contract(), metrics, tokens) as client:
                return await Belt(self.parts, client, self._lanes(), began).run()

        return asyncio.run(asyncio.wait_for(run(), 60))

    def _lanes(self) -> list[Lane]:
        return [
            Lane(4, self._quick_due, self._call, is_quick=True),
            Lane(2, lambda tx, limit: ledger.due(tx, SUBMISSIONS, limit), self._call),
        ]

    def _quick_due(self, tx: Tx, limit: int) -> list[Due]:
        self.looks += 1
        if self.fault is not None:
            self.failures += 1
            raise self.fault
        return ledger.due(tx, ON_CASES, limit)

    async def _call(self, parts: Parts, client: AmiliClient, due: Due) -> None:
        self.began.append(due.action_id)
        if due.kind in SUBMISSIONS:
            await self.slow(self, due)
        await asyncio.to_thread(self._settle, due)
        self.ended.append(due.action_id)

    def _settle(self, due: Due) -> None:
        def run(tx: Tx) -> None:
            tx.execute(actions.delete().where(actions.c.action_id == due.action_id))

        self.parts.database.run(run)


def test_a_pause_leaves_beside_a_slow_submission(
    parts: Parts, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After its time no further chunk is put on, but a pause planned then leaves at once."""
    monkeypatch.setattr(belt, "TAKE_SECONDS", 0.3)

    async def slow(scene: Scene, due: Due) -> None:
        await asyncio.sleep(0.4)
        await asyncio.to_thread(scene.plan, SUBMIT, "next chunk")
        await asyncio.to_thread(scene.plan, PAUSE, "pause")
        while "pause" not in scene.ended:
            await asyncio.sleep(0.01)

    scene = Scene(parts, slow)
    scene.plan(SUBMIT, "chunk")
    assert scene.run() == 2
    assert scene.ended == ["pause", "chunk"]
    with parts.database.read() as tx:
        assert [each.action_id for each in ledger.due(tx, SUBMISSIONS, 9)] == ["next chunk"]


def test_a_job_comes_to_its_end(parts: Parts, monkeypatch: pytest.MonkeyPatch) -> None:
    """Late in the job's time nothing at all is put on, whenever this belt began."""
    monkeypatch.setattr(belt, "LAST_SECONDS", 30.0)

    async def slow(scene: Scene, due: Due) -> None:
        raise AssertionError("no chunk is to be put on")

    scene = Scene(parts, slow)
    scene.plan(PAUSE, "pause")
    scene.plan(SUBMIT, "chunk")
    assert scene.run(began=time.monotonic() - 30) == 0
    assert scene.run(began=time.monotonic() - 20) == 0  # nothing is under way: the job may end
    assert scene.looks == 0


@pytest.mark.parametrize("fault", [StoreUnavailable("away"), ValueError("a kind of tomorrow")])
def test_a_look_that_fails_cuts_no_call_off(parts: Parts, fault: Exception) -> None:
    """The database fails for one look: the call under way ends first, then the error is told."""

    async def slow(scene: Scene, due: Due) -> None:
        scene.fault = fault
        while not scene.failures:
            await asyncio.sleep(0.01)
        scene.fault = None
        await asyncio.to_thread(scene.plan, PAUSE, "pause")
        await asyncio.sleep(0.3)  # time for a look, were there one

    scene = Scene(parts, slow)
    scene.plan(SUBMIT, "chunk")
    with pytest.raises(type(fault)):
        scene.run()
    assert scene.ended == ["chunk"]
    assert scene.began == ["chunk"]  # after a failure nothing new is put on


def test_a_call_that_fails_cuts_no_other_off(parts: Parts) -> None:
    """One of two calls fails: the other one ends by itself, then the error is told."""

    async def slow(scene: Scene, due: Due) -> None:
        if due.action_id == "bad":
            raise StoreUnavailable("away")
        await asyncio.sleep(0.3)

    scene = Scene(parts, slow)
    scene.plan(SUBMIT, "bad")
    scene.plan(SUBMIT, "good")
    with pytest.raises(StoreUnavailable):
        scene.run()
    assert scene.ended == ["good"]
