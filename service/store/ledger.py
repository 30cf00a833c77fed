"""The ledger: every call that changes something at Amili is a row here first."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict, fields
from datetime import timedelta

from sqlalchemy import and_, func, or_, select, update
from sqlalchemy.sql import ColumnElement

from service.domain.actions import Action, ActionKind, ActionState
from service.store.database import Tx
from service.store.schema import actions, entities

COLUMNS = tuple(actions.c[f.name] for f in fields(Action))


def plan(tx: Tx, action: Action) -> None:
    """Write a planned action; the database refuses a second open one, and a second of a cause."""
    tx.execute(actions.insert().values(row_of(action)))


def save(tx: Tx, changed: Iterable[Action]) -> None:
    """Write actions back; nobody holds them any more."""
    for action in changed:
        tx.execute(
            update(actions)
            .where(actions.c.action_id == action.action_id)
            .values(holder=None, lease_until=None, **row_of(action))
        )


def row_of(action: Action) -> dict[str, object]:
    """Turn an action into its row."""
    return asdict(action) | {"kind": str(action.kind), "state": str(action.state)}


def of_row(row: Sequence[object]) -> Action:
    """Turn a row into an action."""
    data = dict(zip((f.name for f in fields(Action)), row, strict=True))
    kind, state = ActionKind(str(data.pop("kind"))), ActionState(str(data.pop("state")))
    return Action(kind=kind, state=state, **data)  # type: ignore[arg-type]


def of_cases(tx: Tx, case_ids: Sequence[str]) -> dict[str, tuple[Action, ...]]:
    """Return every action of these cases, oldest first."""
    found: dict[str, list[Action]] = {case_id: [] for case_id in case_ids}
    asked = select(*COLUMNS).where(actions.c.case_id.in_(case_ids)).order_by(actions.c.seq)
    for row in tx.execute(asked):
        found[row.case_id].append(of_row(row))
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
        asked = asked.where(actions.c.case_id == case_id)
    if state is not None:
        asked = asked.where(actions.c.state == state)
    return [(row[0], of_row(row[1:])) for row in tx.execute(asked)]


def due(tx: Tx, limit: int) -> list[tuple[str, str]]:
    """Return (action id, case id) of what is planned and may be sent now, oldest first."""
    asked = (
        select(actions.c.action_id, actions.c.case_id)
        .where(is_due(tx))
        .order_by(actions.c.seq)
        .limit(limit)
    )
    return [(row.action_id, row.case_id) for row in tx.execute(asked)]


def due_count(tx: Tx) -> int:
    """Count what is planned and may be sent now."""
    asked = select(func.count()).select_from(actions).where(is_due(tx))
    return int(tx.execute(asked).scalar_one())


def is_due(tx: Tx) -> ColumnElement[bool]:
    """Say which actions may be sent now."""
    return and_(
        actions.c.state == ActionState.PLANNED,
        or_(actions.c.not_before.is_(None), actions.c.not_before <= tx.now),
    )


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


def abandoned(tx: Tx, limit: int = 200) -> list[tuple[str, str]]:
    """Return (action id, case id) of calls whose maker is gone: nobody knows if they arrived."""
    asked = (
        select(actions.c.action_id, actions.c.case_id)
        .where(actions.c.state == ActionState.SENT, actions.c.lease_until <= tx.now)
        .order_by(actions.c.seq)
        .limit(limit)
    )
    return [(row.action_id, row.case_id) for row in tx.execute(asked)]


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
    entity = "case:" + actions.c.case_id
    asked = (
        select(actions.c.action_id, actions.c.case_id, actions.c.organization_id)
        .join(entities, entities.c.entity == entity)
        .where(
            actions.c.state.in_((ActionState.ANSWERED, ActionState.UNCERTAIN)),
            actions.c.ended_at <= tx.now - since,
            entities.c.wanted == entities.c.done,
        )
        .order_by(actions.c.seq)
        .limit(limit)
    )
    return [(row.action_id, row.case_id, row.organization_id) for row in tx.execute(asked)]


def open_counts(tx: Tx) -> dict[tuple[str, str], float]:
    """Count what is not final by kind and state."""
    asked = (
        select(actions.c.kind, actions.c.state, func.count())
        .where(actions.c.state.in_(("planned", "sent", "answered", "uncertain")))
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
