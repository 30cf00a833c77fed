"""The inbox in SQL: each body once, whoever stores it and in whatever order."""

from __future__ import annotations

import random
import threading
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta

import pytest

from service.domain.deliveries import EventState, NewEvent, Which
from service.domain.entities import Claims, EntityKey, Kind
from service.errors import StoreError
from service.store import entities, events, finishing
from service.store.database import Database
from service.store.events import Stored
from tests.integration.store_records import (
    LEASE,
    NOON,
    case_key,
    emptied,
    event,
    received,
)


@pytest.fixture
def database(shared_url: str) -> Iterator[Database]:
    """Give an empty database."""
    with emptied(shared_url) as opened:
        yield opened


def store(database: Database, *found: NewEvent) -> Stored:
    """Store events in a transaction of their own."""
    return database.run(lambda tx: events.store(tx, found))


def wanted(database: Database, key: EntityKey) -> int:
    """Return how many looks are waiting for an entity."""
    claims = database.run(lambda tx: entities.claim(tx, "counter", limit=500, lease=LEASE))
    database.run(lambda tx: entities.hand_back(tx, "counter"))
    return next((claim.wanted for claim in claims if claim.key == key), 0)


def test_nothing_is_nothing(database: Database) -> None:
    """An empty batch is no statement."""
    assert store(database) == Stored((), (), frozenset())


def test_a_body_is_stored_once(database: Database) -> None:
    """The same body again, alone or in one batch, is no new row and wants no new look."""
    one = event("one")
    assert store(database, one, one).new == (one,)
    assert store(database, one).new == ()
    with database.read() as tx:
        assert len(events.listed(tx)) == 1
    assert wanted(database, case_key()) == 1


def test_it_tells_what_was_settled_before(database: Database) -> None:
    """A duplicate of a settled event is told as settled, one that waits is not."""
    one, two = event("one"), event("two")
    store(database, one, two)
    with database.begin() as tx:
        seqs = [row.seq for row in events.by_id(tx, one.event_id)]
        events.settle(tx, seqs, "applied")
    again = store(database, one, two)
    assert set(again.digests) == {one.delivery.digest, two.delivery.digest}
    assert again.settled == {one.delivery.digest}


@pytest.mark.parametrize("together", [True, False])
def test_variants(database: Database, together: bool) -> None:
    """The same id, or IdempotencyKey, with another body is a row of its own, flagged."""
    first = event("a", event_id="id-1", idempotency_key="key-1")
    same_id = event("b", event_id="id-1", idempotency_key="key-2")
    same_key = event("c", event_id="id-3", idempotency_key="key-1")
    other = event("d", event_id="id-4")
    if together:
        store(database, first, same_id, same_key, other)
    else:
        for each in (first, same_id, same_key, other):
            store(database, each)
    with database.read() as tx:
        flags = [row.is_variant for row in reversed(events.listed(tx))]
        rows = events.by_id(tx, "id-1")
    assert flags == [False, True, True, False]
    assert [bytes(row.digest) for row in rows] == [
        each.delivery.digest for each in (first, same_id)
    ]


def test_many_events_are_one_look(database: Database) -> None:
    """A hundred events of one case raise it a hundred times and are claimed together."""
    store(database, *(event(f"body {n}") for n in range(100)))
    claims = database.run(lambda tx: entities.claim(tx, "me", limit=10, lease=LEASE))
    assert [(claim.key, claim.wanted, len(claim.events)) for claim in claims] == [
        (case_key(), 100, 100)
    ]


REFUSED = {
    "NUL": "nul \0 here",
    "too long": "x" * 300,
    "surrogate": "half \ud800 of one",
}


