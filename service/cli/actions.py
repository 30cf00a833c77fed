"""`actions`: the ledger, and what a person may still change about a request."""

from __future__ import annotations

from typing import Annotated

import typer

from service.cli.opening import desk, listing
from service.cli.showing import Json, Limit, show
from service.domain.actions import ActionState

actions = typer.Typer(help="The ledger: what was asked of Amili.", no_args_is_help=True)


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
    with desk() as opened:
        show(opened.reading.action(action_id), True)


@actions.command("cancel")
def cancel_action(action_id: str) -> None:
    """Take back what a person asked for, as long as it was never sent."""
    with desk() as opened:
        opened.asking.cancel(action_id)
    typer.echo("Cancelled: it is not sent.")


@actions.command("resend")
def resend_action(action_id: str) -> None:
    """Send again what nobody knows to have arrived, with the same idempotency key.

    Only for what a person asked for and what waits for one: its state is uncertain, and reads
    did not tell. Ask Amili first. If it had arrived after all, and Amili does not honour
    idempotency keys, it is asked for twice.
    """
    with desk() as opened:
        opened.asking.resend(action_id)
    typer.echo("It will be sent again.")
