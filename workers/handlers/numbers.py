"""From a case's number to a look at the case."""

from __future__ import annotations

from service.domain.entities import EntityKey, Kind, Nudge
from workers.handlers.looks import Look


def nudge_case(look: Look, number: str, cause: str) -> Nudge:
    """Have a case looked at, of which perhaps only the number is known."""
    known = look.before.case_ids.get(number)
    key = EntityKey.of_number(number) if known is None else EntityKey(Kind.CASE, known)
    return Nudge(
        key,
        cause,
        {f"{look.claim.key.kind}_id": look.claim.key.id},
        organization_id=look.claim.organization_id,
        lookup=number,
    )
