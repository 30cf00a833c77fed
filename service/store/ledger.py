"""The ledger: every call that changes something at Amili is a row here first."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict, fields
from datetime import timedelta
from typing import Any, NamedTuple

from sqlalchemy import Select, and_, bindparam, func, or_, select, update
from sqlalchemy.sql import ColumnElement

from service.domain.actions import SUBMISSIONS, Action, ActionKind, ActionState
from service.store.database import Tx
from service.store.schema import actions, entities

COLUMNS = tuple(actions.c[f.name] for f in fields(Action))


def plan(tx: Tx, *planned: Action) -> None:
    """Write planned actions; the database refuses a second open one, and a second of a cause."""
    if planned:
        tx.execute(actions.insert(), [row_of(action) for action in planned])


SAVE = update(actions).where(actions.c.action_id == bindparam("of"))
NOBODYS: dict[str, object] = {"holder": None, "lease_until": None}


def save(tx: Tx, changed: Iterable[Action]) -> None:
    """Write actions back; nobody holds them any more."""
    rows = [row_of(action) | NOBODYS | {"of": action.action_id} for action in changed]
    if rows:
        tx.execute(SAVE, rows)


def row_of(action: Action) -> dict[str, object]:
    """Turn an action into its row."""
    plain = {"kind": str(action.kind), "state": str(action.state)}
    return asdict(action) | plain | {"detail": json.dumps(dict(action.detail))}


def of_row(row: Sequence[object]) -> Action:
    """Turn a row into an action."""
    data = dict(zip((f.name for f in fields(Action)), row, strict=True))
    kind, state = ActionKind(str(data.pop("kind"))), ActionState(str(data.pop("state")))
    detail = json.loads(str(data.pop("detail")))
    return Action(kind=kind, state=state, detail=detail, **data)  # type: ignore[arg-type]


def of_cases(tx: Tx, case_ids: Sequence[str]) -> dict[str, tuple[Action, ...]]:
    """Return every action of these cases, oldest first; a submission's target is no case."""
    found: dict[str, list[Action]] = {case_id: [] for case_id in case_ids}
    asked = select(*COLUMNS).where(actions.c.target.in_(case_ids)).order_by(actions.c.seq)
    for row in tx.execute(asked):
        found[row.target].append(of_row(row))
    return {case_id: tuple(some) for case_id, some in found.items()}


def get(tx: Tx, action_id: str) -> Action | None:
    """Return one action, or None."""
    row = tx.execute(select(*COLUMNS).where(actions.c.action_id == action_id)).one_or_none()
    return None if row is None else of_row(row)


def listed(
    tx: Tx,
    *,
    case_id: str | None = None,
    state: str | None = None,
    before: int | None = None,
    limit: int = 50,
) -> list[tuple[int, Action]]:
    """Return (seq, action), newest first; `before` is the `seq` where the last page ended."""
    asked = select(actions.c.seq, *COLUMNS).order_by(actions.c.seq.desc()).limit(limit)
    if before is not None:
        asked = asked.where(actions.c.seq < before)
    if case_id is not None:
        asked = asked.where(actions.c.target == case_id)
    if state is not None:
        asked = asked.where(actions.c.state == state)
    return [(row[0], of_row(row[1:])) for row in tx.execute(asked)]


class Due(NamedTuple):
    """An action that something is to be done about, as far as one must know to lock its rows."""

    action_id: str
    kind: ActionKind
    target: str


def due(tx: Tx, kinds: Iterable[ActionKind], limit: int) -> list[Due]:
    """Return what of these kinds is planned and may be sent now, oldest first."""
    asked = (
        select(actions.c.action_id, actions.c.kind, actions.c.target)
        .where(is_due(tx), actions.c.kind.in_(sorted(kinds)))
        .order_by(actions.c.seq)
        .limit(limit)
    )
    return due_of(tx, asked)


def due_of(tx: Tx, asked: Select[Any]) -> list[Due]:
    """Read rows of (action id, kind, target)."""
    return [Due(name, ActionKind(kind), target) for name, kind, target in tx.execute(asked)]


def due_count(tx: Tx) -> int:
    """Count what is planned and may be sent now, and what is to be looked up."""
    asked = select(func.count()).select_from(actions).where(or_(is_due(tx), is_lost(tx)))
    return int(tx.execute(asked).scalar_one())


