"""The same work with a short and with a long history: store, claim, settle, on PostgreSQL.

Both histories are databases on one server, measured in turn. What is timed is the product's own
code, called as its worker calls it; only the fetches are left out, since their time is Amili's.
The history: settled events, ten on each case, with bodies of 400 bytes.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import psycopg

from service.amili.contract import Contract
from service.amili.resources import Case, Fetched, Invoice
from service.amili.texts import decode, encode
from service.domain.deliveries import Delivery, NewEvent, digest_of
from service.domain.entities import Claim, Kind, Read
from service.domain.receiving import receive
from service.settings import Settings
from service.store import events, migrating
from service.telemetry.metrics import Metrics
from tests.bench import bodies, stub_amili
from tests.bench.results import say
from tests.servers import fresh_database
from workers.applying import apply
from workers.looking import TOGETHER, claim
from workers.parts import Parts, opened
from workers.work import Result

T = TypeVar("T")
EVENTS_A_CASE = 10
#: Events of one turn, each on a case of its own that is not in the history.
FRESH = 1_000
GROUP = 256
CLAIMS = 200
CHUNK = 500_000

FILL_KEYS = """
INSERT INTO event_keys (digest, received_at)
SELECT sha256(convert_to('bench' || n, 'UTF8')), timestamptz '2026-01-01' + n * interval '1 second'
FROM generate_series(%(first)s::bigint, %(last)s::bigint) AS n
"""
FILL_EVENTS = """
INSERT INTO events (digest, event_id, type, label, entity, organization_id, idempotency_key,
    request_id, provider_at, received_at, body, hint, is_variant, state, outcome, attempts,
    settled_at)
SELECT sha256(convert_to('bench' || n, 'UTF8')), gen_random_uuid()::text,
    'CASE_UPDATED', 'CASE_UPDATED',
    'case:' || left(%(case)s::text, 24) || lpad((n / 10)::text, 12, '0'), %(organization)s::text,
    gen_random_uuid()::text, gen_random_uuid()::text,
    timestamptz '2026-01-01' + n * interval '1 second',
    timestamptz '2026-01-01' + n * interval '1 second',
    convert_to(rpad(n::text, 400, 'x'), 'UTF8'), '{"status": "OPEN"}', false, 'settled', 'applied',
    0, timestamptz '2026-01-01' + n * interval '1 second'
FROM generate_series(%(first)s::bigint, %(last)s::bigint) AS n
"""
FILL_ENTITIES = """
INSERT INTO entities (entity, kind, organization_id, lookup, wanted, done, due_at, attempts,
    failures, doubt, fence)
SELECT 'case:' || left(%(case)s::text, 24) || lpad(n::text, 12, '0'), 'case',
    %(organization)s::text, n::text, 10, 10, timestamptz '2026-01-01', 0, 0, 0, 1
FROM generate_series(%(first)s::bigint / 10, %(last)s::bigint / 10) AS n ON CONFLICT DO NOTHING
"""
FILL_CASES = """
INSERT INTO cases (case_id, case_number, organization_id, type, status, is_over, desired, level,
    raw, fetch_number, read_began_at, registered_at)
SELECT left(%(case)s::text, 24) || lpad(n::text, 12, '0'), n::text, %(organization)s::text,
    'PAYMENT_REMINDER', 'OPEN', false, 'running', 0, '{}', 1, timestamptz '2026-01-01',
    timestamptz '2026-01-01' + n * interval '1 second'
FROM generate_series(%(first)s::bigint / 10, %(last)s::bigint / 10) AS n ON CONFLICT DO NOTHING
"""
FILLS = (FILL_KEYS, FILL_EVENTS, FILL_ENTITIES, FILL_CASES)


@dataclass(frozen=True)
class Cost:
    """Milliseconds for each of the fresh events."""

    store_ms: float
    claim_ms: float
    settle_ms: float


@contextmanager
def history(postgres_url: str, count: int, folder: Path) -> Iterator[Parts]:
    """Make a database with so many settled events, and what a worker works with on it."""
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
            fill(url, count)
            yield parts


def fill(url: str, count: int) -> None:
    """Insert the history, a chunk at a time, and have PostgreSQL look at what it got."""
    with psycopg.connect(url, autocommit=True) as session:
        session.execute("SET synchronous_commit = off")
        for first in range(0, count, CHUNK):
            last = min(first + CHUNK, count) - 1
            words = {
                "first": first,
                "last": last,
                "case": bodies.case_id(0),
                "organization": bodies.ORGANIZATION,
            }
            for statement in FILLS:
                session.execute(statement, words)
            if count > CHUNK:
                say(f"  growth: {last + 1:,} of {count:,} events are stored")
        session.execute("VACUUM ANALYZE")
        session.execute("CHECKPOINT")


def measure(parts: Parts, turn: int) -> Cost:
    """Store fresh events, claim what is due, and settle it."""
    seed, first = time.time_ns(), 900_000_000 + turn * FRESH
    found = [
        receive(
            Delivery(digest_of(body), body, {}, datetime.now(UTC)), parts.settings.organization_ids
        )
        for body in (bodies.case_updated(seed, n, n) for n in range(first, first + FRESH))
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
    return Cost(*(1000 * seconds / FRESH for seconds in (store_s, claim_s, settle_s)))


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
