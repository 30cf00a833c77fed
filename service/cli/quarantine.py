"""`quarantine`: refused deliveries that are kept sealed, and their replay through the door."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from datetime import UTC, datetime
from typing import Annotated

import typer

from service import settings as our_settings
from service.amili import contract as amili_contract
from service.cli.following import progress
from service.cli.showing import Json, Limit, show
from service.desk.quarantine import Quarantined
from service.desk.spans import moment_ago
from service.errors import ConfigError, DataKeyLacking, RecordMissing, StillRefused
from service.intake.opening import command_door
from service.intake.replaying import Replayer
from service.queue import Bells
from service.redis import connect
from service.sealing import sealer_of
from service.store.database import Database

quarantine = typer.Typer(
    help="Refused deliveries, kept sealed where AMILI_DATA_KEY_FILE is set.", no_args_is_help=True
)

Ids = Annotated[list[str] | None, typer.Argument(help="Ids, as `list` shows them.")]
Reason = Annotated[str | None, typer.Option(help="For instance no_secret_matched, malformed.")]
All = Annotated[bool, typer.Option("--all", help="All of them, or all of a --reason.")]


def add_to(app: typer.Typer) -> None:
    """Register the group."""
    app.add_typer(quarantine, name="quarantine")


@quarantine.command("list")
def list_entries(reason: Reason = None, limit: Limit = 50, as_json: Json = False) -> None:
    """List what is kept, newest first; no key is needed."""
    with opened() as entries:
        page = entries.list(reason=reason, limit=limit)
    columns = ("lastAt", "reason", "times", "bodyBytes", "source", "triedAt", "quarantineId")
    show(page, as_json, columns)


@quarantine.command("show")
def show_entry(
    quarantine_id: str,
    body: Annotated[bool, typer.Option("--body", help="Only the raw body, to a file.")] = False,
    headers: Annotated[bool, typer.Option("--headers", help="Only the header lines.")] = False,
) -> None:
    """Unseal one: why it was refused, its headers and its body. It may be about people."""
    with opened() as entries:
        told, found = entries.show(quarantine_id)
    lines = "".join(f"{name}: {value}\n" for name, value in found.headers)
    if body:
        typer.echo(found.body, nl=False)
    elif headers:
        typer.echo(lines.encode("latin-1"), nl=False)
    else:
        text = found.body.decode("utf-8", "backslashreplace")
        pairs = [list(pair) for pair in found.headers]
        typer.echo(json.dumps(told | {"headers": pairs, "body": text}, indent=2))


@quarantine.command("replay")
def replay_entries(ids: Ids = None, everything: All = False, reason: Reason = None) -> None:
    """Send entries through the door once more, as they came; the accepted ones leave.

    For when a secret, a scheme or our reading was mended. Only the age of a signature is
    ignored. Exit code 1 when one is refused again.
    """
    names = named(ids, everything, reason)
    if not names:
        typer.echo("There is nothing in quarantine.")
        return
    if not asyncio.run(replayed(names)):
        raise typer.Exit(1)


@quarantine.command("purge")
def purge_entries(
    ids: Ids = None,
    everything: All = False,
    reason: Reason = None,
    older_than: Annotated[
        str | None, typer.Option(help="That came last before: a time, or 12h, 14d.")
    ] = None,
) -> None:
    """Forget entries for good."""
    if bool(ids) == (everything or reason is not None or older_than is not None):
        raise ConfigError("quarantine purge takes ids, or --all, --reason, --older-than")
    try:
        before = None if older_than is None else moment_ago(older_than, datetime.now(UTC))
    except ValueError as exc:
        raise ConfigError(f"--older-than {exc}") from None
    with opened() as entries:
        count = entries.remove(ids) if ids else entries.purge(reason=reason, before=before)
    typer.echo(f"Forgot {count}.")


def named(ids: Sequence[str] | None, everything: bool, reason: str | None) -> Sequence[str]:
    """Say which entries are meant. Raises ConfigError when that is not clear."""
    if bool(ids) == (everything or reason is not None):
        raise ConfigError("quarantine replay takes ids, or --all, or --reason")
    if ids:
        return ids
    with opened() as entries:
        return entries.ids(reason=reason)


async def replayed(names: Sequence[str]) -> bool:
    """Replay one after the other, with a bar and a line for each; False: one did not pass."""
    all_passed = True
    async with replaying() as replayer:
        with progress() as bars:
            for name in bars.track(names, description="replayed"):
                all_passed &= await passes(replayer, name)
    return all_passed


async def passes(replayer: Replayer, name: str) -> bool:
    """Replay one, and say what the door said."""
    try:
        answer = await replayer.replay(name)
    except StillRefused as exc:
        typer.echo(f"{name} refused {exc.reason}")
        return False
    except (RecordMissing, DataKeyLacking) as exc:
        typer.echo(f"{name} {exc}")
        return False
    typer.echo(f"{name} {answer['status']} {answer['eventId']}")
    return True


@contextmanager
def opened() -> Iterator[Quarantined]:
    """Open the quarantine of the settings."""
    settings = our_settings.load()
    database = Database(settings.sql_url, pool=1)
    try:
        yield Quarantined(database, sealer_of(settings))
    finally:
        database.close()


@asynccontextmanager
async def replaying() -> AsyncIterator[Replayer]:
    """Open a door of one's own, with the settings of now: no running door is needed."""
    settings, contract = our_settings.load(), amili_contract.load()
    sealer = sealer_of(settings)
    database, client = Database(settings.sql_url, pool=2), connect(settings.redis_url)
    try:
        async with command_door(settings, contract, database, Bells(client)) as door:
            yield Replayer(door, database, sealer)
    finally:
        client.close()
        database.close()
