"""Dead letters: what leads to one, what does not, and how many are worked on again."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import select, text

from service.amili.contract import Contract
from service.amili.resources import Case, Fetched
from service.desk.dead import DeadLetters
from service.desk.reading import Reading
from service.domain.deliveries import Delivery, Which, digest_of
from service.domain.entities import Claim, EntityKey, Kind, Read
from service.domain.pausing import Rules
from service.domain.receiving import receive
from service.errors import (
    CircuitOpen,
    Invalid,
    ProviderBusy,
    ProviderDenied,
    ProviderUnreachable,
)
from service.inbox.stream import Stream
from service.policies import POLICIES
from service.queue import Bells
from service.redis import connect
from service.settings import Settings
from service.store import dead_letters, entities, events
from service.store.database import Database, Tx
from service.store.schema import entities as entity_rows
from service.store.schema import events as table
from service.telemetry.metrics import Metrics
from tests.doors import event, eventually
from tests.integration.store_records import LEASE, Clock, emptied
from workers.applying import apply
from workers.handlers import HANDLERS
from workers.handlers.looks import After, Look
from workers.parts import Parts, new_holder
from workers.work import Result

#: What Amili may say while it is away; none of it is an attempt.
AWAY = (
    ProviderUnreachable("getCase: 503"),
    ProviderUnreachable("getCase: timeout"),
    CircuitOpen("getCase", retry_after=20),
    ProviderBusy("getCase: 429", retry_after=30),
    ProviderDenied("getCase: 401"),
)
MOST = 3


@dataclass
class House:
    """A worker's parts with a clock moved by hand, and the desk."""

    parts: Parts
    clock: Clock
    dead: DeadLetters
    reading: Reading

    def receive(self, *names: str, kind: str = "CASE_UPDATED") -> None:
        """Store one event for each of these cases, as the drain would."""
        bodies = [
            event(id=f"event of {name}", eventType=kind, data={"orgId": "org-1", "caseId": name})
            for name in names
        ]
        found = [receive(Delivery(digest_of(b), b, {}, self.clock.now), ()) for b in bodies]
        self.parts.database.run(lambda tx: events.store(tx, found))

    def claim(self) -> tuple[Claim, ...]:
        """Claim what is due."""
        return self.take(lambda tx: entities.claim(tx, self.parts.holder, limit=200, lease=LEASE))

    def suspects(self) -> tuple[Claim, ...]:
        """Claim those that may be what kills."""
        return self.take(lambda tx: entities.claim_suspects(tx, self.parts.holder, lease=LEASE))

    def take(self, claim: Callable[[Tx], tuple[Claim, ...]]) -> tuple[Claim, ...]:
        """Claim and number."""
        return self.parts.database.run(lambda tx: entities.number(tx, claim(tx)))

    def look(self, error: Exception | None = None) -> list[str]:
        """Look at all that is due, and have each fail or succeed; return their names."""
        return self.end(self.claim(), error)

    def end(self, claims: Sequence[Claim], error: Exception | None = None) -> list[str]:
        """Have looks that are under way fail or succeed; return their names."""
        read = [(claim, Read(claim.fetch_number, self.clock.now)) for claim in claims]
        apply(
            self.parts,
            [
                Result(claim, at, Fetched(case_of(claim), "{}") if error is None else None, error)
                for claim, at in read
            ],
        )
        return sorted(claim.key.id for claim in claims)

    def die(self, error: Exception | None = None) -> None:
        """Fail until nothing is tried any more."""
        while self.look(error or Invalid("getCase: 400")):
            self.clock.forward(1000)

    def states(self) -> dict[str, str]:
        """Return the state of each event by its id."""
        with self.parts.database.read() as tx:
            return {row.event_id: row.state for row in events.listed(tx, limit=5000)}


def case_of(claim: Claim) -> Case:
    """Make the case that was fetched for a claim."""
    name = claim.key.id
    return Case.model_validate(
        {"caseId": name, "caseNumber": f"n-{name}", "organizationId": "org-1", "status": "OPEN"}
    )


