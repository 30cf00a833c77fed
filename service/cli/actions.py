"""`actions`: the ledger, and what a person may still change about a request."""

from __future__ import annotations

from typing import Annotated

import typer

from service.cli.opening import desk, listing
from service.cli.showing import AfterNumber, Json, Limit, show
from service.desk.reading import Reading
from service.desk.shapes import Shape
from service.domain.actions import ActionState

actions = typer.Typer(help="The ledger: what was asked of Amili.", no_args_is_help=True)

WIDEST_ERROR = 60


@actions.command("list")
def list_actions(
    case: Annotated[
        str | None, typer.Option("--case", "--case-id", help="Of one case: its id or its number.")
    ] = None,
    state: Annotated[ActionState | None, typer.Option(help="Only these.")] = None,
    after: AfterNumber = None,
    limit: Limit = 50,
    as_json: Json = False,
) -> None:
    """List actions, newest first."""

    def read(reading: Reading) -> Shape:
        case_id = None if case is None else reading.case_id_of(case)
        found = reading.actions(case_id=case_id, state=state, after=after, limit=limit)
        if not as_json:
            for row in found["data"]:
                row["error"] = brief(row["error"])
        return found

    listing(
        read,
        as_json,
        *("plannedAt", "kind", "state", "cause", "attempts", "caseId", "actionId", "error"),
    )


def brief(error: str | None) -> str | None:
    """Cut an error to what a column has room for; `actions show` has all of it."""
    if error is None or len(error) <= WIDEST_ERROR:
        return error
    return f"{error[: WIDEST_ERROR - 1]}…"


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
