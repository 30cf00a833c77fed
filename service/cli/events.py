"""`events`: webhooks that came in, and their replay."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated

import typer

from service.cli.following import progress
from service.cli.opening import desk, listing
from service.cli.showing import AfterNumber, Json, Limit, show
from service.desk.dead import DeadLetters
from service.desk.spans import moment_ago
from service.desk.writing import NotPossible, word
from service.domain.deliveries import EventState, Which
from service.errors import ConfigError

events = typer.Typer(help="Webhooks that came in.", no_args_is_help=True)

#: In one transaction: workers write in between.
TOGETHER = 100

Type = Annotated[str | None, typer.Option("--type", help="For instance CASE_UPDATED.")]
Error = Annotated[str | None, typer.Option("--error", help="A part of the last error.")]
Since = Annotated[
    str | None, typer.Option("--since", help="Received since: an RFC 3339 time, or 45m, 12h, 14d.")
]


@events.command("list")
def list_events(
    state: Annotated[EventState | None, typer.Option(help="Only these.")] = None,
    kind: Type = None,
    error: Error = None,
    since: Since = None,
    after: AfterNumber = None,
    limit: Limit = 50,
    as_json: Json = False,
) -> None:
    """List events, newest first."""
    which = which_of(kind, error, since, state)
    listing(
        lambda reading: reading.events(which=which, after=after, limit=limit),
        as_json,
        *("receivedAt", "type", "state", "outcome", "attempts", "eventId"),
    )


@events.command("dead")
def list_dead(
    kind: Type = None,
    error: Error = None,
    since: Since = None,
    limit: Limit = 50,
    as_json: Json = False,
) -> None:
    """List dead letters, newest first: why each was given up, and what was said last."""
    which = which_of(kind, error, since, EventState.DEAD)
    listing(
        lambda reading: reading.events(which=which, limit=limit),
        as_json,
        *("receivedAt", "type", "entity", "attempts", "outcome", "error", "eventId"),
    )


@events.command("show")
def show_event(event_id: str) -> None:
    """Show one event with its attempts and last error, its variants, and why it waits."""
    with desk() as opened:
        show(opened.reading.event(event_id), True)


@events.command("replay")
def replay_event(event_id: str) -> None:
    """Have an event worked on again."""
    with desk() as opened:
        count = opened.writing.replay(event_id)
    typer.echo(f"{counted(count)} will be worked on again.")


@events.command("replay-all")
def replay_all(
    kind: Type = None,
    error: Error = None,
    since: Since = None,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
) -> None:
    """Have every dead letter worked on again, or those of a type, an error, a time."""
    which = which_of(kind, error, since)
    with desk() as opened:
        count, newest = opened.dead.count(which)
        if not count:
            typer.echo("There is no such dead letter.")
            return
        if not yes:
            demand_yes(count)
        replayed, skipped = replayed_all(opened.dead, which, count, newest)
    typer.echo(f"{counted(replayed)} will be worked on again.")
    if skipped:
        typer.echo(f"{counted(skipped)} stayed as before: nothing to do, or not readable.")


def replayed_all(dead: DeadLetters, which: Which, count: int, newest: int) -> tuple[int, int]:
    """Replay some at a time up to the newest that was counted; return replayed and skipped."""
    replayed, skipped, after = 0, 0, 0
    with progress() as bars:
        task = bars.add_task("replayed", total=count)
        while True:
            told = dead.replay(which, after=after, until=newest, limit=TOGETHER)
            replayed, skipped = replayed + told["replayed"], skipped + told["skipped"]
            bars.update(task, completed=replayed + skipped)
            if told["next"] is None:
                return replayed, skipped
            after = int(told["next"])


def demand_yes(count: int) -> None:
    """Ask before many are replayed. Raises NotPossible for any other answer than yes."""
    try:
        is_sure = typer.confirm(f"{counted(count)} will be worked on again. Go on?", err=True)
    except typer.Abort:
        raise NotPossible("Nothing was replayed: answer, or give --yes.") from None
    if not is_sure:
        raise NotPossible("Nothing was replayed.")


def which_of(
    kind: str | None, error: str | None, since: str | None, state: str | None = None
) -> Which:
    """Read the filters. Raises ConfigError."""
    for name, value in (("--type", kind), ("--error", error)):
        try:
            word(value if value is not None else "-")
        except ValueError as exc:
            raise ConfigError(f"{name} {exc}") from None
    return Which(state, kind, error, since_of(since))


def since_of(text: str | None) -> datetime | None:
    """Read `--since`. Raises ConfigError with the forms that are understood."""
    if text is None:
        return None
    try:
        return moment_ago(text, datetime.now(UTC))
    except ValueError as exc:
        raise ConfigError(f"--since {exc}") from None


def counted(count: int) -> str:
    """Say how many events."""
    return f"{count} event{'' if count == 1 else 's'}"
