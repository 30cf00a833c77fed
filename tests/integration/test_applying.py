"""Applying what was fetched: one transaction for many entities, each with its own fate."""

from __future__ import annotations

import json
import random
import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import text
from sqlalchemy.exc import OperationalError

from service.amili.contract import Contract
from service.amili.resources import Batch, Case, Fetched, Invoice, Settlement
from service.desk.reading import Reading
from service.domain.actions import ActionKind, ActionState
from service.domain.entities import Claim, Claims, EntityKey, Kind, Nudge, Read
from service.domain.holds import Hold
from service.domain.pausing import Rules
from service.errors import (
    AmiliEventsError,
    Invalid,
    NotFound,
    NotShown,
    NotYet,
    ProviderBusy,
    ProviderDenied,
    ProviderUnreachable,
    WorkerDied,
)
from service.inbox.stream import Stream
from service.policies import POLICIES
from service.policies.situations import CaseSituation, Policy, Wishes
from service.queue import Bells
from service.redis import connect
from service.settings import Settings
from service.store import batches, cases, decisions, entities, events, holds, invoices, ledger
from service.store.database import Database, Tx
from service.telemetry.metrics import Metrics
from tests.integration.store_records import LEASE, Clock, case_key, emptied, event
from workers.applying import apply
from workers.looking import apply_apart
from workers.outcomes import Outcome
from workers.parts import Parts, new_holder
from workers.work import Result

ORG = "org-1"
#: Seconds within which «there is none» proves nothing: three read lags.
LAGS = 30.0


@dataclass
class House:
    """The parts of a worker, and its clock."""

    parts: Parts
    clock: Clock

    @property
    def database(self) -> Database:
        """The store."""
        return self.parts.database

    def tell(
        self, *bodies: str, key: EntityKey | None = None, claims: Claims | None = None
    ) -> None:
        """Store events of one entity."""
        number = None if key is not None else "number-1"
        found = [event(body, key=key, claims=claims, lookup=number) for body in bodies]
        self.database.run(lambda tx: events.store(tx, found))

    def claim(self) -> tuple[Claim, ...]:
        """Claim what is due, with fetch numbers."""
        parts = self.parts
        claims = parts.database.run(
            lambda tx: entities.claim(tx, parts.holder, limit=100, lease=LEASE)
        )
        return parts.database.run(lambda tx: entities.number(tx, claims))

    def apply(self, *results: Result) -> Outcome:
        """Apply results."""
        return apply(self.parts, results)

    def look(self, **shown: Any) -> Outcome:
        """Claim and apply the only due entity, a case, as Amili shows it now."""
        (claim,) = self.claim()
        return self.apply(self.result(claim, case_of(**shown)))

    def result(self, claim: Claim, found: Any) -> Result:
        """Make the result of a fetch that began just now."""
        read = Read(claim.fetch_number, self.clock.now)
        if isinstance(found, Exception):
            return Result(claim, read, error=found)
        return Result(claim, read, Fetched(found, "{}"))

    def hold(self) -> None:
        """Place a hold by hand, with its nudge."""

        def run(tx: Tx) -> None:
            cases.lock(tx, ["case-1"])
            holds.place(tx, Hold(str(uuid4()), "case-1", "dispute", "api", tx.now))
            entities.nudge(tx, [Nudge(case_key(), "hold")])

        self.database.run(run)

    def due(self) -> int:
        """Count what is due now."""
        with self.database.read() as tx:
            return entities.due_count(tx)

    def states(self) -> list[str]:
        """Return the states of all events, oldest first."""
        with self.database.read() as tx:
            return [str(row.state) for row in reversed(events.listed(tx, limit=500))]


@pytest.fixture
def house(shared_url: str, redis_url: str, tmp_path: Path) -> Iterator[House]:
    """Give a worker's parts on real servers, with a clock moved by hand."""
    clock, client = Clock(), connect(redis_url)
    with emptied(shared_url, clock) as database:
        yield House(
            Parts(
                settings=Settings(data_dir=tmp_path, max_attempts=3),
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
            ),
            clock,
        )
    client.connection_pool.disconnect()


