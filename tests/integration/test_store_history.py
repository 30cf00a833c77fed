"""The history on PostgreSQL, month by month, and what leaves it on either database."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

import pytest
from alembic import command
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import func, select, text
from sqlalchemy import table as table_named
from sqlalchemy.event import listen

from service.desk.reading import Reading
from service.domain.deliveries import NewEvent, Which
from service.domain.entities import Claims
from service.errors import RecordMissing, StoreContended
from service.store import dead_letters, entities, events, migrating, partitions, retention
from service.store.database import Database, Tx
from service.store.retention import Place
from tests.integration.store_records import (
    LEASE,
    NOON,
    Clock,
    case_key,
    emptied,
    migrated,
    received,
    with_driver,
)

DAY = timedelta(days=1)


@pytest.fixture
def postgres(postgres_url: str, clock: Clock) -> Iterator[Database]:
    """Give a new PostgreSQL database, whose clock is ours."""
    with migrated(postgres_url, clock) as opened:
        yield opened


def store(database: Database, *found: NewEvent) -> None:
    """Store events in a transaction of their own."""
    database.run(lambda tx: events.store(tx, found))


def settle(database: Database, *found: NewEvent) -> None:
    """Settle events by their ids."""
    with database.begin() as tx:
        for each in found:
            events.settle(tx, [row.seq for row in events.by_id(tx, each.event_id)], "applied")


def kept(database: Database) -> set[str]:
    """Name the events that are there, whichever way they are asked for."""
    with database.read() as tx:
        rows = events.listed(tx, limit=1000)
        assert all(len(events.by_id(tx, row.event_id)) == 1 for row in rows)
    return {row.event_id for row in rows}


def rows_of(database: Database, table: str) -> int:
    """Count the rows of one partition."""
    with database.engine.connect() as connection:
        asked = select(func.count()).select_from(table_named(table))
        return int(connection.execute(asked).scalar_one())


def retire(database: Database, before: datetime, limit: int = retention.TOGETHER) -> None:
    """Take every step of retention, as a sweeper does."""
    with database.read() as tx:
        months = retention.old_months(tx, before)
    for each in months:
        database.run(partial(retention.remove_month, month=each, before=before))
    place = Place()
    while not place.is_end:
        step = partial(retention.remove, before=before, place=place, limit=limit)
        _, place = database.run(step)


def month(number: int, year: int = 2026) -> datetime:
    """Name a month."""
    return datetime(year, number, 1, tzinfo=UTC)


# --- the migration ---------------------------------------------------------------


def older(url: str) -> Database:
    """Open a database with the schema before the history was parted."""
    database = Database(with_driver(url), pool=2)
    with database.engine.begin() as connection:
        made = migrating.config()
        made.attributes["connection"] = connection
        command.upgrade(made, "0005")
    return database


def old_row(number: int, at: datetime, state: str) -> dict[str, object]:
    """Make a row of the events before."""
    return {
        "digest": bytes([number] * 32),
        "event_id": f"id-{number}",
        "label": "CASE_UPDATED",
        "entity": "case:case-1",
        "at": at,
        "body": b"\x00\xff",
        "hint": f'{{"status": "S{number}", "type": null, "invoices": null}}',
        "state": state,
    }


INSERT = """
INSERT INTO events (digest, event_id, type, label, entity, received_at, body, hint, is_variant,
    state, attempts)
