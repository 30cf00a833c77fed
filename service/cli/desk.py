"""What an operator asks and does: `events`, `cases`, `holds`, `actions`."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from service import settings as our_settings
from service.desk import shapes
from service.desk.reading import Reading
from service.desk.writing import NewHold, Writing
from service.domain.actions import ActionState
from service.domain.deliveries import EventState
from service.errors import ConfigError
from service.queue import Bells
from service.redis import connect
from service.store.database import Database

WIDEST = 10_000

Json = Annotated[bool, typer.Option("--json", help="Print JSON, for other programs.")]
Limit = Annotated[int, typer.Option(min=1, max=200, help="How many at the most.")]

events = typer.Typer(help="Webhooks that came in.", no_args_is_help=True)
cases = typer.Typer(help="Cases, as last read from Amili.", no_args_is_help=True)
holds = typer.Typer(help="Holds: what must stay paused, and why.", no_args_is_help=True)
actions = typer.Typer(help="The ledger: what was asked of Amili.", no_args_is_help=True)


def add_to(app: typer.Typer) -> None:
    """Register the groups."""
    app.add_typer(events, name="events")
    app.add_typer(cases, name="cases")
    app.add_typer(holds, name="holds")
    app.add_typer(actions, name="actions")


@contextmanager
def desk() -> Iterator[tuple[Reading, Writing]]:
    """Open the desk on the database and the bells of the settings."""
    settings = our_settings.load()
    database = Database(settings.sql_url, pool=1)
    client = connect(settings.redis_url)
    try:
        yield Reading(database), Writing(database, Bells(client), settings.organization_ids)
    finally:
        client.close()
        database.close()


def show(data: Any, as_json: bool, columns: tuple[str, ...] = ()) -> None:
    """Print a list as a table, one record as lines, or either as JSON."""
    if as_json or not columns:
        typer.echo(json.dumps(data, indent=2, ensure_ascii=False))
        return
    table = Table(box=None, header_style="bold")
    for column in columns:
        table.add_column(column, no_wrap=True)
    for row in data["data"]:
        # As Text: what came from outside is not markup, whatever brackets it has.
        table.add_row(*(Text("-" if row[c] is None else str(row[c])) for c in columns))
    # Values are copied and searched for: none is folded, the terminal may break the line.
    console = Console()
    needed = console.measure(table, options=console.options.update(width=WIDEST)).maximum
    console.print(table, width=max(needed, console.width), crop=False)


def listing(read: Callable[[Reading], shapes.Shape], as_json: bool, *columns: str) -> None:
    """Read a page and print it."""
    with desk() as (reading, _):
        show(read(reading), as_json, columns)


@events.command("list")
def list_events(
    state: Annotated[EventState | None, typer.Option(help="Only these.")] = None,
    limit: Limit = 50,
    as_json: Json = False,
) -> None:
    """List events, newest first."""
    listing(
        lambda reading: reading.events(state=state, limit=limit),
        as_json,
        *("receivedAt", "type", "state", "outcome", "attempts", "eventId"),
    )


@events.command("show")
def show_event(event_id: str) -> None:
    """Show one event and its variants."""
    with desk() as (reading, _):
        show(reading.event(event_id), True)


@events.command("replay")
def replay_event(event_id: str) -> None:
    """Have an event worked on again."""
    with desk() as (_, writing):
        count = writing.replay(event_id)
    typer.echo(f"{count} event{'s' if count > 1 else ''} will be worked on again.")


@cases.command("list")
def list_cases(
    status: Annotated[str | None, typer.Option(help="For instance OPEN or PAUSED.")] = None,
    limit: Limit = 50,
    as_json: Json = False,
) -> None:
    """List cases by id."""
    listing(
        lambda reading: reading.cases(status=status, limit=limit),
        as_json,
        *("caseNumber", "type", "status", "subStatus", "desired", "caseId"),
    )


@cases.command("show")
def show_case(case_id: str) -> None:
    """Show one case with its invoices and holds."""
    with desk() as (reading, _):
        show(reading.case(case_id), True)


@cases.command("timeline")
def case_timeline(case_id: str) -> None:
    """Show what happened to a case, and why."""
    with desk() as (reading, _):
        show(reading.timeline(case_id), True)


@holds.command("list")
def list_holds(
    everything: Annotated[bool, typer.Option("--all", help="Ended holds too.")] = False,
    as_json: Json = False,
) -> None:
    """List holds, newest first."""
    listing(
        lambda reading: reading.holds(only_active=not everything),
        as_json,
        *("placedAt", "caseId", "reason", "owner", "until", "releasedAt", "holdId"),
    )


@holds.command("place")
def place_hold(
    case_id: str,
    reason: Annotated[str, typer.Option(help="For instance dispute, payment_promise, court.")],
    until: Annotated[
        str | None, typer.Option(help="An RFC 3339 time, or a span: 12h, 14d.")
    ] = None,
    comment: Annotated[str | None, typer.Option(help="For people; never sent to Amili.")] = None,
) -> None:
    """Hold a case: it is paused at Amili until the last hold on it ends."""
    wish = NewHold(case_id, reason, "operator", until_of(until), comment)
    with desk() as (_, writing):
        hold = writing.place_hold(wish)
    typer.echo(hold.hold_id)


@holds.command("release")
def release_hold(case_id: str, hold_id: str) -> None:
    """Release a hold; when it was the last, the case is resumed if we paused it."""
    with desk() as (_, writing):
        writing.release_hold(case_id, hold_id)
    typer.echo("Released.")


@actions.command("list")
def list_actions(
    case_id: Annotated[str | None, typer.Option(help="Of one case.")] = None,
    state: Annotated[ActionState | None, typer.Option(help="Only these.")] = None,
    limit: Limit = 50,
    as_json: Json = False,
) -> None:
    """List actions, newest first."""
    listing(
        lambda reading: reading.actions(case_id=case_id, state=state, limit=limit),
        as_json,
        *("plannedAt", "kind", "state", "cause", "attempts", "caseId", "actionId"),
    )


@actions.command("show")
def show_action(action_id: str) -> None:
    """Show one action."""
    with desk() as (reading, _):
        show(reading.action(action_id), True)


def until_of(text: str | None) -> datetime | None:
    """Read the end of a hold. Raises ConfigError with the two forms that are understood."""
    if text is None:
        return None
    units = {"m": 60, "h": 3600, "d": 86400}
    if text[:-1].isdecimal() and text[-1] in units and len(text) < 8:
        return datetime.now(UTC) + timedelta(seconds=int(text[:-1]) * units[text[-1]])
    try:
        at = datetime.fromisoformat(text)
        if at.tzinfo is not None:
            return at.astimezone(UTC)
    except (ValueError, OverflowError):
        pass
    raise ConfigError("--until takes a time like 2026-12-24T12:00:00+01:00, or 45m, 12h, 14d")
