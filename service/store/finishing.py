"""The end of a look: many claims at once are done up to what they noted."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import BigInteger, Integer, bindparam, case, update

from service.domain.entities import Claim
from service.store.database import Tx
from service.store.entities import forget_nudges
from service.store.schema import entities
from service.store.types import Moment


@dataclass(frozen=True, slots=True)
class Finished:
    """A claim that was looked at, and what is left of it."""

    claim: Claim
    #: How often the newest payload was read again in vain.
    doubt: int = 0
    look_again_at: datetime | None = None


NOTED = bindparam("noted", type_=BigInteger)
NOTHING_NEW = entities.c.wanted == NOTED
FINISH = (
    update(entities)
    .where(entities.c.entity == bindparam("of"))
    .values(
        done=NOTED,
        wanted=entities.c.wanted + case((NOTHING_NEW, bindparam("again", type_=Integer)), else_=0),
        due_at=case((NOTHING_NEW, bindparam("at", type_=Moment)), else_=entities.c.due_at),
        doubt=case((NOTHING_NEW, bindparam("doubts", type_=Integer)), else_=entities.c.doubt),
        attempts=0,
        failures=0,
        not_before=None,
        holder=None,
        lease_until=None,
        error=None,
    )
)


def finish(tx: Tx, finished: Sequence[Finished]) -> None:
    """Settle claims: done up to what each noted, and due again where asked."""
    if not finished:
        return
    forget_nudges(tx, [each.claim for each in finished])
    rows = [
        {
            "of": str(each.claim.key),
            "noted": each.claim.wanted,
            "again": 0 if each.look_again_at is None else 1,
            "at": each.look_again_at or tx.now,
            "doubts": each.doubt,
        }
        for each in finished
    ]
    tx.execute(FINISH, rows)
