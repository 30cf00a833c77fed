"""The command `amili-events`: every subcommand, and one way for all errors to end."""

from __future__ import annotations

import sys

import typer

from service.cli import batches, desk, doctor, handing_over, running, setting, signature, trying
from service.errors import AmiliEventsError
from service.settings import keep_private
from service.telemetry import logs

app = typer.Typer(
    name="amili-events",
    help="Turns the webhooks of Amili AutoCollect into local state and follow-ups.",
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


def main() -> None:
    """Run the command; an error that we know ends in one sentence, not in a traceback."""
    keep_private()
    logs.configure("WARNING")  # to stderr: what a command answers stands alone on stdout
    try:
        app()
    except AmiliEventsError as exc:
        sys.exit(f"amili-events: {exc}")
    except OSError as exc:
        where = f"{exc.filename}: " if exc.filename else ""
        sys.exit(f"amili-events: {where}{exc.strerror or type(exc).__name__}")
