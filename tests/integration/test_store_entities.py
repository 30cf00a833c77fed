"""Who looks at which entity: claims, leases, fences, back-off, nudges, fetch numbers."""

from __future__ import annotations

import threading
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from service.domain.entities import Claim, EntityKey, Nudge
from service.errors import StoreError
from service.store import entities, events, finishing
from service.store.database import Database, Tx
from service.store.entities import Want
from tests.integration.store_records import (
    LEASE,
    NOON,
    Clock,
    case_key,
    event,
    migrated,
)


def want(database: Database, *names: str, after: float = 0) -> None:
    """Raise cases."""
    due = NOON + timedelta(seconds=after) if after else None
    database.run(lambda tx: entities.want(tx, [Want(case_key(n), due_at=due) for n in names]))


def claim(database: Database, holder: str = "me", limit: int = 10) -> tuple[Claim, ...]:
    """Claim what is due."""
    return database.run(lambda tx: entities.claim(tx, holder, limit=limit, lease=LEASE))


def suspects(database: Database, holder: str = "me", **more: int) -> tuple[Claim, ...]:
    """Claim those that may be what kills."""
    return database.run(lambda tx: entities.claim_suspects(tx, holder, lease=LEASE, **more))


def one(database: Database, holder: str = "me") -> Claim:
    """Claim the only due entity."""
    (found,) = claim(database, holder)
    return found


def names(claims: tuple[Claim, ...]) -> list[str]:
    """Name what was claimed."""
    return sorted(each.key.id for each in claims)


def finish(database: Database, done: Claim, **more: Any) -> None:
    """Settle a claim."""
    database.run(lambda tx: finishing.finish(tx, [finishing.Finished(done, **more)]))


def test_due_claimed_done(database: Database) -> None:
    """Wanted is due; claimed is nobody else's; finished is due no more."""
    want(database, "1")
    found = one(database)
    assert (found.key, found.wanted, found.fence, found.attempts) == (case_key(), 1, 1, 0)
    assert claim(database, "other") == ()
    finish(database, found)
    assert claim(database) == ()
    with database.read() as tx:
        assert entities.due_count(tx) == 0


def test_what_comes_during_a_claim_stays_due(database: Database) -> None:
    """An event stored while somebody looks is claimed by the next look, with that event alone."""
    database.run(lambda tx: events.store(tx, [event("one")]))
    first = one(database)
    database.run(lambda tx: events.store(tx, [event("two")]))
    with database.begin() as tx:
        assert entities.still_held(tx, [first]) == {case_key(): 2}
        events.settle(tx, [cause.row for cause in first.events], "applied")
        finishing.finish(tx, [finishing.Finished(first)])
    second = one(database)
    assert [cause.event_id for cause in second.events] == ["id of two"]
    finish(database, second)
    assert claim(database) == ()


def test_the_oldest_first(database: Database, clock: Clock) -> None:
    """Whoever waited longest is claimed first."""
    for name in ("3", "1", "2"):
        want(database, name)
        clock.forward(1)
    assert [claim(database, limit=1)[0].key.id for _ in range(3)] == ["case-3", "case-1", "case-2"]


def test_a_lease_that_ends_is_taken_with_a_higher_fence(database: Database, clock: Clock) -> None:
    """The old holder's claim is no longer held, so its apply writes nothing."""
    want(database, "1")
    old = one(database, "old")
    clock.forward(9.9)
    assert claim(database, "new") == ()
    clock.forward(0.1)
    new = one(database, "new")
    assert new.fence == old.fence + 1
    with database.begin() as tx:
        assert entities.still_held(tx, [old]) == {}
        assert set(entities.still_held(tx, [new])) == {case_key()}


def test_the_same_holder_with_an_older_fence_has_lost_it(database: Database, clock: Clock) -> None:
    """Not the name but the fence decides."""
    want(database, "1")
    old = one(database)
    clock.forward(11)
    new = one(database)
    with database.begin() as tx:
        assert entities.still_held(tx, [old]) == {}
        assert entities.still_held(tx, [new]) != {}


def test_a_renewed_lease_lasts(database: Database, clock: Clock) -> None:
    """Whoever renews keeps it; others' leases are not touched."""
    want(database, "1")
    one(database, "me")
    want(database, "2")
    one(database, "dead")
    clock.forward(8)
    assert database.run(lambda tx: entities.renew(tx, "me", LEASE)) == 1
    clock.forward(8)
    assert names(claim(database, "other")) == ["case-2"]
    assert claim(database, "other") == ()


