"""Lists of the API: what may be asked for, in which order, and what is told instead of guessed."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from service.domain.entities import Read
from service.domain.holds import Hold
from service.domain.records import Invoice
from service.store import holds
from service.store.database import Tx
from tests.integration.store_records import save_case, save_invoices
from tests.integration.test_api import AT, LISTS, Desk, case_of, desk_of, pages, refuses


@pytest.fixture
def desk(redis_url: str, database_url: str, tmp_path: Path) -> Iterator[Desk]:
    """Open a door with records, on both databases."""
    with desk_of(redis_url, database_url, tmp_path) as opened:
        yield opened


@pytest.fixture
def lite(redis_url: str, sqlite_url: str, tmp_path: Path) -> Iterator[Desk]:
    """Open a door with records, on SQLite."""
    with desk_of(redis_url, sqlite_url, tmp_path) as opened:
        yield opened


def ids(desk: Desk, path: str, name: str) -> list[str]:
    """Name what a list shows."""
    return [each[name] for each in desk.door.get(path).json["data"]]


def test_unknown_parameters(lite: Desk) -> None:
    """A parameter that no list knows is a bad request that names those that are known."""
    for path in (*LISTS, "/submissions"):
        reply = lite.door.get(f"{path}?limit=5&casenumber=8811")
        assert refuses(reply, 400), path
        assert "`after`" in reply.json["detail"]
        assert "`limit`" in reply.json["detail"]
        assert "8811" not in reply.json["detail"]
    assert "`caseNumber`" in lite.door.get("/cases?number=1").json["detail"]
    assert refuses(lite.door.get("/holds?onlyActive=1"), 400)
    assert refuses(lite.door.get("/holds?all=perhaps"), 400)


def test_newest_cases_first(desk: Desk) -> None:
    """Cases go by registration, the newest first, at the end those without one; each comes once."""

    def furnish(tx: Tx) -> None:
        for number in range(4, 9):
            made = case_of(f"case-{number}")
            at = AT + timedelta(days=number) if number < 7 else None
            save_case(tx, replace(made, registered_at=at), Read(1, AT), is_over=False)

    desk.run(furnish)
    order = [f"case-{number}" for number in (6, 5, 4, 3, 2, 1, 8, 7)]
    assert pages(desk, "/cases", "caseId") == order
    assert desk.door.get("/cases?after=none").json == {"data": [], "next": None}


def test_pages_stay_stable(desk: Desk) -> None:
    """What is registered or read anew between two pages moves none of the others."""
    first = desk.door.get("/cases?limit=2").json

    def furnish(tx: Tx) -> None:
        newer = replace(case_of("case-9"), registered_at=AT + timedelta(days=9))
        read_again = replace(case_of("case-1"), status="PAUSED")
        for case in (newer, read_again):
            save_case(tx, case, Read(2, AT), is_over=False)

    desk.run(furnish)
    second = desk.door.get(f"/cases?limit=2&after={first['next']}").json
    found = [each["caseId"] for each in (*first["data"], *second["data"])]
    assert found == ["case-3", "case-2", "case-1"]


def test_filters(desk: Desk) -> None:
    """A case is found by its number, holds by their case."""

    def place(tx: Tx) -> None:
        for number in (1, 2):
            holds.place(tx, Hold(f"hold-{number}", f"case-{number}", "court", "api", AT))

    desk.run(place)
    assert ids(desk, "/cases?caseNumber=8812", "caseId") == ["case-2"]
    assert ids(desk, "/cases?caseNumber=88", "caseId") == []
    assert ids(desk, "/cases?caseNumber=8812&status=PAUSED", "caseId") == []
    assert ids(desk, "/holds?caseId=case-2", "holdId") == ["hold-2"]
    assert ids(desk, "/holds?caseId=none&all=true", "holdId") == []


def test_invoices(desk: Desk) -> None:
    """Invoices are listed page by page, and found by number, by our own id and by case."""

    def furnish(tx: Tx) -> None:
        made = [
            Invoice(
                f"inv-{number}",
                "org-1",
                f"F-{number}",
                unique_source_invoice_id=f"erp-{number}",
                case_id=f"case-{number // 2}",
            )
            for number in range(2, 6)
        ]
        save_invoices(tx, made, Read(1, AT))

    desk.run(furnish)
    assert pages(desk, "/invoices", "invoiceId") == [f"inv-{number}" for number in range(1, 6)]
    assert ids(desk, "/invoices?invoiceNumber=F-3", "invoiceId") == ["inv-3"]
    assert ids(desk, "/invoices?uniqueSourceInvoiceId=erp-4", "invoiceId") == ["inv-4"]
    assert ids(desk, "/invoices?caseId=case-2", "invoiceId") == ["inv-4", "inv-5"]
    assert ids(desk, "/invoices?caseId=case-2&invoiceNumber=F-3", "invoiceId") == []
    (listed,) = desk.door.get("/invoices?invoiceNumber=F-1").json["data"]
    assert listed == desk.door.get("/invoices/inv-1").json
