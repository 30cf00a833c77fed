"""Records for the tests of the store: an event, a claim, an action, each in one line."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import pytest

from service.domain.actions import Action, ActionKind, ActionState
from service.domain.deliveries import Delivery, EventState, NewEvent, digest_of
from service.domain.entities import Claims, EntityKey, Kind, Read
from service.domain.records import Case, Invoice, Settlement
from service.store import batches, cases, invoices, migrating
from service.store.database import Database, Tx
from service.store.registry import metadata
from tests import servers

NOON = datetime(2026, 5, 1, 12, tzinfo=UTC)
LEASE = timedelta(seconds=10)


class Clock:
    """The store's clock, moved by hand."""

    def __init__(self) -> None:
        self.now = NOON

    def __call__(self) -> datetime:
        return self.now

    def forward(self, seconds: float) -> None:
        """Let time pass."""
        self.now += timedelta(seconds=seconds)


def with_driver(url: str) -> str:
    """Name the driver that this house uses."""
    return url.replace("postgresql://", "postgresql+psycopg://")


@contextmanager
def migrated(url: str, clock: Clock | None = None) -> Iterator[Database]:
    """Open a database with the newest schema."""
    database = Database(with_driver(url), pool=6, clock=clock)
    try:
        migrating.upgrade(database)
        yield database
    finally:
        database.close()


@contextmanager
def shared_database(
    request: pytest.FixtureRequest, factory: pytest.TempPathFactory
) -> Iterator[str]:
    """Give the URL of one migrated database for a whole module; `request.param` names its kind."""
    if request.param == "sqlite":
        url = f"sqlite:///{factory.mktemp('shared') / 'amili.db'}"
        with migrated(url):
            yield url
        return
    with servers.fresh_database(request.getfixturevalue("postgres_server")) as url:
        with migrated(url):
            pass
        yield url


@contextmanager
def emptied(url: str, clock: Clock | None = None) -> Iterator[Database]:
    """Open a migrated database, with every row of earlier tests gone."""
    database = Database(with_driver(url), pool=6, clock=clock)
    try:
        with database.engine.begin() as connection:
            for table in reversed(metadata.sorted_tables):
                if table.name != "fetch_numbers":
                    connection.execute(table.delete())
        yield database
    finally:
        database.close()


def case_key(name: str = "1") -> EntityKey:
    """Name a case."""
    return EntityKey(Kind.CASE, f"case-{name}")


def event(
    body: str,
    *,
    key: EntityKey | None = None,
    event_id: str | None = None,
    idempotency_key: str | None = None,
    claims: Claims | None = None,
    lookup: str | None = None,
) -> NewEvent:
    """Make an event whose body is this text."""
    raw = body.encode()
    headers = {} if idempotency_key is None else {"idempotencykey": idempotency_key}
    return NewEvent(
        Delivery(digest_of(raw), raw, headers, NOON),
        event_id=event_id or f"id of {body}",
        type="CASE_UPDATED",
        label="CASE_UPDATED",
        state=EventState.RECEIVED,
        key=key or case_key(),
        lookup=lookup,
        organization_id="org-1",
        provider_at=NOON,
        claims=claims,
    )


def received(
    body: str, at: datetime, *, event_id: str | None = None, claims: Claims | None = None
) -> NewEvent:
    """Make an event that was received at this moment."""
    made = event(body, event_id=event_id, claims=claims)
    return replace(made, delivery=replace(made.delivery, received_at=at))


def action(
    *,
    case_id: str = "case-1",
    level: int = 1,
    kind: ActionKind = ActionKind.PAUSE_CASE,
    state: ActionState = ActionState.PLANNED,
) -> Action:
    """Make a row of the ledger."""
    return Action(str(uuid4()), kind, case_id, "org-1", f"level:{level}", state, NOON)


def case(name: str = "1", *, status: str = "OPEN", organization_id: str | None = "org-1") -> Case:
    """Make a case as Amili shows it."""
    return Case(
        case_id=f"case-{name}",
        case_number=f"number-{name}",
        organization_id=organization_id,
        status=status,
        sub_status=None,
        type="COLLECTION_NOTICE",
        description=None,
        registered_at=NOON,
        closed_at=None,
        raw="{}",
    )


def save_case(tx: Tx, shown: Case, read: Read, *, is_over: bool = False) -> bool:
    """Write a case as a look does, its level as it stands; False: a later reading stands there."""
    standing = cases.lock(tx, [shown.case_id]).get(shown.case_id)
    saved = cases.Saved(shown, read, is_over)
    if standing is not None:
        saved = replace(saved, level=standing.level, desired=standing.desired)
    return bool(cases.save(tx, [saved]))


def save_invoices(tx: Tx, shown: Iterable[Invoice], read: Read) -> set[str]:
    """Write invoices of one read; return the ids that were written."""
    return invoices.save(tx, [(each, read) for each in shown])


def save_settlement(tx: Tx, shown: Settlement, read: Read) -> bool:
    """Write a settlement; False: a later reading stands there."""
    return bool(batches.save_settlements(tx, [(shown, read)]))
