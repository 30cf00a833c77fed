"""The command `amili-events`: every subcommand, and one way for all errors to end."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from service.cli import (
    batches,
    desk,
    doctor,
    handing_over,
    quarantine,
    running,
    setting,
    signature,
    trying,
)
from service.errors import AmiliEventsError
from service.settings import keep_private
from service.telemetry import logs
from service.version import NAME, own_version

app = typer.Typer(
    name="amili-events",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
running.add_to(app)
setting.add_to(app)
trying.add_to(app)
signature.add_to(app)
doctor.add_to(app)
desk.add_to(app)
handing_over.add_to(app)
batches.add_to(app)
quarantine.add_to(app)


def tell_version(asked: bool) -> None:
    """Print the version, and end. Raises typer.Exit."""
    if asked:
        typer.echo(f"{NAME} {own_version()}")
        raise typer.Exit


@app.callback()
def root(
    version: Annotated[
        bool,
        typer.Option("--version", is_eager=True, callback=tell_version, help="Tell the version."),
    ] = False,
) -> None:
    """Turn the webhooks of Amili AutoCollect into local state and follow-ups."""


def main() -> None:
    """Run the command; an error that we know ends in one sentence, not in a traceback.

    Ctrl-C ends with 130 and no word, unless the command itself has something to say.
    """
    try:
        keep_private()
        logs.configure("WARNING")  # to stderr: what a command answers stands alone on stdout
        app()
    except KeyboardInterrupt:
        sys.exit(130)
    except AmiliEventsError as exc:
        sys.exit(f"amili-events: {exc}")
    except OSError as exc:
        where = f"{exc.filename}: " if exc.filename else ""
        sys.exit(f"amili-events: {where}{exc.strerror or type(exc).__name__}")