def is_due(tx: Tx) -> ColumnElement[bool]:
    """Say which actions may be sent now."""
    return and_(
        actions.c.state == ActionState.PLANNED,
        or_(actions.c.not_before.is_(None), actions.c.not_before <= tx.now),
    )


def is_lost(tx: Tx) -> ColumnElement[bool]:
    """Say which submissions are to be looked up at Amili: their answer was lost."""
    return and_(
        actions.c.state == ActionState.UNCERTAIN,
        actions.c.kind.in_(sorted(SUBMISSIONS)),
        actions.c.closed_at.is_(None),
        actions.c.not_before <= tx.now,
    )


def lost(tx: Tx, limit: int) -> list[Due]:
    """Return the submissions that are to be looked up now."""
    asked = (
        select(actions.c.action_id, actions.c.kind, actions.c.target)
        .where(is_lost(tx))
        .order_by(actions.c.seq)
        .limit(limit)
    )
    return due_of(tx, asked)


def lock(tx: Tx, action_id: str) -> Action | None:
    """Lock one action and return it: what a submission, which has no case, is locked by."""
    asked = select(*COLUMNS).where(actions.c.action_id == action_id)
    if not tx.is_sqlite:
        asked = asked.with_for_update()
    row = tx.execute(asked).one_or_none()
    return None if row is None else of_row(row)


def send(tx: Tx, action: Action, holder: str, lease: timedelta) -> None:
    """Note, before the call, that it is being made, and by whom."""
    tx.execute(
        update(actions)
        .where(actions.c.action_id == action.action_id)
        .values(holder=holder, lease_until=tx.now + lease, **row_of(action))
    )


def holder_of(tx: Tx, action_id: str) -> str | None:
    """Return who is making the call; None when it is settled or was taken away."""
    asked = select(actions.c.holder).where(
        actions.c.action_id == action_id, actions.c.state == ActionState.SENT
    )
    found: str | None = tx.execute(asked).scalar_one_or_none()
    return found


def abandoned(tx: Tx, limit: int = 200) -> list[Due]:
    """Return calls whose maker is gone: nobody knows whether they arrived."""
    asked = (
        select(actions.c.action_id, actions.c.kind, actions.c.target)
        .where(actions.c.state == ActionState.SENT, actions.c.lease_until <= tx.now)
        .order_by(actions.c.seq)
        .limit(limit)
    )
    return due_of(tx, asked)


def is_abandoned(tx: Tx, action_id: str) -> bool:
    """Say whether the maker of this call is gone; asked again under the lock of its case."""
    asked = select(actions.c.seq).where(
        actions.c.action_id == action_id,
        actions.c.state == ActionState.SENT,
        actions.c.lease_until <= tx.now,
    )
    return tx.execute(asked).first() is not None


def forgotten(tx: Tx, since: timedelta, limit: int = 200) -> list[tuple[str, str, str | None]]:
    """Return (action id, case id, organization) of calls that are not final and nobody reads back.

    Reading the case back failed for good, perhaps: a state that is not final is never left alone.
    """
    entity = "case:" + actions.c.target
    asked = (
        select(actions.c.action_id, actions.c.target, actions.c.organization_id)
        .join(entities, entities.c.entity == entity)
        .where(
            actions.c.state.in_((ActionState.ANSWERED, ActionState.UNCERTAIN)),
            actions.c.closed_at.is_(None),
            actions.c.ended_at <= tx.now - since,
            entities.c.wanted == entities.c.done,
        )
        .order_by(actions.c.seq)
        .limit(limit)
    )
    return [(row.action_id, row.target, row.organization_id) for row in tx.execute(asked)]


def open_counts(tx: Tx) -> dict[tuple[str, str], float]:
    """Count what is not final by kind and state."""
    asked = (
        select(actions.c.kind, actions.c.state, func.count())
        .where(
            actions.c.state.in_(("planned", "sent", "answered", "uncertain")),
            # What waits for a person stays counted; what was answered for good does not.
            or_(actions.c.closed_at.is_(None), actions.c.state == ActionState.UNCERTAIN),
        )
        .group_by(actions.c.kind, actions.c.state)
    )
    return {(kind, state): float(count) for kind, state, count in tx.execute(asked)}


def renew(tx: Tx, holder: str, lease: timedelta) -> None:
    """Lengthen the lease of every call that this holder is making."""
    tx.execute(
        update(actions)
        .where(actions.c.state == ActionState.SENT, actions.c.holder == holder)
        .values(lease_until=tx.now + lease)
    )
