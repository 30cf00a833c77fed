"""What an operator asks and does: the groups that work on our own state."""

from __future__ import annotations

import typer

from service.cli.actions import actions
from service.cli.cases import cases
from service.cli.events import events
from service.cli.holds import holds
from service.cli.settlements import settlements


def add_to(app: typer.Typer) -> None:
    """Register the groups."""
    app.add_typer(events, name="events")
    app.add_typer(cases, name="cases")
    app.add_typer(holds, name="holds")
    app.add_typer(actions, name="actions")
    app.add_typer(settlements, name="settlements")