def case_of(
    name: str = "1", *, status: str = "OPEN", closed: bool = False, remaining: str = "100.00"
) -> Case:
    """Make a case as it is read at Amili."""
    return Case.model_validate(
        {
            "caseId": f"case-{name}",
            "caseNumber": f"number-{name}",
            "organizationId": ORG,
            "status": status,
            "type": "COLLECTION_NOTICE",
            "closedAt": "2026-04-01T00:00:00Z" if closed else None,
            "invoices": [invoice_json(f"i-{name}", remaining)],
        }
    )


def invoice_json(name: str, remaining: str) -> dict[str, str]:
    """Make an invoice inside a case."""
    return {"invoiceId": name, "invoiceNumber": f"nr {name}", "remainingAmount": remaining}


def batch_of(*failed: dict[str, Any], succeeded: int = 0, organization: str = ORG) -> Batch:
    """Make a batch as it is read at Amili."""
    return Batch.model_validate(
        {
            "batchId": "b-1",
            "status": "PARTIAL",
            "organizationId": organization,
            "succeeded": [{"invoiceId": f"new-{n}"} for n in range(succeeded)],
            "failed": list(failed),
        }
    )


BATCH = EntityKey(Kind.BATCH, "b-1")


def test_one_look_settles_every_event(house: House) -> None:
    """All that waits for a case is settled by one look, and nothing is due after it."""
    house.tell("one", "two", "three")
    outcome = house.look()
    assert len(outcome.settled) == 3
    assert house.states() == ["settled"] * 3
    (invoice,) = house.claim()  # its invoice is now to be read by itself
    assert invoice.key == EntityKey(Kind.INVOICE, "i-1")


def test_one_that_fails_leaves_the_others_applied(house: House) -> None:
    """A handler that raises costs its own entity only."""
    for name in ("1", "2", "3"):
        house.tell(name, key=case_key(name))
    one, two, three = house.claim()
    outcome = house.apply(
        house.result(one, case_of("1")),
        house.result(two, case_of("7")),  # its number leads to another case
        house.result(three, case_of("3")),
    )
    assert len(outcome.settled) == 2
    assert house.states() == ["settled", "retrying", "settled"]
    with house.database.read() as tx:
        assert cases.get(tx, "case-2") is None
        assert cases.get(tx, "case-7") is None


def test_one_that_cannot_even_be_prepared_leaves_the_others_applied(house: House) -> None:
    """What nobody can read, before its handler is asked, costs its own entity only."""
    house.tell("one", key=case_key("1"))
    house.tell("two", key=case_key("2"))
    one, two = house.claim()
    outcome = house.apply(house.result(one, Settlement()), house.result(two, case_of("2")))
    assert len(outcome.settled) == 1
    assert sorted(house.states()) == ["retrying", "settled"]


@pytest.mark.parametrize("evil", ["nul \0", "half \ud800", "x" * 300])
def test_ids_that_the_database_refuses(house: House, evil: str) -> None:
    """A failed item with an impossible id, number or name holds up nobody."""
    house.tell("one", key=BATCH)
    house.tell("two", key=case_key("2"))
    claims = {claim.key: claim for claim in house.claim()}
    wrong = batch_of({"invoiceId": evil}, {"invoiceNumber": evil}, {"uniqueSourceInvoiceId": evil})
    outcome = house.apply(
        house.result(claims[BATCH], wrong), house.result(claims[case_key("2")], case_of("2"))
    )
    assert len(outcome.settled) >= 1
    with house.database.read() as tx:
        assert cases.get(tx, "case-2") is not None


def test_a_batch_of_thousands(house: House) -> None:
    """Every invoice that a large batch brought is to be read; its many failures are matched."""
    house.tell("one", key=BATCH)
    (claim,) = house.claim()
    failed = [{"invoiceNumber": f"n{n}", "uniqueSourceInvoiceId": f"u{n}"} for n in range(300)]
    outcome = house.apply(house.result(claim, batch_of(*failed, succeeded=4000)))
    assert (len(outcome.settled), outcome.nudges) == (1, 4000)
    assert house.due() == 4000


