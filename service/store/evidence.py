"""What the rows say about the assumptions of the contract: counts and words, no values of people.

Every question looks at a bounded number of rows.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from sqlalchemy import Column, Table, case, func, select

from service.store.database import Tx
from service.store.schema import actions, batch_items, batches, cases, events, settlements

#: Rows that are looked at, the newest first.
MOST = 200


@dataclass(frozen=True, slots=True)
class Traces:
    """What was found in SQL."""

    #: Webhooks that were worked on to the end, among the newest.
    applied: int
    #: Of the newest webhooks, those whose id or key came with another body.
    variants: int
    #: Actions by (kind, fate): `taken`, `unknown_path` (404, 405), `conflict`, `invalid`.
    actions: Counter[tuple[str, str]]
    #: The longest time from a call to the read that showed its effect.
    slowest_effect: timedelta | None
    #: Failed items of batches, and those whose known members were all absent.
    failed_items: int
    silent_items: int
    #: Settlements, and those with a number in a member that is an amount.
    settlements: int
    with_amounts: int
    #: Statuses of cases with an end.
    closed_statuses: frozenset[str]
    #: `type` of the debtors of the newest cases.
    debtor_types: frozenset[str]
    #: Times of cases, and those that were written without an offset.
    times: int
    times_without_offset: int


def gather(tx: Tx) -> Traces:
    """Look at the newest rows of each kind."""
    applied, variants = webhooks(tx)
    failed, silent = failed_items(tx)
    paid = [json.loads(raw) for raw in newest(tx, settlements, settlements.c.raw)]
    kept = [json.loads(raw) for raw in newest(tx, cases, cases.c.raw)]
    times = [text for each in kept for text in times_of(each)]
    return Traces(
        applied=applied,
        variants=variants,
        actions=fates(tx),
        slowest_effect=slowest_effect(tx),
        failed_items=failed,
        silent_items=silent,
        settlements=len(paid),
        with_amounts=sum(1 for each in paid if has_amount(each)),
        closed_statuses=closed_statuses(tx),
        debtor_types=frozenset(kind for each in kept for kind in debtor_types(each)),
        times=len(times),
        times_without_offset=sum(1 for text in times if not has_offset(text)),
    )


def webhooks(tx: Tx) -> tuple[int, int]:
    """Count the applied ones and the variants among the newest."""
    latest = select(events.c.outcome, events.c.is_variant).order_by(events.c.seq.desc()).limit(MOST)
    rows = tx.execute(latest).all()
    applied = sum(1 for row in rows if row.outcome == "applied")
    return applied, sum(1 for row in rows if row.is_variant)


def fates(tx: Tx) -> Counter[tuple[str, str]]:
    """Count the actions by what Amili's answer says about their path and body."""
    said = actions.c.error
    fate = case(
        (actions.c.state.in_(("answered", "confirmed")), "taken"),
        (said.like("%(HTTP 404)%") | said.like("%(HTTP 405)%"), "unknown_path"),
        (said.like("%(HTTP 409)%"), "conflict"),
        (said.like("%(HTTP 400)%") | said.like("%(HTTP 422)%"), "invalid"),
        else_="open",
    )
    asked = select(actions.c.kind, fate, func.count()).group_by(actions.c.kind, fate)
    return Counter({(kind, word): count for kind, word, count in tx.execute(asked)})


def slowest_effect(tx: Tx) -> timedelta | None:
    """Return the longest time between a call's end and its confirmation, of the newest."""
    asked = (
        select(actions.c.ended_at, actions.c.closed_at)
        .where(
            actions.c.state == "confirmed",
            actions.c.ended_at.is_not(None),
            actions.c.closed_at.is_not(None),
        )
        .order_by(actions.c.seq.desc())
        .limit(MOST)
    )
    return max((row.closed_at - row.ended_at for row in tx.execute(asked)), default=None)


def failed_items(tx: Tx) -> tuple[int, int]:
    """Count failed items, and those that say nothing that we can read."""
    asked = (
        select(batch_items)
        .join(batches, batches.c.batch_id == batch_items.c.batch_id)
        .where(~batch_items.c.succeeded)
        .order_by(batches.c.fetch_number.desc())
        .limit(MOST)
    )
    rows = tx.execute(asked).all()
    told = ("invoice_number", "unique_source_invoice_id", "errors")
    silent = [row for row in rows if not any(says(getattr(row, name)) for name in told)]
    return len(rows), len(silent)


def says(text: str | None) -> bool:
    """Tell whether a member says something: an empty list does not."""
    return text not in (None, "", "[]", "null")


def closed_statuses(tx: Tx) -> frozenset[str]:
    """Return the statuses of cases that have an end."""
    asked = select(cases.c.status).where(cases.c.closed_at.is_not(None)).distinct().limit(MOST)
    return frozenset(status for (status,) in tx.execute(asked) if status)


def newest(tx: Tx, table: Table, column: Column[Any]) -> list[str]:
    """Return the newest records of a kind as they were read."""
    asked = select(column).where(column.is_not(None)).order_by(table.c.fetch_number.desc())
    return [text for (text,) in tx.execute(asked.limit(MOST))]


def has_amount(record: Any) -> bool:
    """Tell whether a record has a member whose name says amount and whose value is a number."""
    if not isinstance(record, dict):
        return False
    return any(
        "amount" in name.lower() and isinstance(value, (int, float)) and value is not True
        for name, value in record.items()
    )


def debtor_types(record: Any) -> Iterator[str]:
    """Give the types of a case's debtors: words, nothing of a person."""
    found = record.get("debtors") if isinstance(record, dict) else None
    for debtor in found if isinstance(found, list) else ():
        kind = debtor.get("type") if isinstance(debtor, dict) else None
        if isinstance(kind, str):
            yield kind


def times_of(record: Any) -> Iterable[str]:
    """Give the times of a case."""
    if not isinstance(record, dict):
        return []
    found = (record.get(name) for name in ("registeredAt", "closedAt"))
    return [text for text in found if isinstance(text, str) and "T" in text]


def has_offset(text: str) -> bool:
    """Tell whether a time says its zone."""
    clock = text.partition("T")[2]
    return clock.endswith(("Z", "z")) or "+" in clock or "-" in clock
