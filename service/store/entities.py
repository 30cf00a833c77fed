"""Who looks at which entity, and when: due, claimed, done.

`wanted` rises with every reason to look; a claim notes it, and settling the claim sets
`done` to the noted value: what came in between stays due. A claim is a lease with a
fencing number; every write of its holder first locks the row and compares both.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import (
    Row,
    and_,
    case,
    func,
    not_,
    or_,
    select,
    text,
    update,
)
from sqlalchemy.sql import ColumnElement, Select

from service.domain.entities import Claim, EntityKey, Nudge
from service.store import causes
from service.store import events as inbox
from service.store.database import Tx
from service.store.dialects import ROWS, among, insert
from service.store.schema import entities, fetch_numbers, nudges

#: Nudges that tell of a hold, and how long a back-off may keep them waiting.
HOLD_CAUSES = frozenset({"hold", "release", "expiry", "batch_failed", "reported"})
HOLD_WAITS_AT_MOST = timedelta(seconds=30)
#: Suspects that are claimed together, until one of them has so many attempts that it is alone.
FEW = 16
ALONE_FROM = 2


@dataclass(frozen=True, slots=True)
class Want:
    """A wish for a look at an entity, `times` over."""

    key: EntityKey
    times: int = 1
    organization_id: str | None = None
    lookup: str | None = None
    #: When the look is due; None: now.
    due_at: datetime | None = None
    hidden_since: datetime | None = None
    #: What the newest payload claims (`events.dump_claims`), and when it was received; None: no
    #: payload came.
    hint: str | None = None
    hint_at: datetime | None = None


def want(tx: Tx, wants: Iterable[Want]) -> None:
    """Raise `wanted`, sorted by key so that two sessions never deadlock on it."""
    rows = [
        {
            "entity": str(each.key),
            "kind": str(each.key.kind),
            "organization_id": each.organization_id,
            "lookup": each.lookup,
            "wanted": each.times,
            "done": 0,
            "due_at": each.due_at or tx.now,
            "attempts": 0,
            "failures": 0,
            "doubt": 0,
            "fence": 0,
            "hidden_since": each.hidden_since,
            "hint": each.hint,
            "hint_at": each.hint_at,
        }
        for each in sorted(wants, key=lambda each: str(each.key))
    ]
    if rows:
        raise_rows(tx, rows)


def raise_rows(tx: Tx, rows: Sequence[dict[str, Any]]) -> None:
    """Insert rows of entities, or raise those that stand there."""
    statement = insert(tx, entities)
    new = statement.excluded
    # A replay, or what waited in the spool, is no news.
    has_older = or_(new.hint_at.is_(None), new.hint_at < entities.c.hint_at)
    tx.execute(
        statement.on_conflict_do_update(
            index_elements=[entities.c.entity],
            set_={
                "wanted": entities.c.wanted + new.wanted,
                "due_at": case(
                    (entities.c.wanted == entities.c.done, new.due_at),
                    (entities.c.due_at < new.due_at, entities.c.due_at),
                    else_=new.due_at,
                ),
                "organization_id": func.coalesce(new.organization_id, entities.c.organization_id),
                "lookup": func.coalesce(new.lookup, entities.c.lookup),
                # What is new deserves all its re-reads.
                "doubt": 0,
                "hidden_since": case(
                    (new.hidden_since > entities.c.hidden_since, new.hidden_since),
                    else_=func.coalesce(entities.c.hidden_since, new.hidden_since),
                ),
                "hint": case((has_older, entities.c.hint), else_=new.hint),
                "hint_at": case((has_older, entities.c.hint_at), else_=new.hint_at),
            },
        ).returning(entities.c.entity),  # many rows in one statement, which is not for nothing
        rows,
    )


def nudge(tx: Tx, found: Iterable[Nudge]) -> None:
    """Write down why each entity is to be looked at, and raise it."""
    ordered = sorted(found, key=lambda each: str(each.key))
    if not ordered:
        return
    tx.execute(
        nudges.insert(),
        [
            {
                "entity": str(each.key),
                "cause": each.cause,
                "detail": json.dumps(dict(each.detail), sort_keys=True),
                "created_at": tx.now,
            }
            for each in ordered
        ],
    )
    merged: dict[EntityKey, Want] = {}
    for each in ordered:
        due = tx.now + timedelta(seconds=each.after_seconds or 0)
        old = merged.get(each.key, Want(each.key, 0, due_at=due))
        merged[each.key] = Want(
            each.key,
            old.times + 1,
            each.organization_id or old.organization_id,
            each.lookup or old.lookup,
            min(due, old.due_at or due),
            tx.now if each.is_hidden_change else old.hidden_since,
        )
    want(tx, merged.values())
    hurry(tx, [str(each.key) for each in ordered if each.cause in HOLD_CAUSES])


def hurry(tx: Tx, names: Sequence[str]) -> None:
    """Shorten a long back-off: a hold does not wait an hour because a read was to."""
    soon = tx.now + HOLD_WAITS_AT_MOST
    for start in range(0, len(names), ROWS):
        some = names[start : start + ROWS]
        tx.execute(
            update(entities)
            .where(entities.c.entity.in_(some), entities.c.not_before > soon)
            .values(not_before=soon)
        )


# --- claiming ---------------------------------------------------------------


def is_due(now: datetime) -> ColumnElement[bool]:
    """Say what a worker may take: wanted, not backing off, and leased by nobody alive."""
    return and_(
        text("wanted > done"),
        entities.c.due_at <= now,
        or_(entities.c.not_before.is_(None), entities.c.not_before <= now),
        or_(entities.c.holder.is_(None), entities.c.lease_until <= now),
    )


def due_count(tx: Tx) -> int:
    """Count what waits for a worker now."""
    asked = select(func.count()).select_from(entities).where(is_due(tx.now))
    return int(tx.execute(asked).scalar_one())


def claim(tx: Tx, holder: str, *, limit: int, lease: timedelta) -> tuple[Claim, ...]:
    """Lease up to `limit` due entities, but no suspects."""
    return take(tx, holder, lease, tx.execute(pick(tx, not_(is_suspect()), limit)).all())


def claim_suspects(
    tx: Tx, holder: str, *, lease: timedelta, alone_from: int = ALONE_FROM
) -> tuple[Claim, ...]:
    """Lease a few suspects, or one that has `alone_from` attempts or more.

    One by one a large group that was hit twice would wait long for what one of them did at most.
    """
    few = pick(tx, and_(is_suspect(), entities.c.attempts < alone_from), FEW)
    rows = tx.execute(few).all() or tx.execute(pick(tx, is_suspect(), 1)).all()
    return take(tx, holder, lease, rows)


def has_suspects(tx: Tx) -> bool:
    """Say whether a suspect is due."""
    asked = select(entities.c.entity).where(is_due(tx.now), is_suspect()).limit(1)
    return tx.execute(asked).first() is not None


def is_suspect() -> ColumnElement[bool]:
    """Say whose holder died although it had failed before: it may be what kills.

    A first death is not enough, for it is usually a deployment, and hits hundreds at once.
    """
    return and_(entities.c.holder.is_not(None), entities.c.attempts > 0)


def take(tx: Tx, holder: str, lease: timedelta, rows: Sequence[Row[Any]]) -> tuple[Claim, ...]:
    """Lease these rows."""
    if not rows:
        return ()
    names = [row.entity for row in rows]
    died = {row.entity for row in rows if row.holder is not None}
    tx.execute(
        update(entities)
        .where(among(tx, entities.c.entity, names))
        .values(
            holder=holder,
            fence=entities.c.fence + 1,
            lease_until=tx.now + lease,
            attempts=entities.c.attempts + case((entities.c.holder.is_not(None), 1), else_=0),
        )
    )
    claims = (
        Claim(
            key=EntityKey.parse(row.entity),
            organization_id=row.organization_id,
            lookup=row.lookup,
            wanted=row.wanted,
            fence=row.fence + 1,
            holder=holder,
            attempts=row.attempts + (1 if row.entity in died else 0),
            failures=row.failures,
            doubt=row.doubt,
            hidden_since=row.hidden_since,
            newest=inbox.load_claims(row.hint),
        )
        for row in rows
    )
    return causes.added(tx, tuple(claims))


def pick(tx: Tx, which: ColumnElement[bool], limit: int) -> Select[Any]:
    """Select due rows, oldest first, skipping what another session is looking at."""
    asked = select(entities).where(is_due(tx.now), which).order_by(entities.c.due_at).limit(limit)
    return asked if tx.is_sqlite else asked.with_for_update(skip_locked=True)


def number(tx: Tx, claims: Sequence[Claim]) -> tuple[Claim, ...]:
    """Give each claim its fetch number: after the claim is committed, before any request.

    A larger number then means: the reading began later.
    """
    count = len(claims)
    if not count:
        return ()
    if tx.is_sqlite:
        taken = tx.execute(
            update(fetch_numbers)
            .where(fetch_numbers.c.name == "fetch")
            .values(value=fetch_numbers.c.value + count)
            .returning(fetch_numbers.c.value)
        ).scalar_one()
        numbers = list(range(taken - count + 1, taken + 1))
    else:
        series = text("SELECT nextval('fetch_number') FROM generate_series(1, :count)")
        numbers = list(tx.connection.execute(series, {"count": count}).scalars())
    return tuple(
        replace(claim, fetch_number=int(each))
        for claim, each in zip(claims, sorted(numbers), strict=True)
    )


def renew(tx: Tx, holder: str, lease: timedelta) -> int:
    """Lengthen every lease of this holder that it still has; return how many."""
    done = tx.execute(
        update(entities).where(entities.c.holder == holder).values(lease_until=tx.now + lease)
    )
    return int(done.rowcount)


# --- settling a claim ---------------------------------------------------------


def still_held(tx: Tx, claims: Sequence[Claim]) -> dict[EntityKey, int]:
    """Lock the rows; return those whose lease is still ours, with the `wanted` of this moment."""
    names = sorted(str(claim.key) for claim in claims)
    asked = (
        select(entities.c.entity, entities.c.holder, entities.c.fence, entities.c.wanted)
        .where(among(tx, entities.c.entity, names))
        .order_by(entities.c.entity)
    )
    if not tx.is_sqlite:
        asked = asked.with_for_update()
    now_held = {row.entity: row for row in tx.execute(asked)}
    held = {}
    for claim in claims:
        row = now_held.get(str(claim.key))
        if row is not None and (row.holder, row.fence) == (claim.holder, claim.fence):
            held[claim.key] = row.wanted
    return held


def put_off(tx: Tx, claim: Claim, *, until: datetime, error: str, counts: bool) -> None:
    """Give the claim back, due again at `until`; `counts`: it was an attempt."""
    tx.execute(
        update(entities)
        .where(entities.c.entity == str(claim.key))
        .values(
            # Of what stands there: an operator may have begun anew meanwhile.
            attempts=entities.c.attempts + (1 if counts else 0),
            failures=entities.c.failures + 1,
            not_before=until,
            holder=None,
            lease_until=None,
            error=error,
        )
    )


def wait(tx: Tx, claim: Claim, *, until: datetime, error: str) -> None:
    """Give the claim back, due again at `until`: nothing failed, it was too soon."""
    tx.execute(
        update(entities)
        .where(entities.c.entity == str(claim.key))
        .values(
            not_before=until,
            holder=None,
            lease_until=None,
            error=error,
        )
    )


def give_up(tx: Tx, claim: Claim, *, error: str, until: datetime, is_watched: bool = False) -> None:
    """Stop trying for its events; what has nudges or is watched stays due, slowly."""
    stays = bool(claim.nudges) or is_watched
    tx.execute(
        update(entities)
        .where(entities.c.entity == str(claim.key))
        .values(
            done=entities.c.done if stays else claim.wanted,
            attempts=0,  # else an entity whose holders died would never be tried again
            failures=claim.failures + 1 if stays else 0,
            not_before=until if stays else None,
            holder=None,
            lease_until=None,
            error=error,
        )
    )


def hand_back(tx: Tx, holder: str) -> int:
    """Release every lease of a holder that stops; the work is due at once for others."""
    done = tx.execute(
        update(entities).where(entities.c.holder == holder).values(holder=None, lease_until=None)
    )
    return int(done.rowcount)


def forget_nudges(tx: Tx, claims: Iterable[Claim]) -> None:
    """Delete exactly the nudges that these claims noted."""
    noted = [cause.row for claim in claims for cause in claim.nudges]
    for some in inbox.chunks(noted):
        tx.execute(nudges.delete().where(among(tx, nudges.c.nudge, some)))


def revive(tx: Tx, wanted: Sequence[Want]) -> None:
    """Make entities due at once, whatever they were waiting for: an operator asks."""
    want(tx, wanted)
    tx.execute(
        update(entities)
        .where(entities.c.entity.in_([str(each.key) for each in wanted]))
        .values(not_before=None, attempts=0, failures=0, due_at=tx.now)
    )
