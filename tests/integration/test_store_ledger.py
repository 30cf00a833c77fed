"""Holds, ledger, leases, decisions and spool: what the database itself keeps true."""

from __future__ import annotations

import threading
from dataclasses import replace
from datetime import timedelta
from uuid import uuid4

import pytest

from service.domain.actions import LEVEL, OPEN, ActionState
from service.domain.decisions import Decision
from service.domain.deliveries import Delivery, digest_of
from service.domain.entities import Read
from service.domain.holds import Hold
from service.errors import StoreError, StoreRefused
from service.store import cases, decisions, holds, leases, ledger, spool
from service.store.database import Database, Tx
from tests.integration.store_records import (
    LEASE,
    NOON,
    Clock,
    action,
    case,
    case_key,
    migrated,
    save_case,
)


def hold(key: str | None = None, *, case_id: str = "case-1", seconds: float | None = None) -> Hold:
    """Make a hold."""
    until = None if seconds is None else NOON + timedelta(seconds=seconds)
    return Hold(str(uuid4()), case_id, "dispute", "api", NOON, until=until, key=key)


class TestHolds:
    def test_the_same_key_places_it_once(self, database: Database) -> None:
        """However often, and after it was released too: the first hold is what comes back."""
        first = hold("k")
        with database.begin() as tx:
            assert holds.place(tx, first) == first
            assert holds.place(tx, hold("k")) == first
            holds.release(tx, [first.hold_id], "released")
            again = holds.place(tx, hold("k"))
            assert (again.hold_id, again.released_by) == (first.hold_id, "released")
            assert len(holds.of_cases(tx, ["case-1"])["case-1"]) == 1

    def test_keys_are_the_cases_own(self, database: Database) -> None:
        """The same key on another case is another hold, and no key is never the same."""
        with database.begin() as tx:
            for each in (hold("k"), hold("k", case_id="case-2"), hold(), hold()):
                assert holds.place(tx, each) == each
            assert len(holds.listed(tx)) == 4

    def test_the_same_key_at_once(self, database: Database) -> None:
        """Placed by many at the same moment: one row, and everybody gets it."""
        placed: list[str] = []
        failed: list[BaseException] = []

        def run() -> None:
            try:
                placed.append(database.run(lambda tx: holds.place(tx, hold("k"))).hold_id)
            except BaseException as exc:
                failed.append(exc)

        threads = [threading.Thread(target=run) for _ in range(6)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert failed == []
        assert len(placed) == 6
        assert len(set(placed)) == 1

    def test_released_once(self, database: Database) -> None:
        """The first release tells when and by whom; a second changes nothing."""
        one = hold()
        with database.begin() as tx:
            holds.place(tx, one)
            assert holds.release(tx, [one.hold_id], "released") == [one.hold_id]
            assert holds.release(tx, [one.hold_id], "case_closed") == []
            kept = holds.get(tx, one.hold_id)
        assert kept is not None
        assert (kept.released_by, kept.released_at) == ("released", NOON)

    def test_released_by_the_thousand(self, database: Database) -> None:
        """Cases that end together may have had more holds than one statement can name."""
        one = hold()
        with database.begin() as tx:
            holds.place(tx, one)
            others = [f"none-{n}" for n in range(70_000)]
            assert holds.release(tx, [*others, one.hold_id], "case_closed") == [one.hold_id]

    def test_expired(self, database: Database, clock: Clock) -> None:
        """Due from `until` on, until somebody ends it; not counted as in force meanwhile."""
        short, long = hold(seconds=5), hold(seconds=500)
        database.run(lambda tx: [holds.place(tx, each) for each in (short, long, hold())])
        with database.read() as tx:
            assert holds.expired(tx) == []
            assert holds.counts(tx) == {"dispute": 3}
        clock.forward(5)
        with database.begin() as tx:
            assert [each.hold_id for each in holds.expired(tx)] == [short.hold_id]
            assert holds.counts(tx) == {"dispute": 2}
            assert short.hold_id not in {each.hold_id for each in holds.listed(tx)}
            holds.release(tx, [short.hold_id], "expired")
            assert holds.expired(tx) == []

    def test_reasons_of_strangers_are_counted_as_other(self, database: Database) -> None:
        """Metrics have a small closed set of labels; the row keeps the word."""
        with database.begin() as tx:
            for reason in ("dispute", "zzz", "yyy"):
                holds.place(tx, replace(hold(), reason=reason))
            assert holds.counts(tx) == {"dispute": 1, "other": 2}
            assert {each.reason for each in holds.listed(tx)} == {"dispute", "zzz", "yyy"}

    @pytest.mark.parametrize(
        ("status", "is_over", "count"),
        [("OPEN", False, 1), (None, False, 1), ("PAUSED", False, 0), ("OPEN", True, 0)],
    )
    def test_what_is_held_and_runs(
        self, database: Database, status: str | None, is_over: bool, count: int
    ) -> None:
        """Once for each case, however many hold it; one that is over, or is as asked, is not."""
        with database.begin() as tx:
            read = Read(1, NOON)
            for name in ("1", "2"):
                shown = replace(case(name), status=status)
                save_case(tx, shown, read, is_over=is_over)
            placed = [holds.place(tx, hold()).hold_id for _ in range(2)]
            assert cases.held_unpaused(tx) == count
            adrift = {row.case_id for row in cases.listed(tx, cases.Wanted(adrift=True))}
            both = {("case-1", bool(count)), ("case-2", status == "PAUSED")}
            assert adrift == {name for name, is_so in both if is_so}
            holds.release(tx, placed, "released")
            assert cases.held_unpaused(tx) == 0


class TestLedger:
    def test_one_for_each_cause_kind_and_case(self, database: Database) -> None:
        """The database refuses a second action of the same level, final or not."""
        first = action()
        database.run(lambda tx: ledger.plan(tx, first))
        final = replace(first, state=ActionState.CONFIRMED)
        database.run(lambda tx: ledger.save(tx, [final]))
        with pytest.raises(StoreRefused):
            database.run(lambda tx: ledger.plan(tx, action()))
        database.run(lambda tx: ledger.plan(tx, action(case_id="case-2")))
        database.run(lambda tx: ledger.plan(tx, action(level=2)))

    @pytest.mark.parametrize("state", sorted(OPEN))
    def test_one_open(self, database: Database, state: ActionState) -> None:
        """While one is planned, sent, answered or uncertain the database refuses another."""
        first = action()
        database.run(lambda tx: ledger.plan(tx, first))
        database.run(lambda tx: ledger.save(tx, [replace(first, state=state)]))
        for kind in sorted(LEVEL):
            with pytest.raises(StoreRefused):
                database.run(
                    lambda tx, k=kind: ledger.plan(tx, action(level=2, kind=k))  # type: ignore[misc]
                )

    @pytest.mark.parametrize("state", sorted(set(ActionState) - OPEN))
    def test_final_stands_in_nobodys_way(self, database: Database, state: ActionState) -> None:
        """After a final one the next level plans its own."""
        first = action()
        database.run(lambda tx: ledger.plan(tx, first))
        database.run(lambda tx: ledger.save(tx, [replace(first, state=state)]))
        database.run(lambda tx: ledger.plan(tx, action(level=2)))
        with database.read() as tx:
            kept = ledger.of_cases(tx, ["case-1"])["case-1"]
        assert [each.cause for each in kept] == ["level:1", "level:2"]

    def test_it_comes_back_as_it_was(self, database: Database) -> None:
        """Every member of an action survives the row."""
        full = replace(
            action(),
            state=ActionState.UNCERTAIN,
            attempts=3,
            sent_at=NOON,
            ended_at=NOON + timedelta(microseconds=1),
            closed_at=NOON,
            is_ours=False,
            not_before=NOON,
            error="e",
        )
        with database.begin() as tx:
            ledger.plan(tx, full)
            assert ledger.get(tx, full.action_id) == full
            assert ledger.get(tx, "none") is None

    def test_due(self, database: Database, clock: Clock) -> None:
        """Planned and not before its time."""
        later = replace(action(), not_before=NOON + timedelta(seconds=5))
        now = action(case_id="case-2")
        for each in (later, now):
            database.run(lambda tx, a=each: ledger.plan(tx, a))  # type: ignore[misc]
        with database.read() as tx:
            assert ledger.due(tx, LEVEL, 10) == [(now.action_id, now.kind, "case-2")]
        clock.forward(5)
        with database.read() as tx:
            assert len(ledger.due(tx, LEVEL, 10)) == ledger.due_count(tx) == 2
            assert ledger.open_counts(tx) == {("pauseCase", "planned"): 2}

    def test_a_call_whose_maker_is_gone_is_found(self, database: Database, clock: Clock) -> None:
        """`sent` with a lease that ended; one that is renewed is not."""
        one, two = action(), action(case_id="case-2")
        for each, holder in ((one, "dead"), (two, "alive")):
            sent = replace(each, state=ActionState.SENT, attempts=1, sent_at=NOON)
            with database.begin() as tx:
                ledger.plan(tx, each)
                ledger.send(tx, sent, holder, LEASE)
                assert ledger.holder_of(tx, each.action_id) == holder
        clock.forward(9)
        database.run(lambda tx: ledger.renew(tx, "alive", LEASE))
        clock.forward(1)
        with database.begin() as tx:
            assert ledger.abandoned(tx) == [(one.action_id, one.kind, "case-1")]
            assert ledger.due(tx, LEVEL, 10) == []
            ledger.save(tx, [replace(one, state=ActionState.UNCERTAIN)])
            assert ledger.holder_of(tx, one.action_id) is None
            assert ledger.abandoned(tx) == []


class TestLeases:
    def test_one_holder_at_a_time(self, database: Database, clock: Clock) -> None:
        """Others wait until it ends; whoever renews keeps it."""

        def hold_it(holder: str) -> bool:
            return database.run(lambda tx: leases.hold(tx, "sweeper", holder, LEASE))

        assert hold_it("a")
        assert not hold_it("b")
        clock.forward(9)
        assert hold_it("a")
        clock.forward(9)
        assert not hold_it("b")
        clock.forward(1)
        assert hold_it("b")
        assert not hold_it("a")

    def test_let_go(self, database: Database) -> None:
        """Given back, it is anybody's at once; nobody gives away what is not theirs."""
        with database.begin() as tx:
            assert leases.hold(tx, "sweeper", "a", LEASE)
            leases.let_go(tx, "sweeper", "b")
            assert not leases.hold(tx, "sweeper", "b", LEASE)
            assert leases.hold(tx, "other", "b", LEASE)
            leases.let_go(tx, "sweeper", "a")
            assert leases.hold(tx, "sweeper", "b", LEASE)

    def test_taken_at_once_by_one(self, database: Database) -> None:
        """Of many that ask in the same moment exactly one gets it."""
        won: list[bool] = []
        failed: list[BaseException] = []
        start = threading.Barrier(6)

        def run(holder: str) -> None:
            start.wait()
            try:
                won.append(database.run(lambda tx: leases.hold(tx, "sweeper", holder, LEASE)))
            except StoreError as exc:
                failed.append(exc)

        threads = [threading.Thread(target=run, args=(str(n),)) for n in range(6)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert failed == []
        assert sorted(won) == [False] * 5 + [True]


def test_the_same_decision_is_one_row(database: Database) -> None:
    """The same conclusion from the same facts is told once; other facts are another."""
    one = Decision(case_key(), "level", "paused", "Level 1.", {"b": 2, "a": 1})
    same = replace(one, facts={"a": 1, "b": 2})
    other = replace(one, facts={"a": 2})
    with database.begin() as tx:
        assert decisions.save(tx, [(each, 1) for each in (one, same, other)]) == [one, other]
    with database.begin() as tx:
        assert decisions.save(tx, [(same, 2)]) == []
        rows = decisions.of_entity(tx, case_key())
    assert [(row.outcome, row.fetch_number) for row in rows] == [("paused", 1), ("paused", 1)]


class TestSpool:
    def put(self, database: Database, count: int) -> list[Delivery]:
        """Spool some deliveries."""
        made = []
        for n in range(count):
            body = f"body \0 {n} \xff".encode("latin-1")
            made.append(Delivery(digest_of(body), body, {"idempotencykey": f"k{n}"}, NOON))
        database.run(lambda tx: spool.add(tx, made))
        return made

    def test_taken_in_order_and_removed(self, database: Database) -> None:
        """What goes in comes out, byte for byte, the oldest first, until it is removed."""
        put = self.put(database, 5)
        with database.begin() as tx:
            taken = spool.take(tx, 3)
            assert [delivery for _, delivery in taken] == put[:3]
            spool.remove(tx, [row for row, _ in taken])
            assert spool.count(tx) == 2

    def test_what_is_not_committed_is_not_lost(self, database: Database) -> None:
        """A drain that fails after taking leaves everything where it was."""
        put = self.put(database, 2)

        class Crash(Exception):
            """Ends the transaction."""

        def drain(tx: Tx) -> None:
            spool.remove(tx, [row for row, _ in spool.take(tx, 10)])
            raise Crash

        with pytest.raises(Crash):
            database.run(drain)
        with database.begin() as tx:
            assert [delivery for _, delivery in spool.take(tx, 10)] == put

    def test_two_drains_share(self, postgres_url: str) -> None:
        """On PostgreSQL a second drain takes what the first one does not have."""
        with migrated(postgres_url) as database:
            self.put(database, 4)
            with database.begin() as first, database.begin() as second:
                mine = [row for row, _ in spool.take(first, 3)]
                others = [row for row, _ in spool.take(second, 3)]
            assert len(mine) == 3
            assert len(others) == 1
            assert not set(mine) & set(others)