VALUES (:digest, :event_id, :label, :label, :entity, :at, :body, :hint, false, :state, 0)
"""
ENTITY = """
INSERT INTO entities (entity, kind, wanted, done, due_at, attempts, failures, doubt, fence)
VALUES ('case:case-1', 'case', 3, 1, :at, 0, 0, 0, 0)
"""


def test_a_history_of_several_months_is_parted(database_url: str) -> None:
    """Each row is there as it was, in the same order; the claim goes on, and so do the numbers."""
    database = older(database_url)
    moments = [NOON - timedelta(days=days) for days in (90, 60, 59, 30, 1, 0)]
    states = ["settled", "settled", "dead", "settled", "retrying", "received"]
    with database.engine.begin() as connection:
        zone = None if database.is_sqlite else UTC
        for number, (at, state) in enumerate(zip(moments, states, strict=True), start=1):
            row = old_row(number, at.replace(tzinfo=zone), state)
            connection.execute(text(INSERT), row)
        connection.execute(text(ENTITY), {"at": NOON.replace(tzinfo=zone)})
    migrating.upgrade(database)
    store(database, received("new", NOON + DAY))
    with database.read() as tx:
        rows = list(reversed(events.listed(tx)))
        bodies = events.deliveries_of(tx, "id-3")
        dead = events.dead_count(tx)
        parted = partitions.known(tx)
    (claim,) = database.run(lambda tx: entities.claim(tx, "me", limit=5, lease=LEASE))
    database.close()
    assert [row.seq for row in rows] == [1, 2, 3, 4, 5, 6, 7]
    assert [row.received_at for row in rows] == [*moments, NOON + DAY]
    assert [row.state for row in rows] == [*states, "received"]
    assert bodies[0][1].body == b"\x00\xff"
    assert dead == 1
    assert [cause.row for cause in claim.events] == [5, 6, 7]
    present = {month(number) for number in (1, 3, 4, 5)}
    assert database.is_sqlite or {each for each in parted if each <= month(5)} == present


def test_the_newest_claim_is_taken_over(database_url: str) -> None:
    """What the newest payload claimed before the migration is what a claim tells after it."""
    database = older(database_url)
    zone = None if database.is_sqlite else UTC
    with database.engine.begin() as connection:
        for number in (1, 2, 3):
            at = (NOON - number * DAY).replace(tzinfo=zone)
            connection.execute(text(INSERT), old_row(number, at, "settled"))
        connection.execute(text(ENTITY), {"at": NOON.replace(tzinfo=zone)})
    migrating.upgrade(database)
    (claim,) = database.run(lambda tx: entities.claim(tx, "me", limit=5, lease=LEASE))
    database.close()
    assert claim.newest == Claims("S3")


def test_odd_times_do_not_stop_the_migration(postgres_url: str) -> None:
    """Rows of clocks that were wrong by a century get no month of their own, and are kept."""
    database = older(postgres_url)
    with database.engine.begin() as connection:
        for number, year in ((1, 1970), (2, 2200)):
            at = datetime(year, 1, 1, tzinfo=UTC)
            connection.execute(text(INSERT), old_row(number, at, "received"))
    migrating.upgrade(database)
    assert rows_of(database, partitions.DEFAULT) == 2
    with database.read() as tx:
        assert len(partitions.known(tx)) == 1 + partitions.AHEAD
    database.close()


# --- months --------------------------------------------------------------------


def test_a_row_of_no_month_is_worked_on_like_any_other(postgres: Database) -> None:
    """It stands in the default: claimed, settled, found by its id, known as a duplicate."""
    odd = received("odd", datetime(2199, 1, 1, tzinfo=UTC))
    store(postgres, odd)
    assert rows_of(postgres, partitions.DEFAULT) == 1
    (claim,) = postgres.run(lambda tx: entities.claim(tx, "me", limit=5, lease=LEASE))
    assert [cause.event_id for cause in claim.events] == [odd.event_id]
    settle(postgres, odd)
    again = postgres.run(lambda tx: events.store(tx, [odd]))
    assert again.settled == {odd.delivery.digest}
    assert kept(postgres) == {odd.event_id}


def test_a_month_is_made_with_what_the_default_has_of_it(postgres: Database, clock: Clock) -> None:
    """Rows that came before their month was made move into it; the others stay; all are open."""
    clock.now = datetime(2031, 12, 20, tzinfo=UTC)
    first, last = month(1, 2032), month(2, 2032) - timedelta(microseconds=1)
    inside = [received(f"in {n}", at) for n, at in enumerate((first, last))]
    store(postgres, *inside, received("outside", month(2, 2032) + 99 * DAY))
    with postgres.read() as tx:
        lacking = partitions.lacking(tx)
    assert lacking == [month(12, 2031), month(1, 2032), month(2, 2032)]
    assert all(postgres.run(partial(partitions.make, month=each)) for each in lacking)
    assert postgres.run(lambda tx: partitions.make(tx, lacking[0]))  # harmless
    assert rows_of(postgres, "events_2032_01") == 2
    assert rows_of(postgres, partitions.DEFAULT) == 1
    assert len(kept(postgres)) == 3
    with postgres.read() as tx:
        assert partitions.lacking(tx) == []
        assert [row.event_id for row in events.by_id(tx, inside[0].event_id)] != []


def test_a_month_of_which_the_default_has_too_much_is_left(
    postgres: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing moves for minutes under a lock: the rows stay in the default, where they work."""
    monkeypatch.setattr(partitions, "MOST_MOVED", 1)
    store(postgres, *(received(f"{n}", month(1, 2032)) for n in range(3)))
    assert not postgres.run(lambda tx: partitions.make(tx, month(1, 2032)))
    assert rows_of(postgres, partitions.DEFAULT) == 3
    assert len(kept(postgres)) == 3