def test_what_the_database_refuses_says_why(house: House) -> None:
    """One case that cannot be written costs the others nothing, and its event tells the reason."""
    if house.database.is_sqlite:
        pytest.skip("SQLite takes texts of any length")
    for name in ("1", "2", "3"):
        house.tell(name, key=case_key(name))
    claims = {claim.key: claim for claim in house.claim()}
    results = [house.result(claims[case_key(name)], case_of(name)) for name in ("1", "3")]
    evil = house.result(claims[case_key("2")], case_of("2", status="x" * 300))
    outcome = apply_apart(house.parts, [*results, evil])
    assert len(outcome.settled) == 2
    with house.database.read() as tx:
        (error,) = [row.error for row in events.listed(tx) if row.state == "retrying"]
    assert error is not None
    assert error.startswith("the database refuses these values: ")
    assert "xx" not in error


def test_a_lost_lease_writes_nothing(house: House) -> None:
    """Whoever took over is the only one to write, in either order."""
    house.tell("one")
    (old,) = house.claim()
    house.clock.forward(11)
    (new,) = house.claim()
    outcome = house.apply(house.result(old, case_of(status="OLD")))
    assert (outcome.leases_lost, outcome.settled) == (1, [])
    with house.database.read() as tx:
        assert cases.get(tx, "case-1") is None
    assert len(house.apply(house.result(new, case_of(status="NEW"))).settled) == 1
    assert house.apply(house.result(old, case_of(status="OLD"))).leases_lost == 1
    with house.database.read() as tx:
        found = cases.get(tx, "case-1")
    assert found is not None
    assert found.status == "NEW"


