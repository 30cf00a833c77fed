"""What Amili says, kept: only a later reading overwrites, and amounts stay exact."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from service.domain.entities import Read
from service.domain.records import Batch, BatchItem, Invoice, Settlement
from service.store import batches, cases, invoices
from service.store.database import Database
from tests.integration.store_records import (
    NOON,
    case,
    emptied,
    save_case,
    save_invoices,
    save_settlement,
)

SHARED = settings(
    max_examples=40,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)


@pytest.fixture
def database(shared_url: str) -> Iterator[Database]:
    """Give an empty database."""
    with emptied(shared_url) as opened:
        yield opened


def read(number: int) -> Read:
    """Make a reading."""
    return Read(number, NOON + timedelta(seconds=number))


_runs = iter(range(1, 1_000_000))


@given(order=st.permutations(range(1, 7)), extra=st.lists(st.integers(1, 6), max_size=6))
@SHARED
def test_the_latest_reading_stays_in_any_order(
    database: Database, order: list[int], extra: list[int]
) -> None:
    """Cases, invoices, batches and settlements: whatever order, however often, the last wins."""
    name = str(next(_runs))
    for number in [*order, *extra]:
        with database.begin() as tx:
            status = f"S{number}"
            written = save_case(tx, case(name, status=status), read(number), is_over=False)
            seen = Invoice(name, status=status, remaining_amount=Decimal(number))
            save_invoices(tx, [seen], read(number))
            items = tuple(BatchItem(True, f"{number}-{n}") for n in range(number))
            batch = Batch(name, "org", "INVOICE", status, None, None, items, "{}")
            assert batches.save(tx, batch, read(number)) is written
            paid = Settlement(name, "org", status, None, "NOK", None, "{}")
            assert save_settlement(tx, paid, read(number)) is written
    with database.read() as tx:
        kept = cases.get(tx, f"case-{name}")
        assert kept is not None
        assert (kept.status, kept.fetch_number, kept.read_began_at) == (
            "S6",
            6,
            read(6).began_at,
        )
        invoice = invoices.known(tx, [name])[name]
        assert (invoice.status, invoice.remaining_amount) == ("S6", Decimal(6))
        assert len(batches.items(tx, name)) == 6
        settlement = batches.get_settlement(tx, name)
        assert settlement is not None
        assert settlement.case_number == "S6"


def test_a_case_keeps_its_level(database: Database) -> None:
    """What Amili says of a case never touches what our holds say of it."""
    with database.begin() as tx:
        assert save_case(tx, case(), read(1), is_over=False)
        cases.set_level(tx, "case-1", 7, "paused")
        assert save_case(tx, case(status="PAUSED"), read(2), is_over=True)
        standing = cases.lock(tx, ["case-1", "case-2"])
    assert set(standing) == {"case-1"}
    one = standing["case-1"]
    assert (one.level, one.desired, one.is_paused, one.is_over) == (7, "paused", True, True)


def test_what_a_reading_does_not_name_stays(database: Database) -> None:
    """An invoice inside its case knows no status: the one known from before stays."""
    by_itself = Invoice("i-1", status="OPEN", type="NOTICE", remaining_amount=Decimal("10.00"))
    in_case = Invoice("i-1", case_id="c-1", remaining_amount=Decimal("5.00"))
    with database.begin() as tx:
        assert save_invoices(tx, [by_itself], read(1)) == {"i-1"}
        assert save_invoices(tx, [in_case], read(2)) == {"i-1"}
        assert save_invoices(tx, [by_itself], read(2)) == set()
        row = invoices.known(tx, ["i-1"])["i-1"]
    assert (row.status, row.type, row.case_id) == ("OPEN", "NOTICE", "c-1")
    assert str(row.remaining_amount) == "5.00"


def test_an_organization_once_known_stays(database: Database) -> None:
    """A reading without organization does not forget it."""
    with database.begin() as tx:
        save_case(tx, case(), read(1), is_over=False)
        save_case(tx, case(organization_id=None), read(2), is_over=False)
        found = cases.get(tx, "case-1")
    assert found is not None
    assert found.organization_id == "org-1"


AMOUNTS = ["0", "0.00", "4500.00", "-0.10", "1e-3", "1E+5", "123456789012345678.123456789"]


@pytest.mark.parametrize("amount", AMOUNTS)
def test_money_keeps_its_scale(database: Database, amount: str) -> None:
    """An amount comes back with the value and the digits that it had."""
    before = Decimal(amount)
    with database.begin() as tx:
        save_invoices(tx, [Invoice("i-1", remaining_amount=before)], read(1))
        after = invoices.known(tx, ["i-1"])["i-1"].remaining_amount
    assert after == before
    assert after is not None
    shown = f"{before:f}" if not database.is_sqlite else str(before)
    assert str(after) == shown


@given(
    amount=st.decimals(
        allow_nan=False, allow_infinity=False, min_value=-(10**12), max_value=10**12, places=2
    )
)
@SHARED
def test_money_to_the_last_cent(database: Database, amount: Decimal) -> None:
    """Whatever amount with two places: the same text comes back."""
    name = str(next(_runs))
    with database.begin() as tx:
        save_invoices(tx, [Invoice(name, paid_amount=amount)], read(1))
        after = invoices.known(tx, [name])[name].paid_amount
    assert str(after) == str(amount if amount or database.is_sqlite else abs(amount))


def test_a_large_batch(database: Database) -> None:
    """Thousands of items are written, replaced and read in their order."""
    items = tuple(BatchItem(n % 3 > 0, f"i-{n}", errors="e" * 50) for n in range(2500))
    batch = Batch("b-1", None, None, "PARTIAL", NOON, NOON, items, "{}")
    with database.begin() as tx:
        assert batches.save(tx, batch, read(1))
        assert batches.save(tx, replace(batch, items=items[::-1]), read(2))
        assert not batches.save(tx, replace(batch, items=()), read(1))
        kept = batches.items(tx, "b-1")
    assert [row.invoice_id for row in kept] == [item.invoice_id for item in items[::-1]]


def test_thousands_of_invoices_at_once(database: Database) -> None:
    """More rows than one statement takes; every one is written and found."""
    many = [Invoice(f"i-{n}", case_id="c-1") for n in range(1300)]
    with database.begin() as tx:
        assert len(save_invoices(tx, many, read(1))) == 1300
        assert len(invoices.known(tx, [each.invoice_id for each in many])) == 1300
        assert len(invoices.of_case(tx, "c-1")) == 1300


def test_the_same_invoice_twice_in_one_reading(database: Database) -> None:
    """A case that names an invoice twice is no reason to fail: the last naming counts."""
    twice = [Invoice("i-1", status="A"), Invoice("i-2"), Invoice("i-1", status="B")]
    with database.begin() as tx:
        assert save_invoices(tx, twice, read(1)) == {"i-1", "i-2"}
        assert invoices.known(tx, ["i-1"])["i-1"].status == "B"


def test_invoices_by_any_name(database: Database) -> None:
    """Found by id, number or the creditor's own id; by nothing when nothing is named."""
    rows = [
        Invoice("i-1", invoice_number="n-1"),
        Invoice("i-2", invoice_number="n-2", unique_source_invoice_id="u-2"),
        Invoice("i-3"),
    ]
    with database.begin() as tx:
        save_invoices(tx, rows, read(1))
        found = invoices.named(tx, ids=["i-3"], numbers=["n-1"], sources=["u-2"])
        assert {each.invoice_id for each in found} == {"i-1", "i-2", "i-3"}
        assert invoices.named(tx, ids=[], numbers=[], sources=[]) == []
        assert cases.by_number(tx, ["none"]) == {}


def test_thousands_of_names_at_once(database: Database) -> None:
    """A batch may fail with more names than one statement takes; all are looked for."""
    names = [f"n-{n}" for n in range(70_000)]
    with database.begin() as tx:
        save_invoices(tx, [Invoice("i-1", invoice_number="n-69999")], read(1))
        found = invoices.named(tx, ids=names, numbers=names, sources=names)
    assert [each.invoice_id for each in found] == ["i-1"]