@pytest.mark.parametrize("name", REFUSED)
def test_one_that_the_database_refuses_holds_up_nobody(database: Database, name: str) -> None:
    """It is kept as a dead letter with its body, and the others are stored and wanted."""
    bad = event("bad", event_id=REFUSED[name])
    good = [event(f"good {n}", key=case_key(str(n))) for n in range(3)]
    stored = store(database, good[0], bad, *good[1:])
    assert len(stored.digests) == 4
    assert store(database, bad, *good).new == ()
    with database.read() as tx:
        rows = {row.digest: row for row in events.listed(tx)}
        dead = events.dead_count(tx)
    assert len(rows) == 4
    kept = rows[bad.delivery.digest]
    if database.is_sqlite and name != "surrogate":  # SQLite takes any text that UTF-8 can write
        assert kept.state == EventState.RECEIVED
        return
    assert (kept.state, kept.outcome, dead) == (EventState.DEAD, "unstorable", 1)
    assert kept.event_id == bad.delivery.digest.hex()
    assert all(wanted(database, each.key) == 1 for each in good if each.key)


@pytest.mark.parametrize("name", REFUSED)
@pytest.mark.parametrize("member", ["lookup", "type", "organization_id", "idempotency_key"])
def test_whatever_member_it_is(database: Database, name: str, member: str) -> None:
    """Any text that the database refuses, in any column, costs that one event only."""
    text = REFUSED[name]
    bad = event("bad", idempotency_key=text if member == "idempotency_key" else None)
    if member != "idempotency_key":
        values = {field: getattr(bad, field) for field in bad.__dataclass_fields__}
        bad = NewEvent(**values | {member: text})
    good = event("good", key=case_key("good"))
    store(database, bad, good)
    with database.read() as tx:
        assert len(events.listed(tx)) == 2
    assert wanted(database, case_key("good")) == 1