def test_who_reads_long_holds_up_no_month_for_long(postgres: Database) -> None:
    """A backup may read for hours: the step gives up soon, and nothing has changed."""
    store(postgres, received("old", month(1, 2031)))
    postgres.run(lambda tx: partitions.make(tx, month(1, 2031)))
    settle(postgres, received("old", month(1, 2031)))
    with postgres.engine.connect() as reader:
        reader.execute(text("SELECT count(*) FROM events"))
        with pytest.raises(StoreContended):
            postgres.run(
                lambda tx: retention.remove_month(tx, month(1, 2031), month(2, 2031)), tries=1
            )
    assert len(kept(postgres)) == 1
    assert postgres.run(lambda tx: retention.remove_month(tx, month(1, 2031), month(2, 2031)))
    assert kept(postgres) == set()


def test_a_month_with_a_debt_is_not_removed(postgres: Database) -> None:
    """Not the month, but what is settled in it; the month goes when the debt is settled."""
    at = month(1, 2031) + DAY
    postgres.run(lambda tx: partitions.make(tx, month(1, 2031)))
    done, debt = received("done", at), received("debt", at)
    store(postgres, done, debt)
    settle(postgres, done)
    retire(postgres, month(2, 2031))
    assert kept(postgres) == {debt.event_id}
    with postgres.read() as tx:
        assert month(1, 2031) in partitions.known(tx)
    settle(postgres, debt)
    retire(postgres, month(2, 2031))
    with postgres.read() as tx:
        assert month(1, 2031) not in partitions.known(tx)
    assert kept(postgres) == set()
    store(postgres, received("late", at))  # a month that was removed refuses nothing
    assert rows_of(postgres, partitions.DEFAULT) == 1


def test_a_replay_at_the_same_moment_keeps_the_month(postgres: Database) -> None:
    """What an operator makes wait again while the month is about to go, stays."""
    postgres.run(lambda tx: partitions.make(tx, month(1, 2031)))
    one = received("one", month(1, 2031) + DAY)
    store(postgres, one)
    settle(postgres, one)
    gone: list[bool] = []

    def take() -> None:
        gone.append(
            postgres.run(
                lambda tx: retention.remove_month(tx, month(1, 2031), month(2, 2031)), tries=20
            )
        )

    thread = threading.Thread(target=take)
    with postgres.begin() as tx:
        (row,) = events.by_id(tx, one.event_id)
        events.revive(tx, [(row.seq, one)])
        thread.start()
        waiting = "SELECT 1 FROM pg_locks WHERE NOT granted AND mode = 'AccessExclusiveLock'"
        while not tx.connection.execute(text(waiting)).first():
            pass
    thread.join()
    assert gone == [False]
    assert kept(postgres) == {one.event_id}


# --- retention -------------------------------------------------------------------


@pytest.fixture
def database(shared_url: str, clock: Clock) -> Iterator[Database]:
    """Give an empty database whose clock is ours."""
    with emptied(shared_url, clock) as opened:
        yield opened