def test_whose_holder_died_again_is_claimed_apart(database: Database, clock: Clock) -> None:
    """After one death all go on together; what may kill is then taken apart, at last alone."""
    want(database, "1", "2")
    claim(database, "dead")
    clock.forward(11)
    want(database, "3")
    again = claim(database, "dead too")
    assert names(again) == ["case-1", "case-2", "case-3"]
    assert sorted(each.attempts for each in again) == [0, 1, 1]
    clock.forward(11)
    want(database, "4")
    others = claim(database)
    assert names(others) == ["case-3", "case-4"]
    for each in others:
        finish(database, each)
    few = suspects(database)
    assert (names(few), [each.attempts for each in few]) == (["case-1", "case-2"], [2, 2])
    clock.forward(11)
    alone = [suspects(database) for _ in range(3)]
    assert [names(each) for each in alone] == [["case-1"], ["case-2"], []]
    assert alone[0][0].attempts == 3


def test_suspects_come_in_groups_that_shrink(database: Database, clock: Clock) -> None:
    """Many that died twice are a few at a time; near their last attempt each is alone."""
    want(database, *(f"{n:02}" for n in range(40)))
    for _ in range(2):
        assert len(claim(database, "dead", limit=100)) == 40
        clock.forward(11)
    assert len(suspects(database, alone_from=1)) == 1
    assert [len(suspects(database)) for _ in range(4)] == [16, 16, 7, 0]
    clock.forward(11)
    assert [len(suspects(database)) for _ in range(41)] == [1] * 40 + [0]


def test_handed_back_is_due_at_once(database: Database) -> None:
    """A holder that stops in good order costs nobody an attempt."""
    want(database, "1", "2")
    claim(database)
    assert database.run(lambda tx: entities.hand_back(tx, "me")) == 2
    again = claim(database, "other")
    assert [(each.attempts, each.fence) for each in again] == [(0, 2), (0, 2)]


