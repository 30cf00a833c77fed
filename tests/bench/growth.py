"""The same work with a short and with a long history: store, claim, settle, look up, on PostgreSQL.

Both histories are databases on one server, measured in turn. What is timed is the product's own
code, called as its worker calls it; only the fetches are left out, since their time is Amili's.
The short history is of the last days, the long one of twelve months, a partition each: settled
events, ten on each case, with bodies of 400 bytes. Fresh events are about the newest cases of it.
"""

from __future__ import annotations

import hashlib
import random
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any, LiteralString, TypeVar

import psycopg

from service.amili.contract import Contract
from service.amili.resources import Case, Fetched, Invoice
from service.amili.texts import decode, encode
from service.desk.reading import Reading
from service.domain.deliveries import Delivery, NewEvent, digest_of
from service.domain.entities import Claim, Kind, Read
from service.domain.receiving import receive
from service.settings import Settings
from service.store import events, migrating, partitions, retention
from service.store.counting import Counter
from service.store.database import Database
from service.store.retention import Place
from service.telemetry.metrics import Metrics
from tests.bench import bodies, stub_amili
from tests.bench.results import say
from tests.bench.stage import Broken
from tests.servers import PostgresServer, fresh_database
from workers.applying import apply
from workers.looking import TOGETHER, claim
from workers.parts import Parts, opened
from workers.work import Result

T = TypeVar("T")
EVENTS_A_CASE = 10
#: Events of one turn, each on a case of its own.
FRESH = 1_000
GROUP = 256
CLAIMS = 200
CHUNK = 250_000
LOADERS = 3
#: Turns before the first that is measured: psycopg prepares a statement the sixth time that it is
#: asked, and PostgreSQL settles for a plan five times later.
WARM = 3
#: Times that a quick question is asked in a turn.
TIMES = 50
SHORT_SPAN, LONG_SPAN = timedelta(days=30), timedelta(days=365)

FILL_KEYS = """
INSERT INTO event_keys (digest, received_at)
SELECT sha256(convert_to('bench' || n, 'UTF8')),
    %(start)s::timestamptz + n * %(step)s::interval
FROM generate_series(%(first)s::bigint, %(last)s::bigint) AS n
"""
FILL_EVENTS = """
INSERT INTO events (digest, event_id, type, label, entity, organization_id, idempotency_key,
    request_id, provider_at, received_at, body, hint, is_variant, state, outcome, attempts,
    settled_at)
SELECT sha256(convert_to('bench' || n, 'UTF8')), md5('id' || n)::uuid::text,
    'CASE_UPDATED', 'CASE_UPDATED',
    'case:' || left(%(case)s::text, 24) || lpad((n / 10)::text, 12, '0'), %(organization)s::text,
    md5('key' || n), md5('request' || n), at, at,
    convert_to(rpad(n::text, 400, 'x'), 'UTF8'), '{"status": "OPEN"}', false, 'settled',
    'applied', 1, at
FROM generate_series(%(first)s::bigint, %(last)s::bigint) AS n,
    LATERAL (SELECT %(start)s::timestamptz + n * %(step)s::interval AS at) AS moment
"""
FILL_ENTITIES = """
INSERT INTO entities (entity, kind, organization_id, lookup, wanted, done, due_at, attempts,
    failures, doubt, fence, hint, hint_at)
SELECT 'case:' || left(%(case)s::text, 24) || lpad(n::text, 12, '0'), 'case',
    %(organization)s::text, n::text, 10, 10, timestamptz '2026-01-01', 0, 0, 0, 1,
    '{"status": "OPEN"}', timestamptz '2026-01-01'
FROM generate_series(%(first)s::bigint / 10, %(last)s::bigint / 10) AS n ON CONFLICT DO NOTHING
"""
FILL_CASES = """
INSERT INTO cases (case_id, case_number, organization_id, type, status, is_over, desired, level,
    raw, fetch_number, read_began_at, registered_at)
SELECT left(%(case)s::text, 24) || lpad(n::text, 12, '0'), n::text, %(organization)s::text,
    'PAYMENT_REMINDER', 'OPEN', false, 'running', 0, '{}', 0, timestamptz '2026-01-01',
    timestamptz '2026-01-01' + n * interval '1 second'
FROM generate_series(%(first)s::bigint / 10, %(last)s::bigint / 10) AS n ON CONFLICT DO NOTHING
"""
FILLS = (FILL_KEYS, FILL_EVENTS, FILL_ENTITIES, FILL_CASES)
#: Indexes of what grows, without those of the partitions: they are built after the rows.
BUILT_LATER = """
SELECT c.relname, pg_get_indexdef(i.indexrelid), con.conname, i.indrelid::regclass::text,
    pg_get_constraintdef(con.oid)
FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid
LEFT JOIN pg_constraint con ON con.conindid = i.indexrelid
WHERE i.indrelid IN ('events'::regclass, 'event_keys'::regclass)
"""
SIZE = """
SELECT pg_total_relation_size('event_keys') + sum(pg_total_relation_size(relid))
FROM pg_partition_tree('events')
"""