def test_a_duplicate_of_what_is_gone_is_a_duplicate(database: Database) -> None:
    """Its key stays: the same body again is nothing new, and was settled."""
    one = received("one", NOON - 9 * DAY)
    store(database, one)
    settle(database, one)
    retire(database, NOON)
    assert kept(database) == set()
    again = database.run(lambda tx: events.store(tx, [one]))
    assert again.new == ()
    assert again.settled == {one.delivery.digest}
    assert kept(database) == set()


def test_who_asks_for_what_is_gone_is_told(database: Database) -> None:
    """Not only that there is none, but since when there can be; nothing is said before."""
    one = received("one", NOON - 9 * DAY)
    reading = Reading(database)
    with pytest.raises(RecordMissing) as before:
        reading.event(one.event_id)
    store(database, one)
    settle(database, one)
    retire(database, NOON)
    with pytest.raises(RecordMissing) as after:
        reading.event(one.event_id)
    assert str(before.value) == "There is no event with this id."
    assert str(after.value).endswith("received before 2026-05-01 12:00 UTC were removed.")


def test_a_variant_of_what_is_gone_is_shown(database: Database) -> None:
    """The other body under the same id is shown alone, as the variant that it is."""
    first = received("a", NOON - 9 * DAY, event_id="same")
    second = received("b", NOON - DAY, event_id="same")
    store(database, first)
    store(database, second)
    with database.begin() as tx:
        events.settle(tx, [row.seq for row in events.by_id(tx, "same")], "applied")
    retire(database, NOON - 2 * DAY)
    shown = Reading(database).event("same")
    assert (shown["isVariant"], shown["variants"]) == (True, [])


def test_an_interrupted_pass_goes_on(database: Database) -> None:
    """A crash between or in the middle of steps loses nothing else, and nothing is done twice."""
    found = [received(f"{n}", NOON - (n + 1) * DAY) for n in range(20)]
    store(database, *found)
    settle(database, *found[5:])
    with pytest.raises(ZeroDivisionError):
        database.run(lambda tx: retention.remove(tx, NOON, Place(), limit=7)[0] / 0)
    assert len(kept(database)) == 20
    database.run(lambda tx: retention.remove(tx, NOON, Place(), limit=7))
    retire(database, NOON, limit=3)  # another sweeper begins anew
    assert kept(database) == {each.event_id for each in found[:5]}


def test_only_what_was_known_lately_is_a_variant(database: Database) -> None:
    """An id that comes again soon is flagged; after a long time it is shown under the id only."""
    soon, late = (
        received(name, NOON + days, event_id="same")
        for name, days in (("soon", 9 * DAY), ("late", 99 * DAY))
    )
    for each in (received("first", NOON, event_id="same"), soon, late):
        store(database, each)
    with database.read() as tx:
        flags = [row.is_variant for row in events.by_id(tx, "same")]
    assert flags == [False, True, False]
    assert len(Reading(database).event("same")["variants"]) == 2


STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("store"), st.integers(0, 11), st.integers(0, 120)),
        st.tuples(st.sampled_from(["settle", "kill", "replay"]), st.integers(0, 11), st.just(0)),
        st.tuples(st.just("retain"), st.integers(1, 100), st.integers(1, 4)),
    ),
    max_size=25,
)


