"""What the rows say about the assumptions, on both databases: counts and words, never a person."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime, timedelta

import pytest

from service.domain.actions import ActionKind, ActionState
from service.domain.entities import Read
from service.domain.records import Batch, BatchItem, Settlement
from service.store import batches, events, evidence, examining, leases, ledger
from service.store.database import Database, Tx
from tests.integration.store_records import (
    NOON,
    action,
    case,
    event,
    migrated,
    save_case,
    save_settlement,
)


@pytest.fixture
def database(database_url: str) -> Iterator[Database]:
    """Open a migrated database of either kind."""
    with migrated(database_url) as opened:
        yield opened


def gathered(database: Database) -> evidence.Traces:
    """Read what the rows say."""
    with database.read() as tx:
        return evidence.gather(tx)


def test_an_empty_database_says_nothing(database: Database) -> None:
    """Without rows there is neither evidence nor an error."""
    found = gathered(database)
    assert (found.applied, found.variants, found.failed_items, found.settlements) == (0, 0, 0, 0)
    assert not found.actions
    assert found.slowest_effect is None
    assert found.times == 0


def test_webhooks(database: Database) -> None:
    """Applied events count, variants count; what waits or has another outcome does not."""

    def fill(tx: Tx) -> None:
        made = [event("a"), event("b"), event("c", event_id="id of a"), event("d")]
        events.store(tx, made)
        first, second, *_ = reversed([row.seq for row in events.listed(tx)])
        events.settle(tx, [first], "applied")
        events.settle(tx, [second], "foreign_organization")

    database.run(fill)
    found = gathered(database)
    assert (found.applied, found.variants) == (1, 1)


def test_actions(database: Database) -> None:
    """Each call's fate is read from its state and from the status in its error."""
    refused = "withdraw_case: Amili refused (HTTP {}) [request r-1]"
    rows = [
        replace(action(level=1, state=ActionState.CONFIRMED), ended_at=NOON, closed_at=later(3)),
        replace(action(level=2, state=ActionState.CONFIRMED), ended_at=NOON, closed_at=later(7)),
        action(level=3, kind=ActionKind.RESUME_CASE, state=ActionState.PLANNED),
        *(
            replace(
                action(level=9, case_id=f"case-{status}", kind=ActionKind.WITHDRAW_CASE),
                state=ActionState.REFUSED,
                error=refused.format(status),
            )
            for status in (400, 404, 405, 409, 422)
        ),
    ]

    def fill(tx: Tx) -> None:
        for row in rows:
            ledger.plan(tx, row)

    database.run(fill)
    found = gathered(database)
    assert found.slowest_effect == timedelta(seconds=7)
    assert dict(found.actions) == {
        ("pauseCase", "taken"): 2,
        ("resumeCase", "open"): 1,
        ("withdrawCase", "unknown_path"): 2,
        ("withdrawCase", "conflict"): 1,
        ("withdrawCase", "invalid"): 2,
    }


def later(seconds: float) -> datetime:
    """Name a moment after noon."""
    return NOON + timedelta(seconds=seconds)


def test_records(database: Database) -> None:
    """Failed items, settlements and cases are looked at by the names of their members."""
    told = BatchItem(False, invoice_number="n-1", errors='[{"code": "X"}]')
    silent = BatchItem(False, errors="[]")

    def fill(tx: Tx) -> None:
        batch = Batch("b-1", "org-1", "INVOICE", "PARTIAL", None, None, (told, silent), "{}")
        batches.save(tx, batch, Read(1, tx.now))
        for number, raw in enumerate(('{"totalAmount": 1.50}', '{"amountNote": "x"}')):
            paid = Settlement(f"s-{number}", "org-1", None, None, None, None, raw)
            save_settlement(tx, paid, Read(2, tx.now))
        debtors = [{"type": "PRIVATE", "fullName": "Kari Nordmann"}, {"type": 7}, "?"]
        record = {"debtors": debtors, "registeredAt": "2026-05-01T08:00:00", "closedAt": None}
        closed = replace(case("1", status="DONE"), closed_at=NOON, raw=json.dumps(record))
        zoned: object = {
            "registeredAt": "2026-05-01T08:00:00+02:00",
            "closedAt": "2026-05-02T08:00:00Z",
        }
        save_case(tx, closed, Read(3, tx.now), is_over=True)
        save_case(tx, replace(case("2"), raw=json.dumps(zoned)), Read(4, tx.now), is_over=False)
        save_case(tx, replace(case("3"), raw="[]"), Read(5, tx.now), is_over=False)

    database.run(fill)
    found = gathered(database)
    assert (found.failed_items, found.silent_items) == (2, 1)
    assert (found.settlements, found.with_amounts) == (2, 1)
    assert found.closed_statuses == {"DONE"}
    assert found.debtor_types == {"PRIVATE"}
    assert (found.times, found.times_without_offset) == (3, 1)
    assert "Nordmann" not in repr(found)


def test_examining(database: Database) -> None:
    """Commits wait for the disk, a lease is held while it lasts, the first organization is told."""
    assert examining.weak_commits(database) == ""
    with database.begin() as tx:
        assert not examining.is_held(tx, "sweeper")
        assert leases.hold(tx, "sweeper", "me", timedelta(minutes=1))
        assert examining.is_held(tx, "sweeper")
        leases.let_go(tx, "sweeper", "me")
        assert examining.first_organization(tx) is None
        events.store(tx, [event("a")])
        assert examining.first_organization(tx) == "org-1"
    with database.begin() as tx:
        assert not examining.is_held(tx, "sweeper")