@dataclass(frozen=True)
class Cost:
    """What a turn cost: milliseconds for each of the fresh events, and for each question."""

    store_ms: float
    claim_ms: float
    settle_ms: float
    show_ms: float
    page_ms: float
    gauges_ms: float


@dataclass(frozen=True)
class History:
    """A database with so many settled events, and what a worker works with on it."""

    count: int
    parts: Parts
    url: str
    fill_seconds: float

    def size(self) -> int:
        """Bytes of all events and their keys, with indexes; what is dead in them is vacuumed."""
        self._answer("VACUUM (ANALYZE) events")
        return self._answer(SIZE)

    def stored(self) -> int:
        """Count the events, those of the turns with them."""
        return self._answer("SELECT count(*) FROM event_keys")

    def _answer(self, question: LiteralString) -> int:
        with psycopg.connect(self.url, autocommit=True) as session:
            cursor = session.execute(question)
            row = cursor.fetchone() if cursor.description else None
        return int(row[0]) if row else 0


@contextmanager
def history(postgres_url: str, count: int, folder: Path, span: timedelta) -> Iterator[History]:
    """Make such a database."""
    with fresh_database(postgres_url) as url:
        settings = Settings.model_validate(
            {
                "database_url": url,
                "data_dir": folder,
                "organization_ids": bodies.ORGANIZATION,
                "lease_seconds": 600,
                "lease_renew_seconds": 3,
            }
        )
        with opened(settings, Contract(), Metrics(), "bench") as parts:
            migrating.upgrade(parts.database)
            began = time.perf_counter()
            fill(parts.database, url, count, span)
            yield History(count, parts, url, time.perf_counter() - began)


def configure(postgres: PostgresServer) -> None:
    """Give the server memory as one in production has; this needs a new start."""
    with psycopg.connect(postgres.url, autocommit=True) as session:
        for name, value in SERVER.items():
            session.execute(f"ALTER SYSTEM SET {name} = '{value}'")
    postgres.stop()
    postgres.start()


SERVER = {"shared_buffers": "1GB", "max_wal_size": "8GB", "maintenance_work_mem": "1GB"}


def fill(database: Database, url: str, count: int, span: timedelta) -> None:
    """Insert the history, a chunk at a time, and have PostgreSQL look at what it got."""
    end = datetime.now(UTC) - timedelta(minutes=1)
    month = partitions.month_of(end - span)
    while month < end:
        database.run(partial(partitions.make, month=month))
        month = partitions.following(month)
    with psycopg.connect(url, autocommit=True) as session:
        later = list(without_indexes(session))
    insert = partial(fill_chunk, url, count, end - span, span / count)
    with ThreadPoolExecutor(LOADERS) as loaders:
        for last in loaders.map(insert, range(0, count, CHUNK)):
            if count > CHUNK:
                say(f"  growth: {last + 1:,} of {count:,} events are stored")
    with psycopg.connect(url, autocommit=True) as session:
        for statement in later:
            session.execute(statement)
        session.execute("VACUUM ANALYZE")
        session.execute("CHECKPOINT")


def fill_chunk(url: str, count: int, start: datetime, step: timedelta, first: int) -> int:
    """Insert a chunk of the history; return the number of its last event."""
    last = min(first + CHUNK, count) - 1
    words = {
        "first": first,
        "last": last,
        "start": start,
        "step": step,
        "case": bodies.case_id(0),
        "organization": bodies.ORGANIZATION,
    }
    with psycopg.connect(url, autocommit=True) as session:
        session.execute("SET synchronous_commit = off")
        for statement in FILLS:
            session.execute(statement, words)
    return last


def without_indexes(session: psycopg.Connection[Any]) -> Iterator[str]:
    """Drop the indexes of what grows; return the statements that build them again."""
    for index, definition, constraint, table, words in session.execute(BUILT_LATER).fetchall():
        if constraint:
            session.execute(f"ALTER TABLE {table} DROP CONSTRAINT {constraint}")
            yield f"ALTER TABLE {table} ADD CONSTRAINT {constraint} {words}"
        else:
            session.execute(f"DROP INDEX {index}")
            yield definition.replace(" ON ONLY ", " ON ")


