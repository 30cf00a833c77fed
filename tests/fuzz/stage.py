"""What is fuzzed: a door with its own Redis and its own database, and records to ask for."""

from __future__ import annotations

import base64
import contextlib
import secrets
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

from service.domain.actions import Action, ActionKind, ActionState
from service.domain.decisions import Decision
from service.domain.entities import EntityKey, Read
from service.domain.holds import Hold
from service.domain.records import Batch, BatchItem, Case, Invoice, Settlement
from service.embedded import EmbeddedRedis
from service.settings import Settings
from service.store import batches, decisions, holds, ledger
from service.store.database import Tx
from tests.doors import (
    SECRET,
    TOKEN,
    DoorProcess,
    Knocker,
    drained,
    event,
    migrated,
    opened_database,
)
from tests.integration.store_records import save_case, save_invoices, save_settlement

AT = datetime(2026, 3, 1, 12, 0, 0, 5, tzinfo=UTC)
ORGANIZATION = "org-1"
#: Caps of the quarantine: small, so that a run reaches them.
ENTRIES, MEGABYTES = 50, 1


@dataclass(frozen=True)
class Stores:
    """Where a door of ours keeps its things."""

    folder: Path
    redis_url: str
    database_url: str

    @property
    def settings(self) -> Settings:
        """The settings of a door on these stores."""
        return Settings(**{name[6:].lower(): value for name, value in self.named().items()})

    def named(self, **more: object) -> dict[str, Any]:
        """The same as environment variables; `more` are added."""
        return {
            "AMILI_REDIS_URL": self.redis_url,
            "AMILI_DATABASE_URL": self.database_url,
            "AMILI_DATA_DIR": str(self.folder / "data"),
            "AMILI_WEBHOOK_SECRETS": f"the-next-secret,{SECRET}",
            "AMILI_API_TOKENS": TOKEN,
            "AMILI_ORGANIZATION_IDS": ORGANIZATION,
            "AMILI_DATA_KEY_FILE": str(self.folder / "key"),
            "AMILI_QUARANTINE_ENTRIES": str(ENTRIES),
            "AMILI_QUARANTINE_MEGABYTES": str(MEGABYTES),
            "AMILI_QUARANTINE_PER_MINUTE": "10000",
            "AMILI_REFUSED_PER_MINUTE": "1000000",
            "AMILI_BODY_TIMEOUT_SECONDS": "1",
            **more,
        }


@contextlib.contextmanager
def stores(folder: Path, database_url: str = "") -> Iterator[Stores]:
    """Start a Redis, and make a database with its schema; SQLite unless one is named."""
    (folder / "data" / "metrics").mkdir(parents=True)
    key = folder / "key"
    key.touch(mode=0o600)
    key.write_text(base64.b64encode(secrets.token_bytes(32)).decode() + "\n")
    url = database_url or f"sqlite:///{folder / 'amili.db'}"
    migrated(url, folder)
    with EmbeddedRedis(folder / "redis") as redis:
        yield Stores(folder, redis.url, url)


@contextlib.contextmanager
def door_of(place: Stores, **more: object) -> Iterator[DoorProcess]:
    """Open a door as a process of its own."""
    with DoorProcess(place.folder, **place.named(**more)) as door:
        yield door


def furnish(place: Stores, door: Knocker) -> None:
    """Have a record of each kind: events through the door, the rest as workers would write it."""
    for number in range(3):
        body = event(id=f"event-{number}", data={"orgId": ORGANIZATION, "caseId": f"case-{number}"})
        door.deliver(body)
    door.deliver(event(id="with/a slash", data={"caseId": ["dead"]}))
    door.deliver(event(id="unknown", eventType="SOMETHING_NEW"))
    door.ask("POST", "/webhooks/amili", b"refused", {"Content-Type": "application/json"})
    drained(place.settings)
    with opened_database(place.settings) as database:
        database.run(write)


def write(tx: Tx) -> None:
    """Write the records that come from Amili, and those of policies."""
    read = Read(1, AT)
    for number in range(3):
        made = Case(
            *(f"case-{number}", f"881{number}", ORGANIZATION, "OPEN", None, "DEBT", None, AT),
            *(None, "{}"),
        )
        save_case(tx, made, read, is_over=False)
    invoice = Invoice("inv-1", ORGANIZATION, "F-1", case_id="case-1", currency="NOK", raw="{}")
    save_invoices(tx, [replace(invoice, remaining_amount=Decimal("1234567890123.10"))], read)
    items = (
        BatchItem(True, invoice_id="inv-1", invoice_number="F-1"),
        BatchItem(False, invoice_number="F-2", errors='["too old", 1.50]'),
    )
    made_batch = Batch("batch-1", ORGANIZATION, "INVOICE", "PARTIAL", AT, None, items, raw="{}")
    batches.save(tx, made_batch, read)
    raw = '{"amount":10.50,"note":"\\ud800"}'
    settled = Settlement("set-1", ORGANIZATION, "8811", "DEBT", "NOK", "ref", raw)
    save_settlement(tx, settled, read)
    states = (ActionState.PLANNED, ActionState.UNCERTAIN, ActionState.REFUSED)
    for number, state in enumerate(states):
        ledger.plan(tx, asked(number, state))
    held = Hold("hold-1", "case-1", "dispute", "policy", AT, until=AT + timedelta(days=9000))
    holds.place(tx, held)
    decided = Decision(EntityKey.parse("case:case-1"), "level", "paused", "Held.", {"level": 1})
    decisions.save(tx, [(decided, 1)])


def asked(number: int, state: ActionState) -> Action:
    """Make a request about a case in this state."""
    closed = AT if state is not ActionState.PLANNED else None
    return Action(
        *(f"action-{number}", ActionKind.WITHDRAW_CASE, f"case-{number}", ORGANIZATION),
        *(f"asked:{number}", state, AT),
        closed_at=closed,
        detail={"reason": "paid"},
    )
