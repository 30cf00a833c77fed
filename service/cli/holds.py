"""`holds`: what must stay paused, and why."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated

import typer

from service.cli.opening import desk, listing
from service.cli.showing import After, CaseName, Json, Limit
from service.desk.reading import Reading
from service.desk.shapes import Shape
from service.desk.spans import moment_ahead
from service.desk.writing import NewHold
from service.errors import ConfigError

holds = typer.Typer(help="Holds: what must stay paused, and why.", no_args_is_help=True)

Reason = Annotated[str, typer.Option(help="For instance dispute, payment_promise, court.")]
Until = Annotated[str | None, typer.Option(help="An RFC 3339 time, or a span: 12h, 14d.")]
Comment = Annotated[str | None, typer.Option(help="For people; never sent to Amili.")]


@holds.command("list")
def list_holds(
    everything: Annotated[bool, typer.Option("--all", help="Ended holds too.")] = False,
    case: Annotated[str | None, typer.Option(help="Of one case: its id or its number.")] = None,
    after: After = None,
    limit: Limit = 200,
    as_json: Json = False,
) -> None:
    """List holds, newest first."""

    def read(reading: Reading) -> Shape:
        case_id = None if case is None else reading.case_id_of(case)
        return reading.holds(only_active=not everything, case_id=case_id, after=after, limit=limit)

    listing(
        read,
        as_json,
        *("placedAt", "caseId", "reason", "owner", "until", "releasedAt", "holdId"),
    )


@holds.command("place")
def place_hold(
    case: CaseName, reason: Reason, until: Until = None, comment: Comment = None
) -> None:
    """Hold a case: it is paused at Amili until the last hold on it ends."""
    typer.echo(placed(case, reason, until, comment))


@holds.command("release")
def release_hold(case: CaseName, hold_id: str) -> None:
    """Release a hold; when it was the last, the case is resumed if we paused it."""
    with desk() as opened:
        opened.writing.release_hold(opened.reading.case_id_of(case), hold_id)
    typer.echo("Released.")


def placed(case: str, reason: str, until: str | None, comment: str | None) -> str:
    """Place an operator's hold; return its id."""
    ends_at = until_of(until)
    with desk() as opened:
        case_id = opened.reading.case_id_of(case)
        wish = NewHold(case_id, reason, "operator", ends_at, comment)
        return opened.writing.place_hold(wish).hold_id


def until_of(text: str | None) -> datetime | None:
    """Read the end of a hold. Raises ConfigError with the two forms that are understood."""
    if text is None:
        return None
    try:
        return moment_ahead(text, datetime.now(UTC))
    except ValueError as exc:
        raise ConfigError(f"--until {exc}") from None
