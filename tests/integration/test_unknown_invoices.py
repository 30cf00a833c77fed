"""Payments on invoices that are not known here: by store, by API and by command."""

from __future__ import annotations

import json
from pathlib import Path

from service.domain.entities import Read
from service.domain.records import Invoice
from service.settings import Settings
from service.store import invoices
from tests.doors import DoorThread, Reply, command, migrated, opened_database, settings_for
from tests.integration.store_records import Clock, save_invoices

KNOWN = "0f1e2d3c-aaaa-bbbb-cccc-000000000000"
CAPITALS = KNOWN.upper()


def payments(*ids: str) -> bytes:
    """Write payments on these invoices, one a line."""
    made = [
        {"invoiceId": each, "type": "DIRECT_PAYMENT", "amount": 100, "currency": "NOK"}
        for each in ids
    ]
    return ('{"payments": [\n' + ",\n".join(map(json.dumps, made)) + "]}").encode()


def know(config: Settings, *ids: str) -> None:
    """Have these invoices known."""
    with opened_database(config) as database:
        read = Read(1, Clock().now)
        database.run(lambda tx: save_invoices(tx, [Invoice(each) for each in ids], read))


def told(reply: Reply) -> list[tuple[int, str, str]]:
    """List (item, member, severity) of each warning of an answer."""
    found = reply.json["warnings"]
    return [(each["position"], each["field"], each["severity"]) for each in found]


def test_any_spelling_is_known(redis_url: str, database_url: str, tmp_path: Path) -> None:
    """Capitals and small letters are one invoice, both ways; others are none."""
    migrated(database_url, tmp_path)
    config = settings_for(redis_url, database_url, tmp_path)
    know(config, KNOWN, "ABC-1")
    with opened_database(config) as database, database.read() as tx:
        asked = {KNOWN, CAPITALS, KNOWN.title(), "abc-1", "ABC-1", "abc-2", "%"}
        assert invoices.unknown(tx, asked) == {"abc-2", "%"}
        found = invoices.known(tx, sorted(asked))
        assert found.keys() == asked - {"abc-2", "%"}
        assert {each.invoice_id for each in found.values()} == {KNOWN, "ABC-1"}
        many = [f"i-{n}" for n in range(12_000)]
        assert len(invoices.unknown(tx, [*many, KNOWN])) == 12_000


def test_api(redis_url: str, database_url: str, tmp_path: Path) -> None:
    """A warning in the answer, and in that of a dry run; it is taken all the same."""
    migrated(database_url, tmp_path)
    config = settings_for(redis_url, database_url, tmp_path, organization_ids="org-1")
    know(config, KNOWN)
    with DoorThread(config) as door:
        raw = payments(CAPITALS, "4711")
        warned = [(1, "invoiceId", "warning")]
        dry = door.post("/payments?dryRun=1", raw)
        assert (dry.status, told(dry)) == (200, warned)
        sent = door.post("/payments", raw)
        assert (sent.status, told(sent)) == (202, warned)
        assert told(door.post("/payments", payments(KNOWN))) == []


def test_commands(redis_url: str, sqlite_url: str, tmp_path: Path) -> None:
    """A warning with line and column, dry or not; nothing is made to look where nothing is kept."""
    given = {
        "AMILI_REDIS_URL": redis_url,
        "AMILI_DATABASE_URL": sqlite_url,
        "AMILI_DATA_DIR": tmp_path,
        "AMILI_ORGANIZATION_IDS": "org-1",
    }
    path = tmp_path / "payments.json"
    path.write_bytes(payments(CAPITALS, "4711"))
    asked = ("payments", "submit", str(path))
    done = command(*asked, "--dry-run", AMILI_DATA_DIR=tmp_path / "nothing")
    assert (done.returncode, done.stderr) == (0, "")
    assert not (tmp_path / "nothing").exists()
    migrated(sqlite_url, tmp_path)
    know(settings_for(redis_url, sqlite_url, tmp_path), KNOWN)
    for more in ("--dry-run", "--no-wait"):
        done = command(*asked, more, **given)
        assert done.returncode == 0, done.stderr
        (line,) = done.stderr.splitlines()
        assert line.startswith(f"{path}: warning: line 3, column 15, invoiceId: no invoice of this")
        assert ", 1 warning" in done.stdout
