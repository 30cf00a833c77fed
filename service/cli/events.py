"""`events`: webhooks that came in, and their replay."""

from __future__ import annotations

from typing import Annotated

import typer

from service.cli.opening import desk, listing
from service.cli.showing import AfterNumber, Json, Limit, show
from service.domain.deliveries import EventState

events = typer.Typer(help="Webhooks that came in.", no_args_is_help=True)


@events.command("list")
def list_events(
    state: Annotated[EventState | None, typer.Option(help="Only these.")] = None,
    after: AfterNumber = None,
    limit: Limit = 50,
    as_json: Json = False,
) -> None:
    """List events, newest first."""
    listing(
        lambda reading: reading.events(state=state, after=after, limit=limit),
        as_json,
        *("receivedAt", "type", "state", "outcome", "attempts", "eventId"),
    )


@events.command("show")
def show_event(event_id: str) -> None:
    """Show one event and its variants."""
    with desk() as opened:
        show(opened.reading.event(event_id), True)


@events.command("replay")
def replay_event(event_id: str) -> None:
    """Have an event worked on again."""
    with desk() as opened:
        count = opened.writing.replay(event_id)
    typer.echo(f"{count} event{'s' if count > 1 else ''} will be worked on again.")
