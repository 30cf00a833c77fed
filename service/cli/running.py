"""Commands that run: `up`, `serve`, `worker`, `sandbox`, `migrate`."""

from __future__ import annotations

import os
import sys
from typing import Annotated

import typer

from service import settings as our_settings
from service.cli import up
from service.cli.playing import greet
from service.cli.setting import warn_of_unknown
from service.errors import ConfigError
from service.sandbox import server as sandbox_server
from service.sandbox.behaviour import KNOBS, Behaviour
from service.sandbox.errors import SandboxError
from service.store import migrating
from service.store.database import Database

ONLY = ("events", "actions", "sweeper")


def add_to(app: typer.Typer) -> None:
    """Register the commands."""
    app.command("up")(up.up)
    app.command()(serve)
    app.command()(worker)
    app.command()(sandbox)
    app.command()(migrate)


def serve() -> None:
    """Run the door: POST /webhooks/amili, the API, health and metrics."""
    our_settings.load()  # a wrong setting is told before anything starts
    warn_of_unknown()
    become("service.web")


def worker(
    only: Annotated[str | None, typer.Option(help=f"Run just one of: {', '.join(ONLY)}.")] = None,
) -> None:
    """Run the workers: drain and look, act, sweep; each in a process of its own."""
    if only is not None and only not in ONLY:
        raise ConfigError(f"--only takes one of: {', '.join(ONLY)}")
    our_settings.load()  # a wrong setting is told before anything starts
    warn_of_unknown()
    words = ["--only", only] if only else []
    become("workers", *words)


def become(module: str, *words: str) -> None:
    """Turn this process into another of ours: one process, one signal path."""
    sys.stdout.flush()
    os.execv(sys.executable, [sys.executable, "-m", module, *words])  # noqa: S606


def migrate() -> None:
    """Bring the database schema up to this version."""
    settings = our_settings.load()
    database = Database(settings.sql_url, pool=1)
    before = migrating.standing(database)
    if before == "newer":
        raise ConfigError("the database schema is newer than this version: nothing was changed")
    migrating.upgrade(database)
    database.close()
    typer.echo("The schema is up to date." if before == "current" else "The schema was migrated.")


def sandbox(
    host: Annotated[str, typer.Option(help="A loopback address.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="Port to listen on.")] = 8090,
    webhook_url: Annotated[
        str | None, typer.Option(help="Where to send webhooks; none are sent without it.")
    ] = None,
    webhook_secret: Annotated[
        str, typer.Option(envvar="AMILI_SANDBOX_WEBHOOK_SECRET", help="Signs the webhooks.")
    ] = "sandbox-secret",  # noqa: S107 - opens nothing but the sandbox
    client_id: Annotated[str, typer.Option(help="Accepted client id.")] = "sandbox",
    client_secret: Annotated[
        str, typer.Option(envvar="AMILI_SANDBOX_CLIENT_SECRET", help="Accepted client secret.")
    ] = "sandbox",  # noqa: S107 - opens nothing but the sandbox
    read_lag: Annotated[float, typer.Option(help="Seconds by which reads lag.")] = 0.0,
    effect_delay: Annotated[float, typer.Option(help="Seconds until a 202 takes effect.")] = 0.0,
    duplicates: Annotated[int, typer.Option(help="Copies of each webhook.")] = 1,
    reorder: Annotated[bool, typer.Option(help="Shuffle webhooks that are close.")] = False,
    spelling: Annotated[
        str, typer.Option(help="published, type, eventType or alternate.")
    ] = "published",
    knob: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME=VALUE",
            help=f"Turn any knob; may be repeated. Knobs: {', '.join(KNOBS)}.",
        ),
    ] = None,
) -> None:
    """Play Amili on loopback: token, API and signed webhooks, for trying things out."""
    try:
        behaviour = Behaviour(
            read_lag_seconds=read_lag,
            effect_delay_seconds=effect_delay,
            duplicates=duplicates,
            reorder=reorder,
            spelling=spelling,
        ).set_by_words(knob or [])
        sandbox_server.run(
            host,
            port,
            lambda bound: greet(host, bound, client_id, webhook_url),
            client_id=client_id,
            client_secret=client_secret,
            webhook_url=webhook_url,
            webhook_secret=webhook_secret,
            behaviour=behaviour,
        )
    except (SandboxError, ValueError) as exc:
        raise ConfigError(str(exc)) from exc
