"""Follows a submission on the terminal until Amili is done with it."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from service.desk.submissions import Submissions

LOOK_SECONDS = 0.5
#: Without any progress for so long, somebody should look whether workers run.
PATIENCE_SECONDS = 5.0
#: Exit codes; 2 is that of a wrong option.
ENDED = {"succeeded": 0, "partial": 1, "failed": 1, "uncertain": 3}
HINT = "Nothing moves: does a worker run (amili-events worker), and is Amili reachable?"
HALF = (
    "Its rows are not complete, and nothing was sent. Submit the same file again to go on, or "
    "forget it: amili-events batches discard"
)


def progress() -> Progress:
    """Make the bars that every long command shows, on stderr where that is a terminal."""
    console = Console(stderr=True)
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        console=console,
        transient=True,
        disable=not console.is_terminal,
    )


def follow(submissions: Submissions, submission_id: str) -> dict[str, Any]:
    """Show how far it is until it has ended; return it as it is then."""
    with progress() as bars:
        sent = bars.add_task("handed over", total=None)
        ended = bars.add_task("dealt with by Amili", total=None)
        seen, since, hinted = -1, time.monotonic(), False
        while True:
            shown = submissions.show(submission_id)
            if shown["state"] in ENDED:
                return shown
            at_amili = sum(
                chunk["items"] for chunk in shown["chunks"] if chunk["batchId"] or chunk["endedAt"]
            )
            total = shown["items"]["all"]
            done = total - shown["items"]["open"]
            bars.update(sent, total=total, completed=at_amili)
            bars.update(ended, total=total, completed=done)
            if at_amili + done != seen:
                seen, since, hinted = at_amili + done, time.monotonic(), False
            elif time.monotonic() - since > PATIENCE_SECONDS and not hinted:
                bars.console.print(hint(shown), soft_wrap=True, markup=False)
                hinted = True
            time.sleep(LOOK_SECONDS)


def hint(shown: dict[str, Any]) -> str:
    """Say what may be the matter with a submission that does not get on."""
    if shown["state"] == "staging":
        return f"{HALF} {shown['submissionId']}"
    errors = [chunk["error"] for chunk in shown["chunks"] if chunk["error"]]
    return f"It waits, and is tried again by itself: {errors[0]}" if errors else HINT


def tell(shown: dict[str, Any], say: Callable[[str], None] = typer.echo) -> int:
    """Say in a few lines what became of a submission; return the exit code."""
    items = shown["items"]
    counts = ", ".join(
        f"{count} {name}" for name, count in items.items() if count and name != "all"
    )
    say(f"{shown['submissionId']} {shown['state']}: {counts or 'nothing yet'} of {items['all']}")
    for each in shown.get("failed", ())[:20]:
        name = each["uniqueSourceInvoiceId"] or each["invoiceId"] or "?"
        why = reasons(each["errors"])
        say(f"  line {each['line']}: {name}: {each['state']}{f' ({why})' if why else ''}")
    for chunk in shown.get("chunks", ()):
        if chunk["error"] and chunk["state"] in ("planned", "uncertain", "refused"):
            say(f"  chunk {chunk['chunk']}: {chunk['state']}: {chunk['error']}")
    if items["unlisted"]:
        say("  unlisted: the batch ended and does not say which they are: ask Amili before you")
        say("  hand them over again (retry-failed leaves them out unless --unlisted is given).")
    if items["failed"] + items["refused"]:
        say(f"To correct them: amili-events batches retry-failed {shown['submissionId']} FILE")
    if shown["state"] == "staging":
        say(f"{HALF} {shown['submissionId']}")
    if shown["state"] == "uncertain":
        say(
            "Nobody knows whether Amili has these. Ask Amili, or look for their invoices; then: "
            f"amili-events batches resend {shown['submissionId']}"
        )
    return ENDED.get(shown["state"], 0)


def counted(count: int, kind: str) -> str:
    """Say how many of a kind: 1 invoice, 2 invoices."""
    return f"{count} {kind.removesuffix('s') if count == 1 else kind}"


def reasons(errors: Any) -> str:
    """Put what Amili said of one item on a line: codes, fields and messages; '' for nothing."""
    if not isinstance(errors, list):
        return ""
    said = [
        " ".join(str(each[name]) for name in ("code", "field", "message") if each.get(name))
        for each in errors
        if isinstance(each, dict)
    ]
    return "; ".join(each for each in said if each)
