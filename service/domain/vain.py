"""How long to wait before a pause is asked for again that came to nothing. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta

from service.domain.actions import Action, ActionState

#: A pause that Amili refused is asked for again after this, then ever more slowly.
REFUSED_AGAIN_AFTER = timedelta(minutes=5)
LONGEST = timedelta(hours=1)
#: States in which a pause ends without having paused anything.
IN_VAIN = frozenset({ActionState.CONTRADICTED, ActionState.REFUSED})


def after_vain(actions: Sequence[Action], patience: timedelta) -> timedelta | None:
    """Say how long to wait, by the pauses in vain that stand last in a row; None: not at all.

    What was contradicted is asked for again at once the first time. What Amili refused is
    asked for again after minutes: a hold that is in force is never given up, and a path or a
    credential may have been mended.
    """
    row: list[ActionState] = []
    for action in reversed(actions):
        if action.state not in IN_VAIN or not action.wants_paused:
            break
        row.append(action.state)
    refused = ActionState.REFUSED in row
    if len(row) < 2 and not refused:
        return None
    first = REFUSED_AGAIN_AFTER if refused else patience
    doublings = min(len(row) - (1 if refused else 0), 12)
    return min(first * (1 << doublings), LONGEST)
