"""What a 409 or 422 means for an action: a refusal, or a try before that may have arrived."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from service.domain.actions import ASKED, LEVEL, Action, ActionKind, ActionState
from service.errors import Conflict, Invalid
from workers.acting import conflicting

NOON = datetime(2026, 5, 1, 12, tzinfo=UTC)
NO = (Conflict(operation="it", status=409), Invalid(operation="it", status=422))


def sent(kind: ActionKind, attempts: int) -> Action:
    """Make an action whose newest call is this one."""
    return Action(
        "a-1", kind, "case-1", "org-1", "asked:1", ActionState.SENT, NOON, attempts, sent_at=NOON
    )


@pytest.mark.parametrize("error", NO, ids=["409", "422"])
@pytest.mark.parametrize("kind", sorted(ASKED))
def test_what_a_person_asked_for(kind: ActionKind, error: Conflict | Invalid) -> None:
    """The first no is a refusal; after a try that may have arrived only reads tell."""
    assert conflicting(sent(kind, 1), error).state is ActionState.REFUSED
    again = conflicting(sent(kind, 2), error)
    assert (again.state, again.error) == (ActionState.UNCERTAIN, str(error))


@pytest.mark.parametrize("attempts", [1, 2])
@pytest.mark.parametrize("kind", sorted(LEVEL))
def test_pause_and_resume(kind: ActionKind, attempts: int) -> None:
    """A conflict is for reads to judge, and no doing of ours; what is not valid is refused."""
    conflict, invalid = (conflicting(sent(kind, attempts), error) for error in NO)
    assert (conflict.state, conflict.is_ours) == (ActionState.UNCERTAIN, False)
    assert invalid.state is ActionState.REFUSED
