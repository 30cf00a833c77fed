"""Looks without a pause: what is claimed, fetched and written beside what, and in which order.

Amili is played by a function that each call awaits: it ends a call only when what is to happen
beside it has happened, so that whatever would not happen leaves the test without an end.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from itertools import islice
from pathlib import Path
from threading import Event
from typing import Any

import pytest
from sqlalchemy import func, select, update

from service.amili.contract import Contract
from service.amili.resources import Case, Fetched
from service.domain.deliveries import EventState
from service.domain.pausing import Rules
from service.errors import ProviderUnreachable, SchemaMismatch, StoreUnavailable
from service.inbox.stream import Stream
from service.policies import POLICIES
from service.queue import Bells
from service.redis import connect
from service.settings import Settings
from service.store import entities, events
from service.store.database import Tx
from service.store.schema import entities as rows
from service.telemetry.metrics import Metrics
from tests.integration.store_records import Clock, case_key, emptied, event
from workers import flow, jobs, looking
from workers.flow import look
from workers.parts import Parts, new_holder

WIDTH = 8
#: Nobody waits so long unless something is wrong.
DEADLINE = 60

Call = Callable[[str], Awaitable[None]]


async def at_once(name: str) -> None:
    """Answer at once."""


@dataclass
class House:
    """A worker's parts, and Amili."""

    parts: Parts
    #: Awaited by each call; what it raises is what the call ends with.
    call: Call = at_once
    #: Names of cases, in the order in which their calls began and ended.
    began: list[str] = field(default_factory=list)
    ended: list[str] = field(default_factory=list)
    #: What asyncio was left to complain of.
    complaints: list[Any] = field(default_factory=list)

    async def find_case(self, organization_id: str, number: str) -> Fetched[Case]:
        """Play Amili."""
        name = number.removeprefix("number-")
        self.began.append(name)
        await self.call(name)
        self.ended.append(name)
        shown = {
            "caseId": f"case-{name}",
            "caseNumber": number,
            "organizationId": organization_id,
            "status": "OPEN",
            "type": "COLLECTION_NOTICE",
            "invoices": [],
        }
        return Fetched(Case.model_validate(shown), "{}")

    def tell(self, names: Sequence[str], times: int = 1) -> None:
        """Store events of cases."""
        made = [
            event(f"{name}-{n}", key=case_key(name), lookup=f"number-{name}")
            for n in range(times)
            for name in names
        ]
        self.parts.database.run(lambda tx: events.store(tx, made))

    def suspect(self, names: Sequence[str]) -> None:
        """Let them be held by somebody who died, and who had failed before."""
        keys = [str(case_key(name)) for name in names]
        ago = timedelta(minutes=1)

        def run(tx: Tx) -> None:
            left = {"holder": "dead", "lease_until": tx.now - ago, "attempts": 1}
            tx.execute(update(rows).where(rows.c.entity.in_(keys)).values(left))

        self.parts.database.run(run)

    def look(self, **how: Any) -> int:
        """Look until nothing is due."""

        async def once() -> int:
            loop = asyncio.get_running_loop()
            loop.set_exception_handler(lambda _, context: self.complaints.append(context))
            client: Any = self
            async with asyncio.timeout(DEADLINE):
                return await look(self.parts, client, **how)

        return asyncio.run(once())

    def held(self) -> int:
        """Count the leases of this worker."""
        asked = select(func.count()).where(rows.c.holder == self.parts.holder)
        with self.parts.database.read() as tx:
            return int(tx.execute(asked).scalar_one())

    def settled(self) -> int:
        """Count the events that are settled."""
        with self.parts.database.read() as tx:
            found = events.listed(tx, limit=10_000)
        return sum(row.state == EventState.SETTLED for row in found)

    def due(self) -> int:
        """Count what is due."""
        with self.parts.database.read() as tx:
            return entities.due_count(tx)


def names(count: int, first: int = 0) -> list[str]:
    """Name cases."""
    return [f"{n:04}" for n in range(first, first + count)]


