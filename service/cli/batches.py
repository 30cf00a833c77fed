"""`batches`: what was handed over, how far it got, and what Amili has not taken."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from service.cli.following import counted, reasons, tell
from service.cli.handing_over import handing_over, watch
from service.cli.opening import desk
from service.cli.showing import Json, Limit, show
from service.desk.exporting import demand_free, replacing
from service.desk.submissions import Submissions
from service.domain.submissions import SubmissionKind
from service.errors import ConfigError, RecordMissing
from service.submitting.options import Options
from service.submitting.writing import Line, write

batches = typer.Typer(
    help="What was handed over: submissions, and the batches they became at Amili.",
    no_args_is_help=True,
)

Id = Annotated[str, typer.Argument(help="A submission's id, or a batch's id at Amili.")]


def add_to(app: typer.Typer) -> None:
    """Register the group."""
    app.add_typer(batches, name="batches")


@batches.command("list")
def list_batches(
    kind: Annotated[SubmissionKind | None, typer.Option(help="Only of this kind.")] = None,
    limit: Limit = 50,
    as_json: Json = False,
) -> None:
    """List submissions, newest first."""
    with handing_over() as opened:
        page = opened.submissions.list(kind=kind, limit=limit)
    if not as_json:
        for row in page["data"]:
            row |= {f"items.{name}": count for name, count in row["items"].items()}
    columns = ("createdAt", "kind", "state", "items.all", "items.succeeded", "items.failed")
    show(page, as_json, (*columns, "submissionId"))


@batches.command("show")
def show_batch(
    name: Id,
    as_json: Json = False,
    wait: Annotated[bool, typer.Option("--wait", help="Follow it to its end.")] = False,
) -> None:
    """Show a submission, or a batch as last read from Amili: what was not taken, and why."""
    with handing_over() as opened:
        submission_id = submission_of(opened.submissions, name)
        if submission_id is None:
            with desk() as opened_desk:
                show(opened_desk.reading.batch(name), True)
            return
        submissions = opened.submissions
        shown = watch(submissions, submission_id) if wait else submissions.show(submission_id)
    if as_json:
        show(shown, True)
        return
    code = tell(shown)
    raise typer.Exit(code if wait else 0)


@batches.command("retry-failed")
def retry_failed(
    name: Id,
    file: Annotated[Path, typer.Argument(help="Written as its ending says: csv, ndjson, json.")],
    force: Annotated[bool, typer.Option(help="Overwrite the file.")] = False,
    unlisted: Annotated[
        bool, typer.Option(help="Also those of which Amili says nothing: ask Amili before.")
    ] = False,
) -> None:
    """Write the rows that Amili has not taken to a file, to be corrected and submitted again.

    Why each was not taken stands in `_errors`, which is left out when the file is read.
    """
    options = Options().resolved(file)
    demand_free(file, force=force)
    with handing_over() as opened:
        submission_id = demand_submission(opened.submissions, name)
        kind = opened.submissions.kind_of(submission_id)
        lines = [
            Line(each.body, reasons(each.errors) or each.state)
            for each in opened.submissions.not_taken(submission_id, unlisted=unlisted)
        ]
    if not lines:
        typer.echo("There is nothing to correct.")
        return
    with replacing(file, force=force) as written:
        write(written, kind, options, lines)
    typer.echo(f"{counted(len(lines), kind)} written to {file}. Correct, then:")
    typer.echo(f"amili-events {kind} submit {file}")


@batches.command("resend")
def resend(name: Id) -> None:
    """Send again what nobody knows to have arrived: the same calls, with the same keys.

    Should Amili not honour idempotency keys, what had arrived is there twice then.
    """
    with handing_over() as opened:
        count = opened.handover.resend(demand_submission(opened.submissions, name))
    typer.echo(f"{count} chunk{'s' if count > 1 else ''} will be sent again.")


@batches.command("discard")
def discard(name: Id) -> None:
    """Forget a submission whose rows were never completed; nothing of it was sent."""
    with handing_over() as opened:
        opened.handover.discard(name)
    typer.echo("Forgotten.")


def submission_of(submissions: Submissions, name: str) -> str | None:
    """Find the submission that an id names, its own or a batch's; None: it is neither."""
    try:
        submissions.kind_of(name)
    except RecordMissing:
        return submissions.of_batch(name)
    return name


def demand_submission(submissions: Submissions, name: str) -> str:
    """Find the submission that an id names. Raises ConfigError."""
    found = submission_of(submissions, name)
    if found is None:
        raise ConfigError(f"{name} is neither a submission of ours nor the batch of one")
    return found