@pytest.fixture
def house(shared_url: str, redis_url: str, tmp_path: Path) -> Iterator[House]:
    """Give a worker's parts on real servers."""
    clock, client = Clock(), connect(redis_url)
    with emptied(shared_url, clock) as database:
        parts = Parts(
            settings=Settings(data_dir=tmp_path, max_attempts=MOST),
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
        yield House(parts, clock, DeadLetters(database, parts.bells), Reading(database))
    client.connection_pool.disconnect()


class TestAttempts:
    def test_six_hours_without_amili(self, house: House) -> None:
        """Whatever Amili answers while it is away, nothing dies, and its return settles all."""
        house.receive("a", "b", "c")
        for number in range(6 * 60 // 5):
            assert house.look(AWAY[number % len(AWAY)]) == ["a", "b", "c"]
            house.clock.forward(300)
        assert set(house.states().values()) == {"retrying"}
        shown = house.reading.event("event of a")
        assert shown["attempts"] == 0
        assert shown["waiting"] is not None
        house.look()
        assert set(house.states().values()) == {"settled"}

    def test_what_a_dead_letter_tells(self, house: House) -> None:
        """Its cause, its attempts and its last error; a later success settles it."""
        house.receive("a")
        house.look(Invalid("getCase: 400"))
        house.clock.forward(1000)
        house.die(ValueError("a person's name"))
        shown = house.reading.event("event of a")
        assert (shown["state"], shown["outcome"]) == ("dead", "attempts_exhausted")
        assert (shown["attempts"], shown["error"]) == (MOST, "unexpected ValueError")
        listed = house.reading.events(which=Which(state="dead"))["data"]
        assert [each["eventId"] for each in listed] == ["event of a"]
        house.clock.forward(1)
        house.parts.database.run(
            lambda tx: entities.want(tx, [entities.Want(EntityKey(Kind.CASE, "a"))])
        )
        house.look()
        shown = house.reading.event("event of a")
        assert (shown["state"], shown["error"]) == ("settled", None)

    def test_pauses_grow_and_are_spread(self, house: House) -> None:
        """Entities that fail together are not tried again together, and ever later."""
        names = [f"case {number:02}" for number in range(40)]
        house.receive(*names)
        waits = []
        for _ in range(2):
            began = house.clock.now
            house.look(Invalid("getCase: 400"))
            with house.parts.database.read() as tx:
                rows = tx.execute(entity_rows.select()).all()
            waits.append([(row.not_before - began).total_seconds() for row in rows])
            house.clock.forward(1000)
        assert all(len(set(some)) > 10 for some in waits)
        assert max(waits[0]) <= 1.1
        assert 1.1 < max(waits[1]) <= 2.1


class TestPoison:
    def test_one_that_always_raises(self, house: House, monkeypatch: pytest.MonkeyPatch) -> None:
        """A case whose handler raises delays nobody: the others settle in the same round."""
        handler = HANDLERS[Kind.CASE]

        def raising(look: Look) -> After:
            if look.claim.key.id == "poison":
                raise RuntimeError("poison")
            return handler.apply(look)

        monkeypatch.setitem(HANDLERS, Kind.CASE, replace(handler, apply=raising))
        for number in range(MOST):
            good = [f"case {number} {n}" for n in range(20)]
            house.receive(*good, *(["poison"] if number == 0 else []))
            house.look()
            states = house.states()
            assert all(states[f"event of {name}"] == "settled" for name in good)
            house.clock.forward(1000)
        assert states["event of poison"] == "dead"
        shown = house.reading.event("event of poison")
        assert (shown["attempts"], shown["error"]) == (MOST, "unexpected RuntimeError")

    def test_one_that_kills_its_worker(self, house: House) -> None:
        """After its second victim it is claimed apart, and the others are worked on meanwhile."""
        house.receive("poison")
        for _ in range(2):
            assert len(house.claim()) == 1
            house.clock.forward(11)  # whoever had it is gone
        house.receive("a", "b")
        assert house.look() == ["a", "b"]
        assert [claim.key.id for claim in house.suspects()] == ["poison"]
        assert house.states()["event of a"] == "settled"


class TestReplayAll:
    def test_all_of_them(self, house: House) -> None:
        """Each dead letter waits again from its first try, and success settles it."""
        names = [f"case {number}" for number in range(7)]
        house.receive(*names)
        house.die()
        assert house.dead.count(Which())[0] == 7
        assert house.look() == []
        told = house.dead.replay(Which())
        assert told == {"replayed": 7, "skipped": 0, "next": None}
        assert house.dead.count(Which()) == (0, 0)
        shown = house.reading.event("event of case 1")
        assert (shown["state"], shown["attempts"], shown["error"]) == ("received", 0, None)
        assert house.look() == names
        assert set(house.states().values()) == {"settled"}

    def test_a_new_attempt_may_die_again(self, house: House) -> None:
        """A replay has all its attempts, and is a dead letter again after them."""
        house.receive("a")
        house.die()
        house.dead.replay(Which())
        for _ in range(MOST):
            assert house.look(Invalid("getCase: 400")) == ["a"]
            house.clock.forward(1000)
        assert house.look() == []
        assert house.states() == {"event of a": "dead"}

    def test_all_its_tries_although_another_fails_meanwhile(self, house: House) -> None:
        """A replay during a try that then fails has every try that there is, and its own pauses."""
        house.receive("a")
        house.die()
        house.receive("a", kind="CASE_CREATED")
        house.look(Invalid())
        house.clock.forward(1000)
        under_way = house.claim()
        assert house.dead.replay(Which())["replayed"] == 1
        house.end(under_way, Invalid())
        tries = 0
        while "dead" not in house.states().values():
            house.clock.forward(1000)
            tries += len(house.look(Invalid()))
        assert tries == MOST - 1  # the one under way was the first of the new ones

    def test_filters(self, house: House) -> None:
        """Type, a part of the error in any capitals, and time choose; nothing else is touched."""
        house.receive("a")
        house.die(Invalid("getCase: 400 100%_x"))
        house.clock.forward(3600)
        since = house.clock.now
        house.receive("b", kind="CASE_CREATED")
        house.die(ValueError())
        wanted = {
            Which(): 2,
            Which(type="CASE_CREATED"): 1,
            Which(type="CASE"): 0,
            Which(error="GETCASE: 400"): 1,
            Which(error="100%_X"): 1,
            Which(error="%"): 1,
            Which(error="valueerror"): 1,
            Which(since=since): 1,
            Which(since=since, type="CASE_UPDATED"): 0,
            Which(state="settled"): 2,  # only dead ones are ever meant
        }
        assert {which: house.dead.count(which)[0] for which in wanted} == wanted
        house.dead.replay(Which(since=since))
        assert house.states() == {"event of a": "dead", "event of b": "received"}

    def test_pages(self, house: House) -> None:
        """Some at a time, each once, up to the newest that was counted."""
        house.receive(*(f"case {number}" for number in range(5)))
        house.die()
        count, newest = house.dead.count(Which())
        house.receive("later")
        house.die()
        after, told = 0, []
        while True:
            page = house.dead.replay(Which(), after=after, until=newest, limit=2)
            told.append(page["replayed"])
            if page["next"] is None:
                break
            after = int(page["next"])
        assert (told, sum(told)) == ([2, 2, 1], count)
        assert house.states()["event of later"] == "dead"

    def test_the_same_key(self, house: House) -> None:
        """Under one key it is done once and answered alike."""
        house.receive("a")
        house.die()
        first = house.dead.replay(Which(), key="k")
        house.die()
        assert house.dead.replay(Which(), key="k") == first
        assert house.states() == {"event of a": "dead"}
        assert house.dead.replay(Which(), key="other")["replayed"] == 1

    def test_what_cannot_be_replayed_holds_up_nobody(self, house: House) -> None:
        """An unreadable body and one whose entity nobody can keep stay dead, beside the others."""
        house.receive("a", "b", "bad", "long")
        house.die()

        def spoil(tx: Tx) -> None:
            for name, body in (
                ("bad", b"\xff{"),
                ("long", event(data={"orgId": "o", "caseId": "y" * 200, "caseNumber": "x" * 201})),
            ):
                same = table.c.event_id == f"event of {name}"
                tx.execute(table.update().where(same).values(body=body))

        house.parts.database.run(spoil)
        told = house.dead.replay(Which())
        assert told["replayed"] + told["skipped"] == 4
        assert told["skipped"] >= 1
        states = house.states()
        assert (states["event of a"], states["event of b"]) == ("received", "received")
        assert states["event of bad"] == "dead"
        assert house.dead.count(Which())[0] == told["skipped"]


def test_a_database_of_many(house: House) -> None:
    """Hundreds of one entity are one look after a replay."""
    found = [
        receive(Delivery(digest_of(body), body, {}, house.clock.now), ())
        for body in (event(data={"orgId": "org-1", "caseId": "a"}) for _ in range(300))
    ]
    database: Database = house.parts.database
    database.run(lambda tx: events.store(tx, found))
    house.die()
    assert house.dead.replay(Which())["replayed"] == 300
    assert house.look() == ["a"]
    assert set(house.states().values()) == {"settled"}


def test_a_replay_waits_for_a_look_under_way(house: House) -> None:
    """Who replays locks the entity before its events, as a look does: no deadlock between them."""
    database = house.parts.database
    if database.is_sqlite:
        pytest.skip("one writer: nobody waits in a circle")
    house.receive("a")
    house.die()
    key = EntityKey(Kind.CASE, "a")
    waiting = text("SELECT count(*) FROM pg_locks WHERE NOT granted")
    with ThreadPoolExecutor(1) as pool:
        with database.begin() as tx:
            tx.execute(
                select(entity_rows).where(entity_rows.c.entity == str(key)).with_for_update()
            )
            replayed = pool.submit(house.dead.replay, Which())
            with database.engine.connect() as watching:
                eventually(lambda: watching.execute(waiting).scalar_one() > 0)
            (seqs,) = events.dead_of(tx, [key]).values()
            assert len(events.settle(tx, seqs, "applied")) == 1
        assert replayed.result(30)["replayed"] == 1
    assert house.look() == ["a"]
    assert house.states() == {"event of a": "settled"}


def test_large_bodies_are_read_some_at_a_time(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However large the dead letters are, a replay reads a bounded number of bytes, and ends."""
    monkeypatch.setattr(dead_letters, "MOST_BYTES", 400)
    house.receive(*(f"case {number}" for number in range(5)))
    house.die()
    after, told = "0", []
    while after is not None:
        page = house.dead.replay(Which(), after=int(after), limit=3)
        told.append(page["replayed"])
        after = page["next"]
    assert (max(told), sum(told)) == (max(told[0], 1), 5)
    assert told[0] < 3
    monkeypatch.setattr(dead_letters, "MOST_BYTES", 1)
    house.die()
    assert house.dead.replay(Which())["replayed"] == 1


def test_one_key_for_two_wishes(house: House) -> None:
    """A key stands for what was asked: with another filter or page nothing is swallowed."""
    house.receive("a", "b")
    house.receive("c", kind="CASE_CREATED")
    house.die()
    page = house.dead.replay(Which(type="CASE_UPDATED"), limit=1, key="k")
    rest = house.dead.replay(Which(type="CASE_UPDATED"), after=int(page["next"]), key="k")
    other = house.dead.replay(Which(type="CASE_CREATED"), key="k")
    assert [told["replayed"] for told in (page, rest, other)] == [1, 1, 1]
    assert set(house.states().values()) == {"received"}


def test_two_operators_at_once(house: House) -> None:
    """Ten replays of everything at once end, and each event is worked on and settled."""
    names = [f"case {number:02}" for number in range(30)]
    house.receive(*names)
    house.die()
    with ThreadPoolExecutor(4) as pool:
        asked = [pool.submit(house.dead.replay, Which()) for _ in range(10)]
        assert sum(each.result(60)["replayed"] for each in asked) >= 30
    assert house.look() == names
    assert house.look() == []
    assert set(house.states().values()) == {"settled"}