def test_two_claimers_never_share(database: Database) -> None:
    """Many claim at once: each entity goes to one of them, none is left."""
    want(database, *(str(n) for n in range(200)))
    got: dict[str, list[EntityKey]] = {}
    failed: list[BaseException] = []
    start = threading.Barrier(4)

    def run(holder: str) -> None:
        start.wait()
        mine = got.setdefault(holder, [])
        try:
            while found := claim(database, holder, limit=7):
                mine.extend(each.key for each in found)
        except StoreError as exc:
            failed.append(exc)

    threads = [threading.Thread(target=run, args=(f"h{n}",)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failed == []
    everything = [key for mine in got.values() for key in mine]
    with database.read() as tx:
        assert entities.due_count(tx) == 0
    assert len(everything) == len(set(everything)) == 200


def test_a_row_that_another_session_looks_at_is_skipped(postgres_url: str) -> None:
    """On PostgreSQL nobody waits for a lock to claim."""
    with migrated(postgres_url) as database:
        database.run(lambda tx: entities.want(tx, [Want(case_key("1")), Want(case_key("2"))]))
        with database.begin() as tx:
            first = entities.claim(tx, "a", limit=1, lease=LEASE)
            second = claim(database, "b")
        assert names(first + second) == ["case-1", "case-2"]


def test_back_off_is_respected_although_more_comes(database: Database, clock: Clock) -> None:
    """New events do not make an entity due that failed a moment ago; time does."""
    want(database, "1")
    failed = one(database)
    until = clock.now + timedelta(seconds=30)
    database.run(lambda tx: entities.put_off(tx, failed, until=until, error="away", counts=False))
    want(database, "1")
    database.run(lambda tx: entities.nudge(tx, [Nudge(case_key(), "hold")]))
    clock.forward(29.9)
    assert claim(database) == ()
    clock.forward(0.2)
    again = one(database)
    assert (again.wanted, again.attempts, again.failures) == (3, 0, 1)
    finish(database, again)
    want(database, "1")
    assert (one(database).attempts, one_failures(database)) == (0, 0)


def one_failures(database: Database) -> int:
    """Return the failures of the one entity."""
    with database.engine.connect() as connection:
        found = connection.exec_driver_sql("SELECT failures FROM entities").scalar_one()
    return int(found)


def test_an_operator_goes_around_the_back_off(database: Database, clock: Clock) -> None:
    """Revived: due at once, all attempts anew."""
    want(database, "1")
    failed = one(database)
    until = clock.now + timedelta(hours=1)
    database.run(lambda tx: entities.put_off(tx, failed, until=until, error="x", counts=True))
    database.run(lambda tx: entities.revive(tx, [entities.Want(case_key())]))
    again = one(database)
    assert (again.attempts, again.failures) == (0, 0)


def test_attempts_are_counted_when_they_count(database: Database, clock: Clock) -> None:
    """Put off as an attempt, or only as a failure."""
    want(database, "1")
    for counts, attempts in ((True, 1), (False, 1), (True, 2)):
        found = one(database)
        database.run(
            lambda tx, c=found, k=counts: entities.put_off(  # type: ignore[misc]
                tx, c, until=tx.now, error="x", counts=k
            )
        )
        clock.forward(1)
        again = one(database)
        assert again.attempts == attempts
        database.run(lambda tx: entities.hand_back(tx, "me"))


def test_nudges_are_deleted_exactly(database: Database) -> None:
    """Those noted by the claim go, one that came meanwhile stays with its detail."""
    nudge(database, "hold", hold_id="h-1")
    nudge(database, "action", action_id="a-1")
    first = one(database)
    assert [(cause.name, dict(cause.detail)) for cause in first.nudges] == [
        ("hold", {"hold_id": "h-1"}),
        ("action", {"action_id": "a-1"}),
    ]
    nudge(database, "release", hold_id="h-1")
    finish(database, first)
    second = one(database)
    assert [cause.name for cause in second.nudges] == ["release"]
    finish(database, second)
    assert claim(database) == ()


def nudge(database: Database, cause: str, **detail: str) -> None:
    """Nudge the case."""
    database.run(lambda tx: entities.nudge(tx, [Nudge(case_key(), cause, detail)]))


def test_giving_up_keeps_nudges(database: Database, clock: Clock) -> None:
    """Events may become dead letters; a hold is never given up."""
    database.run(lambda tx: events.store(tx, [event("one")]))
    nudge(database, "hold")
    found = one(database)
    until = clock.now + timedelta(seconds=60)
    database.run(lambda tx: entities.give_up(tx, found, error="x", until=until))
    assert claim(database) == ()
    clock.forward(61)
    assert [cause.name for cause in one(database).nudges] == ["hold"]


def test_giving_up_events_alone_is_the_end(database: Database, clock: Clock) -> None:
    """Without a nudge nothing is due until something new comes, which starts afresh."""
    want(database, "1")
    found = one(database)
    database.run(lambda tx: entities.give_up(tx, found, error="x", until=clock.now))
    clock.forward(10_000)
    assert claim(database) == ()
    want(database, "1")
    assert one(database).attempts == 0


def test_what_came_while_it_was_given_up_is_due(database: Database) -> None:
    """Giving up settles what the claim noted and nothing more."""
    want(database, "1")
    found = one(database)
    want(database, "1")
    database.run(lambda tx: entities.give_up(tx, found, error="x", until=tx.now))
    assert one(database).wanted == 2


def test_look_again(database: Database, clock: Clock) -> None:
    """Due again at the moment that was asked for, and only once."""
    want(database, "1")
    finish(database, one(database), look_again_at=clock.now + timedelta(seconds=5))
    clock.forward(4.9)
    assert claim(database) == ()
    clock.forward(0.2)
    finish(database, one(database))
    clock.forward(3600)
    assert claim(database) == ()


def test_something_new_does_not_wait_for_the_look_again(database: Database, clock: Clock) -> None:
    """The earlier of two wishes counts, in whichever order they come."""
    want(database, "1")
    finish(database, one(database), look_again_at=clock.now + timedelta(seconds=60))
    want(database, "1")
    assert one(database).wanted == 3
    database.run(lambda tx: entities.hand_back(tx, "me"))


def test_a_later_wish_does_not_put_an_earlier_one_off(database: Database, clock: Clock) -> None:
    """Due now stays due now although somebody asks for a look in a minute."""
    want(database, "1")
    want(database, "1", after=60)
    assert one(database).wanted == 2


def test_a_late_nudge_is_due_late(database: Database, clock: Clock) -> None:
    """A look that is asked for in five seconds comes in five seconds."""
    late = Nudge(case_key(), "action", after_seconds=5)
    database.run(lambda tx: entities.nudge(tx, [late]))
    assert claim(database) == ()
    clock.forward(5.1)
    assert len(claim(database)) == 1


@pytest.mark.parametrize("late_first", [True, False])
def test_the_earliest_of_many_nudges_counts(database: Database, late_first: bool) -> None:
    """Nudged twice in one transaction, now and later: due now."""
    late, now = Nudge(case_key(), "action", after_seconds=60), Nudge(case_key(), "hold")
    both = [late, now] if late_first else [now, late]
    database.run(lambda tx: entities.nudge(tx, both))
    assert len(one(database).nudges) == 2


def test_what_was_told_stays_known(database: Database) -> None:
    """Organization and number are kept when a later wish does not name them."""
    told = Want(case_key(), organization_id="org", lookup="4711")
    database.run(lambda tx: entities.want(tx, [told]))
    want(database, "1")
    found = one(database)
    assert (found.organization_id, found.lookup) == ("org", "4711")


def test_doubt_is_kept_and_new_events_reset_it(database: Database) -> None:
    """A doubt counts its re-reads; whatever is new deserves all of them."""
    want(database, "1")
    finish(database, one(database), doubt=2, look_again_at=NOON)
    found = one(database)
    assert found.doubt == 2
    finish(database, found, doubt=2, look_again_at=NOON)
    want(database, "1")
    assert one(database).doubt == 0


def test_doubt_does_not_swallow_what_came_meanwhile(database: Database) -> None:
    """An event that came during the look keeps its own re-reads."""
    want(database, "1")
    found = one(database)
    want(database, "1")
    finish(database, found, doubt=3)
    assert one(database).doubt == 0


def test_fetch_numbers_rise(database: Database) -> None:
    """Each number is larger than every one before, whoever takes it."""
    claims = [replace(an_empty_claim(), key=case_key(str(n))) for n in range(5)]
    taken: list[int] = []
    failed: list[BaseException] = []

    def run() -> None:
        try:
            mine: list[int] = []
            for _ in range(10):
                numbered = database.run(lambda tx: entities.number(tx, claims))
                mine += [each.fetch_number for each in numbered]
            assert mine == sorted(mine)
            taken.extend(mine)
        except BaseException as exc:
            failed.append(exc)

    threads = [threading.Thread(target=run) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failed == []
    assert len(taken) == len(set(taken)) == 200
    assert min(taken) > 0
    assert database.run(lambda tx: entities.number(tx, [])) == ()


def an_empty_claim() -> Claim:
    """Make a claim that was never in the database."""
    return Claim(case_key(), None, None, 1, 1, "me", 0, 0, 0)


def test_many_nudge_the_same_in_any_order(database: Database) -> None:
    """Two workers that nudge the same entities in opposite orders never wait in a circle."""
    keys = [case_key(str(n)) for n in range(40)]
    failed: list[BaseException] = []

    def run(found: list[EntityKey]) -> None:
        def nudge_all(tx: Tx) -> None:
            entities.nudge(tx, [Nudge(key, "hold") for key in found])

        try:
            for _ in range(10):
                database.run(nudge_all)
        except BaseException as exc:
            failed.append(exc)

    threads = [
        threading.Thread(target=run, args=(order,)) for order in (keys, keys[::-1], keys[7:])
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failed == []
    assert sum(len(each.nudges) for each in claim(database, limit=100)) == 10 * (40 + 40 + 33)


def test_a_claim_of_a_row_that_is_gone_is_not_held(database: Database) -> None:
    """An entity that somebody deleted is like a lost lease: nothing is written, nobody fails."""
    with database.begin() as tx:
        assert entities.still_held(tx, [an_empty_claim()]) == {}


def test_thousands_of_nudges_at_once(database: Database) -> None:
    """A batch of thousands of invoices is more than one statement takes, and is taken."""
    many = [Nudge(case_key(str(n % 6000)), "batch_item") for n in range(7000)]
    database.run(lambda tx: entities.nudge(tx, many))
    claims = claim(database, limit=10_000)
    assert len(claims) == 6000
    assert sum(each.wanted for each in claims) == 7000


def test_an_entity_with_thousands_of_nudges(database: Database) -> None:
    """However many reasons there are for one look, one look settles them."""
    database.run(lambda tx: entities.nudge(tx, [Nudge(case_key(), "hold")] * 40_000))
    finish(database, one(database))
    assert claim(database) == ()


def test_after_too_many_deaths_a_hold_is_tried_again(database: Database, clock: Clock) -> None:
    """Given up with its attempts used up, what is nudged starts with new attempts."""
    nudge(database, "hold")
    claim(database, "dead")
    for _ in range(8):
        clock.forward(11)
        (found,) = claim(database, "dead") or suspects(database, "dead")
    assert found.attempts == 8
    until = clock.now + timedelta(seconds=60)
    database.run(lambda tx: entities.give_up(tx, found, error="died", until=until))
    clock.forward(61)
    assert one(database).attempts == 0