def test_two_sessions_with_the_same_events(database: Database) -> None:
    """Stored in different orders at once: no deadlock, each once, each counted once."""
    found = [event(f"body {n}", key=case_key(str(n % 50))) for n in range(500)]
    failed: list[BaseException] = []
    new: list[int] = []
    start = threading.Barrier(4)

    def run(seed: int) -> None:
        mine = random.Random(seed).sample(found, len(found))
        start.wait()
        try:
            for at in range(0, len(mine), 100):
                new.append(len(store(database, *mine[at : at + 100]).new))
        except StoreError as exc:
            failed.append(exc)

    threads = [threading.Thread(target=run, args=(seed,)) for seed in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failed == []
    assert sum(new) == 500
    with database.read() as tx:
        assert len(events.listed(tx, limit=1000)) == 500
    claims = database.run(lambda tx: entities.claim(tx, "me", limit=500, lease=LEASE))
    assert {(claim.wanted, len(claim.events)) for claim in claims} == {(10, 10)}
    assert len(claims) == 50


def test_a_raw_body_is_kept_to_the_byte(database: Database) -> None:
    """NUL, broken UTF-8 and all: the body is bytes, never text."""
    one = event("x")
    raw = b'{"\x00":"\xff\xfe\xed\xa0\x80"}'
    odd = NewEvent(
        type(one.delivery)(one.delivery.digest, raw, {}, one.delivery.received_at),
        event_id="odd",
        type="CASE_UPDATED",
        label="CASE_UPDATED",
        state=EventState.RECEIVED,
        key=case_key(),
    )
    store(database, odd)
    with database.engine.connect() as connection:
        kept = connection.exec_driver_sql("SELECT body FROM events").scalar_one()
    assert bytes(kept) == raw


def test_the_newest_payload_is_the_last_that_came(database: Database) -> None:
    """Within one batch too, events stand in the order in which they came."""
    store(database, *(event(f"{n}", claims=Claims(f"status {n}")) for n in range(20)))
    (claim,) = database.run(lambda tx: entities.claim(tx, "me", limit=5, lease=LEASE))
    assert claim.newest == Claims("status 19")
    assert [cause.event_id for cause in claim.events] == [f"id of {n}" for n in range(20)]


def test_what_comes_late_is_no_news(database: Database) -> None:
    """A payload that waited in the spool, or is replayed, tells nothing newer than what stands."""
    early = received("early", NOON, claims=Claims("OPEN"))
    store(database, received("now", NOON + timedelta(minutes=1), claims=Claims("PAUSED")))
    store(database, early)
    (claim,) = database.run(lambda tx: entities.claim(tx, "me", limit=5, lease=LEASE))
    assert claim.newest == Claims("PAUSED")
    with database.begin() as tx:
        (row,) = events.by_id(tx, early.event_id)
        events.settle(tx, [row.seq], "applied")
        finishing.finish(tx, [finishing.Finished(claim)])
        events.revive(tx, [(row.seq, early)])
    (again,) = database.run(lambda tx: entities.claim(tx, "me", limit=5, lease=LEASE))
    assert again.newest == Claims("PAUSED")


def test_a_type_that_was_a_stranger_is_found(database: Database) -> None:
    """Events that came before their type was known are in the list of the type, too."""
    known = event("known")
    stranger = replace(event("stranger"), label="other")
    store(database, known, stranger, replace(event("other"), type="ODD", label="other"))
    with database.read() as tx:
        found = {row.event_id for row in events.listed(tx, Which(type="CASE_UPDATED"))}
        odd = [row.event_id for row in events.listed(tx, Which(type="ODD"))]
    assert found == {known.event_id, stranger.event_id}
    assert odd == ["id of other"]


def test_claims_are_kept(database: Database) -> None:
    """What the newest payload claims comes back with the claim; unknown stays unknown."""
    store(database, event("old", claims=Claims("OPEN", "T", frozenset({"i-1"}))))
    store(database, event("new", claims=Claims("PAUSED", None, None)))
    (claim,) = database.run(lambda tx: entities.claim(tx, "me", limit=5, lease=LEASE))
    assert claim.newest == Claims("PAUSED", None, None)
    some = Claims("OPEN", "T", frozenset({"i-2", "i-1"}))
    assert events.load_claims(events.dump_claims(some)) == some
    assert events.load_claims(events.dump_claims(None)) is None


def test_postponing_and_settling(database: Database) -> None:
    """A try that counts is counted; what is dead is named so, and can be settled later."""
    store(database, event("one"))
    with database.begin() as tx:
        (row,) = events.listed(tx)
        events.postpone(tx, [row.seq], "away", counts=False, dead=False)
        (row,) = events.listed(tx)
        assert (row.state, row.attempts, row.error) == ("retrying", 0, "away")
        events.postpone(tx, [row.seq], "broken", counts=True, dead=True)
        (row,) = events.listed(tx)
        assert (row.state, row.attempts, row.outcome) == ("dead", 1, "attempts_exhausted")
        assert events.dead_of(tx, [case_key()]) == {"case:case-1": [row.seq]}
        assert len(events.settle(tx, [row.seq], "applied")) == 1
        (row,) = events.listed(tx)
        assert (row.state, row.attempts, row.outcome, row.error) == ("settled", 2, "applied", None)
        assert events.settle(tx, [row.seq], "applied") == []


def test_a_replay_waits_again(database: Database) -> None:
    """A settled event made to wait is claimed again, with its entity."""
    store(database, event("one"))
    (claim,) = database.run(lambda tx: entities.claim(tx, "me", limit=5, lease=LEASE))
    with database.begin() as tx:
        events.settle(tx, [cause.row for cause in claim.events], "applied")
        finishing.finish(tx, [finishing.Finished(claim)])
    with database.begin() as tx:
        events.revive(tx, [(cause.row, event("one")) for cause in claim.events])
    (again,) = database.run(lambda tx: entities.claim(tx, "me", limit=5, lease=LEASE))
    assert again.events == claim.events


def test_an_event_about_nothing_wants_no_look(database: Database) -> None:
    """What is settled from the start is a row and nothing more."""
    one = event("one")
    values = {field: getattr(one, field) for field in one.__dataclass_fields__}
    foreign = NewEvent(**values | {"state": EventState.SETTLED, "outcome": "foreign"})
    stored = store(database, foreign)
    assert stored.new == (foreign,)
    assert wanted(database, case_key()) == 0
    assert store(database, foreign).settled == {foreign.delivery.digest}


def test_keys_survive_their_text(database: Database) -> None:
    """An entity's name is read back as it was written, colons and all."""
    key = EntityKey(Kind.BATCH, "a:b:#c")
    assert EntityKey.parse(str(key)) == key
    store(database, event("one", key=key))
    assert wanted(database, key) == 1