@given(steps=STEPS)
@settings(
    max_examples=40,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
def test_exactly_what_is_old_and_settled_leaves(
    shared_url: str, steps: list[tuple[str, int, int]]
) -> None:
    """After any steps: no debt is gone, nothing settled and old is left, duplicates are known."""
    with emptied(shared_url, Clock()) as database:
        if not database.is_sqlite:
            for number in (2, 3, 4):  # January is left to the default
                make_missing(database, month(number))
        model: dict[int, NewEvent] = {}
        states: dict[int, str] = {}
        for what, number, more in steps:
            STEP[what](database, model, states, number, more)
            expected = {model[n].event_id for n, state in states.items() if state != "gone"}
            assert kept(database) == expected
        again = database.run(lambda tx: events.store(tx, list(model.values())))
        assert again.new == ()
        settled = {n for n, state in states.items() if state in ("settled", "gone")}
        assert again.settled == {model[n].delivery.digest for n in settled}
        with database.read() as tx:
            dead = {row.event_id for row in events.listed(tx, Which(state="dead"), limit=100)}
            count, _ = dead_letters.count(tx, Which())
        assert dead == {model[n].event_id for n, state in states.items() if state == "dead"}
        assert count == len(dead)


def make_missing(database: Database, each: datetime) -> None:
    """Make a month that may have been removed."""
    database.run(lambda tx: partitions.make(tx, each))


Model = dict[int, NewEvent]
States = dict[int, str]


def a_store(database: Database, model: Model, states: States, number: int, days: int) -> None:
    """Store an event, or the same body again."""
    model.setdefault(number, received(f"body {number}", NOON - days * DAY))
    store(database, model[number])
    states.setdefault(number, "open")


def a_settle(database: Database, model: Model, states: States, number: int, _: int) -> None:
    """Settle an event that is there."""
    if states.get(number) in ("open", "dead"):
        settle(database, model[number])
        states[number] = "settled"


def a_kill(database: Database, model: Model, states: States, number: int, _: int) -> None:
    """Give an event up."""
    if states.get(number) == "open":
        with database.begin() as tx:
            seqs = [row.seq for row in events.by_id(tx, model[number].event_id)]
            events.postpone(tx, seqs, "broken", counts=True, dead=True)
        states[number] = "dead"


def a_replay(database: Database, model: Model, states: States, number: int, _: int) -> None:
    """Have an event worked on again."""
    if states.get(number) in ("settled", "dead"):
        with database.begin() as tx:
            again = [(row.seq, model[number]) for row in events.by_id(tx, model[number].event_id)]
            events.revive(tx, again)
        states[number] = "open"


def a_retain(database: Database, model: Model, states: States, days: int, limit: int) -> None:
    """Take all steps of retention, a few events at a time."""
    before = NOON - days * DAY
    retire(database, before, limit)
    for number, state in states.items():
        if state == "settled" and model[number].delivery.received_at < before:
            states[number] = "gone"


STEP: dict[str, Callable[[Database, Model, States, int, int], None]] = {
    "store": a_store,
    "settle": a_settle,
    "kill": a_kill,
    "replay": a_replay,
    "retain": a_retain,
}


# --- indexes ---------------------------------------------------------------------


QUESTIONS: dict[str, tuple[Callable[[Tx], object], str]] = {
    "dead_count": (events.dead_count, "ix_events_open "),
    "dead_of": (lambda tx: events.dead_of(tx, [case_key()]), "ix_events_unsettled "),
    "listed dead": (lambda tx: events.listed(tx, Which(state="dead")), "ix_events_open "),
    "listed by error": (lambda tx: events.listed(tx, Which(error="404")), "ix_events_open"),
    "listed by type": (lambda tx: events.listed(tx, Which(type="ODD")), "ix_events_label "),
    "newest": (lambda tx: events.newest_by_label(tx, ["other"]), "ix_events_label "),
    "duplicates": (lambda tx: events.settled_among(tx, [b"x" * 32]), "ix_events_label "),
    "retention": (lambda tx: retention.remove(tx, NOON, Place()), "ix_events_label "),
    "dead letters": (
        lambda tx: dead_letters.take(tx, Which(), after=7, until=9, limit=5),
        "ix_events_open ",
    ),
}


@pytest.mark.parametrize("name", QUESTIONS)
def test_sqlite_is_asked_in_words_that_find_an_index(sqlite_url: str, name: str) -> None:
    """What is asked again and again never reads the whole history (PostgreSQL: `make bench`)."""
    ask, index = QUESTIONS[name]
    asked: list[tuple[str, Any]] = []

    def keep(_: Any, __: Any, statement: str, parameters: Any, *___: Any) -> None:
        asked.append((statement, parameters))

    with migrated(sqlite_url) as database:
        listen(database.engine, "before_cursor_execute", keep)
        with database.read() as tx:
            ask(tx)
        plans = [plan_of(database, *each) for each in tuple(asked) if "events" in each[0]]
    assert plans
    assert index in plans[0] + " "


def plan_of(database: Database, statement: str, parameters: Any) -> str:
    """Ask how a statement would be answered."""
    with database.engine.connect() as connection:
        steps = connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}", parameters)
        return " ".join(str(step[3]) for step in steps)