def test_a_deadlock_is_tried_again(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    """A transaction that another one was in the way of is run again as a whole."""
    house.tell("one")
    (claim,) = house.claim()
    tries = []
    true_save = invoices.save

    def in_the_way(tx: Tx, *rest: Any) -> set[str]:
        tries.append(1)
        if len(tries) < 3:
            if tx.is_sqlite:
                busy = sqlite3.OperationalError("database is locked")
                raise OperationalError("INSERT", None, busy)
            tx.execute(text("DO $$ BEGIN RAISE SQLSTATE '40P01'; END $$"))
        return true_save(tx, *rest)

    monkeypatch.setattr(invoices, "save", in_the_way)
    outcome = house.apply(house.result(claim, case_of()))
    assert (len(tries), len(outcome.settled)) == (3, 1)
    assert house.states() == ["settled"]


@pytest.mark.parametrize(
    "error", [NotYet(), Invalid(), NotFound(), ValueError("boom"), WorkerDied()]
)
def test_a_dead_letter_after_max_attempts(house: House, error: Exception) -> None:
    """What fails by itself is tried three times, ever later, and then left to an operator."""
    house.tell("one")
    house.clock.forward(LAGS)
    for attempt in range(3):
        assert house.due() == 1
        (claim,) = house.claim()
        assert claim.attempts == attempt
        house.apply(house.result(claim, error))
        assert house.due() == 0 or attempt < 2
        house.clock.forward(1000)
    assert house.states() == ["dead"]
    assert house.due() == 0
    house.tell("two")  # a later success settles the dead one too
    assert len(house.look().settled) == 2
    assert house.states() == ["settled", "settled"]


@pytest.mark.parametrize("error", [NotFound(), NotShown()])
def test_what_was_announced_just_now_need_not_be_shown_yet(
    house: House, error: AmiliEventsError
) -> None:
    """Absent within three read lags of the webhook: no attempt, soon again, the reason is kept."""
    house.tell("one")
    until, looks = house.clock.now + timedelta(seconds=LAGS), 0
    while house.clock.now < until:
        for claim in house.claim():
            assert (claim.attempts, claim.failures) == (0, 0)
            house.apply(house.result(claim, error))
            looks += 1
        shown = event_of(house, "one")
        assert (shown.state, shown.attempts, shown.error) == ("retrying", 0, str(error))
        house.clock.forward(0.25)
    assert 6 <= looks <= 20
    house.clock.forward(LAGS)
    for attempt in range(house.parts.settings.max_attempts):
        (claim,) = house.claim()
        assert (claim.attempts, claim.failures) == (attempt, attempt)
        house.apply(house.result(claim, error))
        house.clock.forward(1000)
    shown = event_of(house, "one")
    assert (shown.state, shown.outcome) == ("dead", "attempts_exhausted")
    assert (shown.attempts, shown.error) == (3, str(error))


def event_of(house: House, body: str) -> Any:
    """Read the row of an event."""
    digest = event(body).delivery.digest
    with house.database.read() as tx:
        return next(row for row in events.listed(tx) if bytes(row.digest) == digest)


def test_what_lags_is_settled_with_its_first_attempt(house: House) -> None:
    """A record that shows up late costs its event nothing."""
    house.tell("one")
    (claim,) = house.claim()
    house.apply(house.result(claim, NotShown()))
    house.clock.forward(1)
    assert len(house.look().settled) == 1
    assert (event_of(house, "one").attempts, event_of(house, "one").error) == (1, None)


def test_a_record_that_another_names_may_lag_too(house: House) -> None:
    """An invoice that a batch names is read soon again, although no webhook tells of it."""
    key = EntityKey(Kind.INVOICE, "i-1")
    house.database.run(lambda tx: entities.nudge(tx, [Nudge(key, "batch_item")]))
    for attempts, seconds in ((0, 1), (0, LAGS), (0, 1000), (1, 1000)):
        (claim,) = house.claim()
        assert claim.attempts == attempts
        house.apply(house.result(claim, NotFound()))
        house.clock.forward(seconds)


@pytest.mark.parametrize("error", [ProviderUnreachable(), ProviderBusy(), ProviderDenied()])
def test_while_amili_is_away_nothing_dies(house: House, error: AmiliEventsError) -> None:
    """Unreachable, busy, denied: tried for as long as it takes, at most half a minute apart."""
    house.tell("one")
    for _ in range(20):
        (claim,) = house.claim()
        assert claim.attempts == 0
        house.apply(house.result(claim, error))
        assert house.claim() == ()
        house.clock.forward(31)
    assert house.states() == ["retrying"]
    assert len(house.look().settled) == 1


def test_retry_after_is_honoured(house: House) -> None:
    """Amili says when; nobody comes sooner."""
    house.tell("one")
    (claim,) = house.claim()
    house.apply(house.result(claim, ProviderBusy(retry_after=100)))
    house.clock.forward(100)
    house.tell("two")
    assert house.due() == 0
    house.clock.forward(1.1)
    assert house.due() == 1


def test_a_payload_that_disagrees(house: House) -> None:
    """It is a doubt, never state: read again after 2, 10 and 60 s, then left."""
    house.tell("one", claims=Claims("PAUSED"))
    house.look(status="OPEN")
    house.apply(*(house.result(c, NotFound()) for c in house.claim()))  # the invoice
    for seconds in (2, 10, 60):
        house.clock.forward(seconds - 0.1)
        assert case_key() not in {claim.key for claim in house.claim()}
        house.clock.forward(0.2)
        found = [claim for claim in house.claim() if claim.key == case_key()]
        outcome = house.apply(house.result(found[0], case_of(status="OPEN")))
        assert outcome.doubts == ["case"]
        with house.database.read() as tx:
            kept = cases.get(tx, "case-1")
            assert kept is not None
            assert kept.status == "OPEN"
    house.clock.forward(3600)
    assert case_key() not in {claim.key for claim in house.claim()}


def test_a_doubt_that_dissolves(house: House) -> None:
    """Once the reading agrees, nobody looks again."""
    house.tell("one", claims=Claims("PAUSED", None, frozenset({"i-1"})))
    house.look(status="OPEN")
    house.clock.forward(2.1)
    (claim,) = [each for each in house.claim() if each.key == case_key()]
    assert house.apply(house.result(claim, case_of(status="PAUSED"))).doubts == []
    house.clock.forward(3600)
    assert case_key() not in {each.key for each in house.claim()}


def known_case(house: House, **shown: Any) -> None:
    """Have the case known, and nothing due."""
    house.tell("first")
    house.look(**shown)
    for claim in house.claim():
        invoice = {"invoiceId": claim.key.id, "remainingAmount": "100.00", "status": "OPEN"}
        invoice |= {"collectionCaseNumber": "number-1", "invoiceNumber": "nr i-1"}
        invoice["organization"] = {"id": ORG}  # type: ignore[assignment]
        house.apply(house.result(claim, Invoice.model_validate(invoice)))
    assert house.due() == 0


def read_batch(house: House, body: str, batch: Batch) -> None:
    """Have a batch read once, then its case."""
    house.tell(body, key=BATCH)
    (claim,) = house.claim()
    house.apply(house.result(claim, batch))
    for each in house.claim():
        house.apply(house.result(each, case_of()))


def test_a_failed_item_holds_its_case_once(house: House) -> None:
    """However often the batch is read, and after an operator's release too."""
    known_case(house)
    batch = batch_of({"invoiceNumber": "nr i-1"}, {"uniqueSourceInvoiceId": "nobody's"})
    read_batch(house, "a", batch)
    read_batch(house, "b", batch)
    with house.database.begin() as tx:
        (hold,) = holds.of_cases(tx, ["case-1"])["case-1"]
        assert (hold.reason, hold.owner, hold.key) == ("batch_failed", "policy", "batch:b-1:i-1")
        (action,) = ledger.of_cases(tx, ["case-1"])["case-1"]
        assert (action.kind, action.cause) == (ActionKind.PAUSE_CASE, "level:1")
        told = [row.outcome for row in decisions.of_entity(tx, case_key())]
        assert told == ["hold", "paused", "planned"]
        assert [row.outcome for row in decisions.of_entity(tx, BATCH)] == ["no_case"]
        holds.release(tx, [hold.hold_id], "released")
    read_batch(house, "c", batch)
    with house.database.read() as tx:
        (again,) = holds.of_cases(tx, ["case-1"])["case-1"]
        assert again.released_by == "released"


def test_a_failed_item_in_capitals(house: House) -> None:
    """Amili may repeat an id as a spreadsheet wrote it: it names the same invoice."""
    known_case(house)
    read_batch(house, "a", batch_of({"invoiceId": "I-1"}))
    with house.database.read() as tx:
        (hold,) = holds.of_cases(tx, ["case-1"])["case-1"]
        assert hold.key == "batch:b-1:i-1"


def test_a_batch_that_failed_before_its_case_was_known(house: House) -> None:
    """The order of the two does not matter: once the case is known, the failure holds it."""
    batch = batch_of({"invoiceNumber": "nr i-1"})
    read_batch(house, "a", batch)
    house.tell("first")
    house.look()
    due = {str(claim.key): claim for claim in house.claim()}
    assert set(due) == {"invoice:i-1", str(BATCH)}
    house.apply(house.result(due[str(BATCH)], batch))
    (again,) = house.claim()
    house.apply(house.result(again, case_of()))
    with house.database.read() as tx:
        (hold,) = holds.of_cases(tx, ["case-1"])["case-1"]
        assert hold.key == "batch:b-1:i-1"


def test_a_batch_that_failed_and_its_case_in_one_transaction(house: House) -> None:
    """Neither saw the other's rows before: the batch is looked at again at once, and not later."""
    house.tell("batch", key=BATCH)
    house.tell("case")
    due = {claim.key: claim for claim in house.claim()}
    batch = batch_of({"invoiceNumber": "nr i-1"})
    house.apply(house.result(due[BATCH], batch), house.result(due[case_key()], case_of()))
    due = {claim.key: claim for claim in house.claim()}
    assert BATCH in due
    house.apply(house.result(due[BATCH], batch))
    (again,) = house.claim()
    house.apply(house.result(again, case_of()))
    with house.database.read() as tx:
        (hold,) = holds.of_cases(tx, ["case-1"])["case-1"]
        assert hold.key == "batch:b-1:i-1"


def test_what_is_saved_of_one_that_fails_is_told(house: House) -> None:
    """Its invoices stand, so whom they concern hears of it: the next look sees no difference."""
    known_case(house)

    def boom(situation: CaseSituation) -> Wishes:
        raise LookupError

    house.tell("moved")
    (claim,) = house.claim()
    broken = replace(house.parts, policies=(Policy("boom", on_case=boom),))
    apply(broken, [house.result(claim, case_of(remaining="40.00"))])
    house.clock.forward(100)
    due = {str(each.key): each for each in house.claim()}
    house.apply(house.result(due.pop(str(case_key())), case_of(remaining="40.00")))
    assert {*due, *(str(each.key) for each in house.claim())} == {"invoice:i-1"}


def test_a_held_case_that_cannot_be_read_is_never_given_up(house: House) -> None:
    """Its looks fail until its attempts are used up: it stays due, and says why it waits."""
    known_case(house)
    house.hold()
    house.look()
    house.tell("later")
    for _ in range(house.parts.settings.max_attempts + 1):
        for claim in house.claim():
            house.apply(house.result(claim, NotFound(operation="get_cases_by_organization")))
        house.clock.forward(1000)
    assert "dead" in house.states()
    assert house.due() == 1
    shown = Reading(house.database).case("case-1")
    assert "does not know this" in shown["waiting"]["error"]
    house.look(status="PAUSED")
    assert "dead" not in house.states()


def test_nobody_elses_case_is_held(house: House) -> None:
    """Another creditor's batch that fails for the same invoice number holds nothing here."""
    known_case(house)
    read_batch(house, "a", batch_of({"invoiceNumber": "nr i-1"}, organization="org-2"))
    with house.database.read() as tx:
        assert holds.of_cases(tx, ["case-1"])["case-1"] == ()
        assert [row.outcome for row in decisions.of_entity(tx, BATCH)] == ["no_case"]


@pytest.mark.parametrize("over", [{"closed": True}, {"remaining": "0.00"}])
def test_a_case_that_is_over(house: House, over: dict[str, Any]) -> None:
    """Closed or settled in full: its holds end, and nothing is asked of Amili."""
    known_case(house)
    house.hold()
    house.look(**over)
    with house.database.read() as tx:
        (hold,) = holds.of_cases(tx, ["case-1"])["case-1"]
        assert hold.released_by == "case_closed"
        assert ledger.of_cases(tx, ["case-1"])["case-1"] == ()
        standing = cases.lock(tx, ["case-1"])["case-1"]
        assert (standing.desired, standing.is_over) == ("running", True)


def test_a_case_that_is_over_drops_what_was_planned(house: House) -> None:
    """A pause that was planned and not sent is cancelled."""
    known_case(house)
    house.hold()
    house.look()
    house.tell("closed")
    house.look(closed=True)
    with house.database.read() as tx:
        (action,) = ledger.of_cases(tx, ["case-1"])["case-1"]
    assert action.state is ActionState.CANCELLED


def test_a_hold_and_its_release(house: House) -> None:
    """The whole way of the level through the rows: planned, confirmed, resumed, once each."""
    known_case(house)
    house.hold()
    house.look()
    with house.database.begin() as tx:
        (pause,) = ledger.of_cases(tx, ["case-1"])["case-1"]
        sent = replace(pause, state=ActionState.ANSWERED, attempts=1, sent_at=tx.now)
        ledger.save(tx, [replace(sent, ended_at=tx.now)])
        entities.nudge(tx, [Nudge(case_key(), "action")])
    house.clock.forward(1)
    house.look(status="PAUSED")
    with house.database.begin() as tx:
        (hold,) = holds.of_cases(tx, ["case-1"])["case-1"]
        holds.release(tx, [hold.hold_id], "released")
        entities.nudge(tx, [Nudge(case_key(), "release")])
    house.clock.forward(1)
    house.look(status="PAUSED")
    with house.database.read() as tx:
        kept = ledger.of_cases(tx, ["case-1"])["case-1"]
        level = cases.lock(tx, ["case-1"])["case-1"]
    assert [(a.kind, a.cause, a.state) for a in kept] == [
        (ActionKind.PAUSE_CASE, "level:1", ActionState.CONFIRMED),
        (ActionKind.RESUME_CASE, "level:2", ActionState.PLANNED),
    ]
    assert (level.level, level.desired) == (2, "running")


def test_an_older_reading_judges_nothing(house: House) -> None:
    """A look whose reading is older than the row concludes nothing and comes again at once."""
    known_case(house)
    house.hold()
    (claim,) = house.claim()
    late = house.result(replace(claim, fetch_number=0), case_of(status="PAUSED"))
    house.apply(late)
    with house.database.read() as tx:
        assert ledger.of_cases(tx, ["case-1"])["case-1"] == ()
    assert house.due() == 1


def test_a_number_becomes_a_case(house: House) -> None:
    """A look by number alone writes no case; it nudges the case that the number led to."""
    key = EntityKey.of_number("number-1")
    house.tell("one", key=key)
    (claim,) = house.claim()
    house.apply(house.result(claim, case_of()))
    (found,) = house.claim()
    assert (found.key, found.lookup) == (case_key(), "number-1")
    with house.database.read() as tx:
        assert cases.get(tx, "case-1") is None


_names = iter(range(1, 1_000_000))


@given(
    order=st.permutations([1, 2, 3, 4]),
    again=st.lists(st.integers(1, 4), max_size=4),
    kinds=st.lists(
        st.sampled_from(["case", "settlement", "batch"]), min_size=1, max_size=3, unique=True
    ),
)
@settings(
    max_examples=8,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
def test_any_order_any_number_of_times(
    house: House, order: list[int], again: list[int], kinds: list[str]
) -> None:
    """Events and readings permuted and repeated end in the same rows as in good order."""
    good, mixed = str(next(_names)), str(next(_names))
    play(house, good, [1, 2, 3, 4], kinds)
    play(house, mixed, [*order, *again], kinds)
    assert rows_of(house, good) == rows_of(house, mixed)


def play(house: House, name: str, numbers: list[int], kinds: list[str]) -> None:
    """Apply the readings of these numbers, each told by an event that may come again."""
    keys = {
        "case": case_key(name),
        "settlement": EntityKey(Kind.SETTLEMENT, name),
        "batch": EntityKey(Kind.BATCH, name),
    }
    for number in numbers:
        for kind in kinds:
            key = keys[kind]
            house.tell(f"{name} {kind} {number}", key=key)
            house.database.run(lambda tx, k=key: entities.nudge(tx, [Nudge(k, "operator")]))  # type: ignore[misc]
            for claim in house.claim():
                if claim.key != key:
                    continue
                told = replace(claim, fetch_number=1000 + number)
                house.apply(house.result(told, shown(kind, name, number)))
            house.database.run(lambda tx: entities.hand_back(tx, house.parts.holder))


def shown(kind: str, name: str, number: int) -> Any:
    """Make what Amili shows at the time of a number."""
    if kind == "case":
        return case_of(name, status="PAUSED" if number % 2 else "OPEN", remaining=f"{number}.00")
    if kind == "settlement":
        return Settlement.model_validate({"currency": f"C{number}", "caseNumber": "none"})
    data = {"batchId": name, "status": f"S{number}", "organizationId": ORG}
    return Batch.model_validate(data | {"failed": [{"invoiceNumber": "x"}] * number})


def rows_of(house: House, name: str) -> str:
    """Describe what stands in the rows, without names and moments."""
    with house.database.read() as tx:
        case = cases.get(tx, f"case-{name}")
        batch = batches.get(tx, name)
        settlement = batches.get_settlement(tx, name)
        told = [
            case and (case.status, case.fetch_number, case.level, case.desired, case.is_over),
            batch and (batch.status, batch.fetch_number, len(batches.items(tx, name))),
            settlement and (settlement.currency, settlement.fetch_number),
            [str(each.remaining_amount) for each in invoices.known(tx, [f"i-{name}"]).values()],
            sorted({row.state for row in events.listed(tx, limit=1000)}),
            len(holds.of_cases(tx, [f"case-{name}"])[f"case-{name}"]),
            len(ledger.of_cases(tx, [f"case-{name}"])[f"case-{name}"]),
        ]
    return json.dumps(told, default=str)