@pytest.fixture
def house(shared_url: str, redis_url: str, tmp_path: Path) -> Iterator[House]:
    """Give a worker's parts on real servers; time stands still in SQL."""
    client = connect(redis_url)
    with emptied(shared_url, Clock()) as database:
        yield House(
            Parts(
                settings=Settings(
                    data_dir=tmp_path,
                    redis_url=redis_url,
                    api_base_url="http://127.0.0.1:9",
                    token_url="http://127.0.0.1:9/token",
                    client_id="c",
                    client_secret="s",
                    api_concurrency=WIDTH,
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
                chance=random.Random(1),
            )
        )
    client.connection_pool.disconnect()


def test_all_that_is_due_is_looked_at_once(house: House) -> None:
    """Each entity is fetched once, all events are settled, and no lease is left."""
    house.tell(names(300), times=2)
    assert house.look() == 300
    assert sorted(house.began) == names(300)
    assert (house.settled(), house.due(), house.held()) == (600, 0, 0)
    assert house.complaints == []


def test_calls_to_amili_never_run_dry(house: House) -> None:
    """A call ends only when as many later ones have begun as the client makes at once."""
    count = 300
    house.tell(names(count))
    news = asyncio.Condition()

    async def wait_for_others(name: str) -> None:
        mine = len(house.began)
        async with news:
            news.notify_all()
            await news.wait_for(lambda: len(house.began) >= min(count, mine + WIDTH - 1))

    house.call = wait_for_others
    assert house.look() == count


def test_a_slow_answer_delays_only_its_own(house: House) -> None:
    """Everybody else is settled while one call is under way, also who came after it began."""
    house.tell(names(50))

    async def be_slow(name: str) -> None:
        if name == "0049":
            house.tell(names(50, first=50))
        while name == "0000" and await asyncio.to_thread(house.settled) < 99:
            await asyncio.sleep(0.01)

    house.call = be_slow
    assert house.look() == 100
    assert house.ended[-1] == "0000"


def test_what_is_held_is_bounded(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    """While results cannot be written, no more is claimed than may be held; then all goes on."""
    count = flow.MOST_HELD + 100
    house.tell(names(count))
    is_free = Event()
    held: list[int] = []
    conclude = looking.conclude

    def wait_and_conclude(*given: Any) -> int:
        is_free.wait(DEADLINE)
        return conclude(*given)

    async def count_held(name: str) -> None:
        if len(house.began) >= flow.MOST_HELD:
            held.append(await asyncio.to_thread(house.held))
            is_free.set()

    house.call = count_held
    monkeypatch.setattr(looking, "conclude", wait_and_conclude)
    assert house.look() == count
    assert held
    assert max(held) <= flow.MOST_HELD


def test_nothing_is_claimed_when_the_time_is_up(house: House) -> None:
    """What is held then is finished, the rest is left to the next job."""
    house.tell(names(200))

    async def take_long(name: str) -> None:
        await asyncio.sleep(0.2)

    house.call = take_long
    looked = house.look(seconds=0.1)
    assert 0 < looked < 200
    assert (house.settled(), house.due(), house.held()) == (looked, 200 - looked, 0)


@pytest.mark.parametrize(("seconds", "rings"), [(0.05, 1), (60.0, 0)])
def test_a_job_whose_time_is_up_rings_for_the_next(
    house: House, monkeypatch: pytest.MonkeyPatch, seconds: float, rings: int
) -> None:
    """One that found something when its time was up has the next go on, others ring for nobody."""
    house.tell(names(1))
    monkeypatch.setattr(jobs, "WORK_SECONDS", seconds)

    async def round_of(parts: Parts, client: Any, began: float) -> int:
        looked: int = await jobs.events_round(parts, house, began)  # type: ignore[arg-type]
        return looked

    async def take_long(name: str) -> None:
        await asyncio.sleep(0.1)

    house.call = take_long
    asyncio.run(jobs.rounds(house.parts, "events", round_of))
    assert house.settled() == 1
    assert house.parts.redis.llen("rq:queue:events") == rings


def test_a_burst_is_in_sql_before_its_entities_are_looked_at(house: House) -> None:
    """Many events on few cases cost few calls, though the drain brings them bit by bit."""
    cases, times = names(20), 100
    bodies = ((case, f"{case}-{n}") for n in range(times) for case in cases)

    def drain(most: int) -> int:
        moved = [
            event(body, key=case_key(case), lookup=f"number-{case}")
            for case, body in islice(bodies, most)
        ]
        house.parts.database.run(lambda tx: events.store(tx, moved))
        return len(moved)

    house.look(drain=drain)
    assert house.settled() == times * len(cases)
    assert len(house.began) <= 3 * len(cases)


def test_events_of_many_entities_do_not_wait_for_each_other(house: House) -> None:
    """Where each event is of a case of its own, calls begin before the stream is empty."""
    left = names(3 * flow.STEP)
    waiting: list[int] = []

    def drain(most: int) -> int:
        some = left[:most]
        house.tell(some)
        del left[: len(some)]
        return len(some)

    async def count_waiting(name: str) -> None:
        waiting.append(len(left))

    house.call = count_waiting
    assert house.look(drain=drain) == 3 * flow.STEP
    assert waiting[0] > 0
    assert house.due() == 0


def test_suspects_are_looked_at_beside_nobody(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They have their turn although work goes on, in groups of their own, and alone with time."""
    house.tell(names(300))
    suspects = set(names(40))
    house.suspect(sorted(suspects))
    monkeypatch.setattr(flow, "LAP_SECONDS", 0.0)  # their turn comes at the first opportunity
    held: list[int] = []

    async def count_held(name: str) -> None:
        if name in suspects:
            held.append(await asyncio.to_thread(house.held))

    house.call = count_held
    assert house.look() == 300
    assert held
    assert max(held) <= entities.FEW
    assert house.settled() == 300
    last = max(house.began.index(name) for name in suspects)
    assert last < 299  # others came after them


def test_an_error_of_one_call_is_its_own(house: House) -> None:
    """A call that fails has its entity put off, and nothing else."""
    house.tell(names(100))

    async def fail_often(name: str) -> None:
        if int(name) % 3 == 0:
            raise ProviderUnreachable("no answer", operation="getCase")

    house.call = fail_often
    assert house.look() == 100
    assert (house.settled(), house.due(), house.held()) == (66, 0, 0)


@pytest.mark.parametrize("error", [StoreUnavailable("away"), SchemaMismatch()])
@pytest.mark.parametrize("step", ["claim", "conclude"])
def test_a_store_that_is_away_ends_it_in_good_order(
    house: House, monkeypatch: pytest.MonkeyPatch, step: str, error: Exception
) -> None:
    """The error comes out; no call goes on, and nobody is left whose error nobody takes."""
    house.tell(names(200))
    work = getattr(looking, step)
    times: list[int] = []

    def fail_later(*given: Any) -> Any:
        times.append(1)
        if len(times) == 2:
            raise error
        return work(*given)

    async def fail_or_wait(name: str) -> None:
        if int(name) % 7 == 0:
            await asyncio.Event().wait()

    house.call = fail_or_wait
    monkeypatch.setattr(looking, step, fail_later)
    with pytest.raises(type(error)):
        house.look()
    assert house.complaints == []
