"""`cases`: as last read, and what can be asked of Amili about one."""

from __future__ import annotations

from typing import Annotated

import typer

from service.cli.awaiting import NoWait, ask
from service.cli.holds import Comment, Reason, Until, placed
from service.cli.opening import desk, listing
from service.cli.showing import After, CaseName, Json, Limit, show
from service.desk.asking import NewRequest
from service.desk.writing import NotPossible
from service.domain.actions import ActionKind

cases = typer.Typer(help="Cases, as last read from Amili.", no_args_is_help=True)

CODES = "Waits a while for the end. Exit code: 1 refused, 3 nobody knows whether it arrived."
SENT = "A code or a short text, sent to Amili. Name nobody in it."
Told = Annotated[str, typer.Option("--reason", help=SENT)]

#: Command → what it asks for, and its help.
ANSWERS: dict[str, tuple[ActionKind, str]] = {
    "accept-list": (
        ActionKind.ACCEPT_DEBT_COLLECTION_LIST,
        "Accept the debt-collection list: Amili goes on to debt collection.",
    ),
    "reject-list": (
        ActionKind.REJECT_DEBT_COLLECTION_LIST,
        "Reject the debt-collection list: Amili does not go on to debt collection.",
    ),
    "accept-eviction-request": (
        ActionKind.ACCEPT_EVICTION_REQUEST,
        "Accept an eviction request.",
    ),
    "reject-eviction-request": (
        ActionKind.REJECT_EVICTION_REQUEST,
        "Reject an eviction request.",
    ),
    "accept-eviction-confirmation": (
        ActionKind.ACCEPT_EVICTION_CONFIRMATION,
        "Accept an eviction confirmation.",
    ),
    "reject-eviction-confirmation": (
        ActionKind.REJECT_EVICTION_CONFIRMATION,
        "Reject an eviction confirmation.",
    ),
}


@cases.command("list")
def list_cases(
    status: Annotated[str | None, typer.Option(help="For instance OPEN or PAUSED.")] = None,
    number: Annotated[str | None, typer.Option(help="Of this case number.")] = None,
    adrift: Annotated[
        bool, typer.Option("--adrift", help="Held and running, or paused and held by nobody here.")
    ] = False,
    after: After = None,
    limit: Limit = 50,
    as_json: Json = False,
) -> None:
    """List cases, newest registered first."""
    listing(
        lambda reading: reading.cases(
            status=status, case_number=number, adrift=adrift, after=after, limit=limit
        ),
        as_json,
        *("caseNumber", "type", "status", "subStatus", "desired", "caseId"),
    )


@cases.command("show")
def show_case(case: CaseName) -> None:
    """Show one case with its invoices and holds."""
    with desk() as opened:
        show(opened.reading.case(opened.reading.case_id_of(case)), True)


@cases.command("timeline")
def case_timeline(case: CaseName) -> None:
    """Show what happened to a case, and why."""
    with desk() as opened:
        show(opened.reading.timeline(opened.reading.case_id_of(case)), True)


@cases.command("pause")
def pause_case(
    case: CaseName, reason: Reason, until: Until = None, comment: Comment = None
) -> None:
    """Place a hold on a case: it is paused at Amili until the last hold on it ends."""
    typer.echo(placed(case, reason, until, comment))


@cases.command("resume")
def resume_case(case: CaseName) -> None:
    """Release every hold that a person placed on a case.

    It is resumed at Amili once nothing holds it, if we paused it. What policies hold stays so.
    """
    with desk() as opened:
        told = opened.writing.resume(opened.reading.case_id_of(case))
    count = len(told["released"])
    typer.echo(f"Released {count} hold{'' if count == 1 else 's'}.")
    for hold in told["stillHeld"]:
        typer.echo(f"Still held: {hold['reason']}, by a {hold['owner']}: hold {hold['holdId']}.")
    if not told["stillHeld"]:
        typer.echo("Nothing holds it: it is resumed if we paused it.")


@cases.command("withdraw")
def withdraw_case(
    case: CaseName,
    reason: Told,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask for the case number.")] = False,
    no_wait: NoWait = False,
) -> None:
    """Withdraw a case: Amili's work on it ends. This can cost money, and cannot be undone.

    Waits a while for the end. Exit code: 1 refused, 3 nobody knows whether it arrived.
    """
    with desk() as opened:
        case_id = opened.reading.case_id_of(case)
        number = str(opened.reading.case(case_id)["caseNumber"])
        if not yes:
            demand_number(number)
        ask(opened, NewRequest(case_id, ActionKind.WITHDRAW_CASE, reason), no_wait=no_wait)


def demand_number(number: str) -> None:
    """Let the case number be typed. Raises NotPossible when it is another one, or none."""
    try:
        said = typer.prompt(f"Type the case number ({number}) to withdraw the case", err=True)
    except typer.Abort:
        raise NotPossible("Not withdrawn: type the case number, or give --yes.") from None
    if said.strip() != number:
        raise NotPossible("Not withdrawn: that is not the number of the case.")


def add_answer(name: str, kind: ActionKind, words: str) -> None:
    """Register the command that asks for one answer."""

    @cases.command(name, help=f"{words} {CODES}")
    def answer(case: CaseName, reason: Told = "", no_wait: NoWait = False) -> None:
        with desk() as opened:
            case_id = opened.reading.case_id_of(case)
            ask(opened, NewRequest(case_id, kind, reason), no_wait=no_wait)


for _name, (_kind, _words) in ANSWERS.items():
    add_answer(_name, _kind, _words)
