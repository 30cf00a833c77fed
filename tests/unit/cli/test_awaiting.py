"""What is said of an action after a while of waiting, and which exit code that is."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from service.cli.awaiting import is_over, tell
from service.desk import shapes
from service.desk.shapes import Shape
from service.domain.actions import Action, ActionKind, ActionState

AT = datetime(2026, 3, 1, tzinfo=UTC)
LOOK = "amili-events actions show action-1"


def shape(state: ActionState, *, is_closed: bool = False, error: str | None = None) -> Shape:
    """Shape a withdrawal in this state."""
    return shapes.action(
        Action(
            action_id="action-1",
            kind=ActionKind.WITHDRAW_CASE,
            target="case-1",
            organization_id="org-1",
            cause="asked:x",
            state=state,
            planned_at=AT,
            closed_at=AT if is_closed else None,
            error=error,
        )
    )


def test_every_state_has_its_line(capsys: pytest.CaptureFixture[str]) -> None:
    """Kind, case number and state are always told; what goes on names the command to look."""
    for state in ActionState:
        for is_closed in (False, True):
            shown = shape(state, is_closed=is_closed)
            tell(shown, "8812")
            first, second = capsys.readouterr().out.splitlines()
            assert first.startswith(f"withdrawCase, case 8812: {state}")
            assert "action-1" in second
            assert (LOOK in second) != is_over(shown)


@pytest.mark.parametrize(
    ("state", "code"),
    [("confirmed", 0), ("planned", 0), ("refused", 1), ("cancelled", 1), ("uncertain", 3)],
)
def test_exit_codes(state: str, code: int) -> None:
    """A refusal is no success, and neither is what nobody knows."""
    assert tell(shape(ActionState(state), is_closed=state != "planned"), "8812") == code


def test_an_error_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    """Why it was refused, or why it still waits, stands in the line."""
    tell(shape(ActionState.REFUSED, is_closed=True, error="HTTP 409 CASE_CLOSED"), "8812")
    tell(shape(ActionState.PLANNED, error="HTTP 503"), "8812")
    refused, _, waits, _ = capsys.readouterr().out.splitlines()
    assert refused == "withdrawCase, case 8812: refused: HTTP 409 CASE_CLOSED"
    assert waits == "withdrawCase, case 8812: planned: HTTP 503"


def test_what_waits_for_a_person_is_over() -> None:
    """An answered or uncertain action that was closed is looked at no longer."""
    assert is_over(shape(ActionState.UNCERTAIN, is_closed=True))
    assert is_over(shape(ActionState.ANSWERED, is_closed=True))
    assert not is_over(shape(ActionState.ANSWERED))
