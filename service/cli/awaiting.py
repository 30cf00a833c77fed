"""Waits a while for the end of what a person asked of Amili, and says what became of it."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Annotated

import typer
from rich.console import Console

from service.cli.opening import Desk
from service.desk.asking import NewRequest
from service.desk.reading import Reading
from service.desk.shapes import Shape
from service.domain.actions import OPEN

PATIENCE_SECONDS = 10.0
LOOK_SECONDS = 0.25
#: Exit codes, as those of submissions: not done, and nobody knows; 2 is that of a wrong option.
CODES: Mapping[str, int] = {"refused": 1, "contradicted": 1, "cancelled": 1, "uncertain": 3}
WORDS: Mapping[str, str] = {
    "planned": "not sent yet: does a worker run (amili-events worker)?",
    "sent": "the call is under way.",
    "answered": "Amili accepted it; no read shows yet what it changed.",
    "confirmed": "a read shows its effect.",
    "uncertain": "nobody knows whether it arrived.",
}

NoWait = Annotated[
    bool, typer.Option("--no-wait", help="Print the action's id; do not wait for its end.")
]


def ask(opened: Desk, wish: NewRequest, *, no_wait: bool) -> None:
    """Ask, wait for the end and tell it; with `no_wait` print the id alone. Raises typer.Exit."""
    action = opened.asking.ask(wish)
    if no_wait:
        typer.echo(action.action_id)
        return
    number = str(opened.reading.case(wish.case_id)["caseNumber"])
    raise typer.Exit(tell(watched(opened.reading, action.action_id), number))


def watched(reading: Reading, action_id: str) -> Shape:
    """Look until the action has ended, or patience has; Ctrl-C ends only the looking."""
    until = time.monotonic() + PATIENCE_SECONDS
    try:
        with Console(stderr=True).status("Waiting for Amili …"):
            shown = reading.action(action_id)
            while not is_over(shown) and time.monotonic() < until:
                time.sleep(LOOK_SECONDS)
                shown = reading.action(action_id)
    except KeyboardInterrupt:
        typer.echo(f"It goes on without this command: {looking(action_id)}", err=True)
        raise typer.Exit(130) from None
    return shown


def is_over(shown: Shape) -> bool:
    """Nothing more becomes of it by itself."""
    return shown["closedAt"] is not None or shown["state"] not in OPEN


def tell(shown: Shape, number: str) -> int:
    """Say what became of an action; return the exit code."""
    state = shown["state"]
    why = shown["error"] or WORDS.get(state)
    typer.echo(f"{shown['kind']}, case {number}: {state}{f': {why}' if why else '.'}")
    if is_over(shown):
        typer.echo(f"Action {shown['actionId']}")
    else:
        typer.echo(f"It goes on; to look again: {looking(shown['actionId'])}")
    return CODES.get(state, 0)


def looking(action_id: str) -> str:
    """Name the command that shows an action."""
    return f"amili-events actions show {action_id}"