def measure(history: History, turn: int) -> Cost:
    """Store fresh events, claim what is due, and settle it; then ask what an operator asks."""
    store_ms, claim_ms, settle_ms = worked_on(history)
    return Cost(store_ms, claim_ms, settle_ms, *asked(history, turn))


def worked_on(history: History) -> tuple[float, float, float]:
    """Have fresh events stored, claimed and settled; milliseconds for each event."""
    parts, seed = history.parts, time.time_ns()
    newest = history.count // EVENTS_A_CASE - FRESH
    found = [
        receive(delivery(bodies.case_updated(seed, n, n)), parts.settings.organization_ids)
        for n in range(newest, newest + FRESH)
    ]
    store_s = claim_s = settle_s = 0.0
    for start in range(0, FRESH, GROUP):
        store_s += timed(partial(store, parts, found[start : start + GROUP]))[1]
    while True:
        (claims, read), seconds = timed(partial(claim, parts, CLAIMS))
        claim_s += seconds
        if not claims:
            break
        results = [answered(each, read) for each in claims]
        for start in range(0, len(results), TOGETHER):
            settle_s += timed(partial(apply, parts, results[start : start + TOGETHER]))[1]
    per_event = 1000 / FRESH
    return per_event * store_s, per_event * claim_s, per_event * settle_s


def settled_bytes(history: History, turns: int = 10) -> float:
    """Work on more events, vacuum as the server does by itself, and see what each has added.

    With the pages of random indexes as full as they become by and by, not as after a load.
    """
    before = history.size()
    for _ in range(turns):
        worked_on(history)
        history.size()
    return (history.size() - before) / (turns * FRESH)


def asked(history: History, turn: int) -> tuple[float, float, float]:
    """Show events of any age, turn pages, take the gauges; milliseconds for one of each."""
    reading, chance = Reading(history.parts.database), random.Random(turn)
    ids = [event_id(chance.randrange(history.count)) for _ in range(TIMES)]
    shown = sum(timed(partial(reading.event, each))[1] for each in ids) / TIMES
    after, paged = None, 0.0
    for _ in range(TIMES):
        page, seconds = timed(partial(reading.events, after=after))
        after, paged = int(page["next"]), paged + seconds / TIMES
    counter = Counter(history.parts.database)
    counter.snapshot()  # the cases are counted now, and seldom
    gauges = timed(counter.count)[1]
    return 1000 * shown, 1000 * paged, 1000 * gauges


def event_id(number: int) -> str:
    """Name an event of the history, as `FILL_EVENTS` does."""
    return str(uuid.UUID(hashlib.md5(f"id{number}".encode(), usedforsecurity=False).hexdigest()))


def delivery(body: bytes) -> Delivery:
    """Receive a body now, under a key of its own."""
    digest = digest_of(body)
    return Delivery(digest, body, {"idempotencykey": digest.hex()[:32]}, datetime.now(UTC))


def retire_month(history: History) -> float:
    """Remove the oldest month; milliseconds."""
    database = history.parts.database
    with database.read() as tx:
        month = retention.old_months(tx, tx.now)[0]
    before = partitions.following(month)
    gone, seconds = timed(
        lambda: database.run(partial(retention.remove_month, month=month, before=before))
    )
    if not gone:
        raise Broken("the oldest month was not removed")
    return 1000 * seconds


def retire_some(history: History) -> float:
    """Remove the oldest 5,000 or fewer events of what is left; milliseconds for each."""
    database, place = history.parts.database, Place()
    removed = seconds = 0.0
    for _ in range(10):
        take = partial(retention.remove, before=datetime.now(UTC), place=place)
        (some, place), took = timed(partial(database.run, take))
        removed, seconds = removed + some, seconds + took
        if place.is_end:
            break
    return 1000 * seconds / max(removed, 1)


def store(parts: Parts, group: Sequence[NewEvent]) -> None:
    """Store a group in one transaction, as the drain does."""
    parts.database.run(lambda tx: events.store(tx, group))


def timed(do: Callable[[], T]) -> tuple[T, float]:
    """Do it, and say how long it took."""
    began = time.perf_counter()
    result = do()
    return result, time.perf_counter() - began


def answered(claim: Claim, read: Read) -> Result:
    """Give a claim what Amili would answer."""
    number = int(claim.key.id[-12:])
    made = stub_amili.case(number) if claim.key.kind is Kind.CASE else stub_amili.invoice(number)
    text = encode(made)
    kind: Any = Case if claim.key.kind is Kind.CASE else Invoice
    fetched = Fetched(kind.model_validate(decode(text.encode())), text)
    return Result(claim, Read(claim.fetch_number, read.began_at), fetched)
