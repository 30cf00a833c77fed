"""`invoices`, `payments`, `corrections`: hand a file over to Amili, all of it checked before."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, NamedTuple

import typer

from service import settings as our_settings
from service.cli import amili
from service.cli.following import counted, follow, progress, tell
from service.cli.invoices import list_invoices, show_invoice
from service.cli.knowing import known_here
from service.cli.settlements import Whose
from service.cli.showing import Json, show
from service.desk.handing_over import Handover, NewSubmission
from service.desk.submissions import Submissions
from service.desk.writing import word
from service.domain.submissions import Submission, SubmissionKind
from service.errors import ConfigError
from service.queue import Bells
from service.redis import connect
from service.settings import Settings
from service.store.database import Database
from service.submitting.columns import columns
from service.submitting.examining import Aid, Report, examine
from service.submitting.giving import read
from service.submitting.mapping import mapping_of
from service.submitting.options import Format, Options, options_of
from service.submitting.rules import rules_of

File = Annotated[Path, typer.Argument(help="JSON as Amili's API takes it, NDJSON, or CSV.")]
Formats = Annotated[Format | None, typer.Option("--format", help="Default: the file's ending.")]
Delimiter = Annotated[
    str | None, typer.Option(help="Of CSV: comma (the default), semicolon, tab or pipe.")
]
Comma = Annotated[
    bool | None,
    typer.Option("--decimal-comma/--decimal-point", help="Amounts are written 4500,00."),
]
Encoding = Annotated[
    str | None, typer.Option(help="utf-8 (the default), utf-8-sig, windows-1252, …, or detect.")
]
Skip = Annotated[
    bool | None,
    typer.Option("--skip-empty-lines/--no-skip-empty-lines", help="Empty lines are no error."),
]
Excel = Annotated[
    bool,
    typer.Option(
        "--excel",
        help=(
            "A Norwegian Excel wrote it: CSV, semicolon, decimal comma, empty lines, any of its "
            "encodings, dates 31.12.2026, 4 500,00. Options that are given win."
        ),
    ),
]
Maps = Annotated[
    list[str] | None,
    typer.Option(
        "--map",
        metavar="HEADER=PATH",
        help="A column of another name; repeatable. @FILE has one in each line.",
    ),
]
Dry = Annotated[bool, typer.Option("--dry-run", help="Only check; nothing is kept or sent.")]
Key = Annotated[
    str | None,
    typer.Option(help="Idempotency key; by default the file itself: twice the same is once."),
]
NoWait = Annotated[bool, typer.Option("--no-wait", help="Do not follow it to its end.")]


class Opened(NamedTuple):
    """What handing over works with."""

    settings: Settings
    handover: Handover
    submissions: Submissions


@contextmanager
def handing_over() -> Iterator[Opened]:
    """Open the database and the bells of the settings, and close them at the end."""
    settings = our_settings.load()
    database = Database(settings.sql_url, pool=2)
    client = connect(settings.redis_url)
    try:
        handover = Handover(database, Bells(client), chunk_items=settings.submit_chunk_items)
        yield Opened(settings, handover, Submissions(database))
    finally:
        client.close()
        database.close()


def add_to(app: typer.Typer) -> None:
    """Register a group for each kind."""
    words = {
        SubmissionKind.INVOICES: "Invoices: hand them over to Amili, and see them.",
        SubmissionKind.PAYMENTS: "Payments that debtors made to you: tell Amili.",
        SubmissionKind.CORRECTIONS: "Credit notes: tell Amili that a claim changed.",
    }
    for kind, help_ in words.items():
        app.add_typer(group(kind, help_), name=str(kind))


def group(kind: SubmissionKind, help_: str) -> typer.Typer:
    """Make the commands of one kind."""
    made = typer.Typer(help=help_, no_args_is_help=True)

    @made.command("submit")
    def submit(
        file: File,
        format_: Formats = None,
        delimiter: Delimiter = None,
        decimal_comma: Comma = None,
        encoding: Encoding = None,
        skip_empty_lines: Skip = None,
        excel: Excel = False,
        maps: Maps = None,
        dry_run: Dry = False,
        organization: Whose = None,
        key: Key = None,
        no_wait: NoWait = False,
    ) -> None:
        """Check a file, hand it over in chunks, and follow it until Amili is done with it.

        Ctrl-C or a crash stops only the following: asked again, the same file goes on where it
        was and is never sent twice. Exit code: 0 all taken, 1 not all, 3 nobody knows.
        """
        options = options_of(
            mapping_of(maps or []),
            excel=excel,
            format=format_,
            delimiter=delimiter,
            decimal_comma=decimal_comma,
            encoding=encoding,
            skip_empty_lines=skip_empty_lines,
        )
        report = checked(file, kind, options)
        if dry_run:
            typer.echo(f"{summary(report)}. Nothing was sent (--dry-run).")
            return
        with handing_over() as opened:
            wish = NewSubmission(
                kind=kind,
                organization_id=one_organization(opened.settings, organization),
                key=f"file:{report.digest.hex()}" if key is None else own_key(key),
                digest=report.digest,
                items=report.count,
            )
            placed = place(opened.handover, wish, file, options)
            typer.echo(f"{summary(report)}. Submission {placed.submission_id}.")
            if no_wait:
                return
            raise typer.Exit(tell(watch(opened.submissions, placed.submission_id)))

    add_columns(made, kind)
    if kind is SubmissionKind.INVOICES:
        made.command("list")(list_invoices)
        made.command("show")(show_invoice)
    return made


def add_columns(made: typer.Typer, kind: SubmissionKind) -> None:
    """Register what tells the columns of a kind."""

    @made.command("columns")
    def show_columns(as_json: Json = False) -> None:
        """List the columns that a CSV file may have."""
        rows = [
            {"column": c.header, "type": c.type, "required": c.required, "meaning": c.meaning}
            for c in columns(kind)
        ]
        if as_json:
            show(rows, True)
            return
        shown = [row | {"required": "yes" if row["required"] else ""} for row in rows]
        show({"data": shown}, False, ("column", "type", "required", "meaning"))


def checked(file: Path, kind: SubmissionKind, options: Options) -> Report:
    """Examine a file; with any error nothing follows. Raises typer.Exit."""
    rules = rules_of(our_settings.load().checks)
    with known_here(kind) as unknown, progress() as bars:
        size = file.stat().st_size if file.is_file() else None
        task = bars.add_task("checked (bytes)", total=size)
        aid = Aid(lambda done: bars.update(task, completed=done), unknown)
        report = examine(file, kind, options, rules, aid)
    for problem in report.problems:
        typer.echo(f"{file}: {problem}", err=True)
    more = report.errors + report.warnings - len(report.problems)
    if more:
        typer.echo(f"{file}: … and {more} more", err=True)
    if not report.fit:
        errors = "1 error" if report.errors == 1 else f"{report.errors} errors"
        typer.echo(f"amili-events: {errors} in {file}: nothing was sent.", err=True)
        raise typer.Exit(1)
    return report


def summary(report: Report) -> str:
    """Say in a line what a file holds."""
    totals = ", ".join(f"{amount:f} {currency}" for currency, amount in report.totals.items())
    warned = f", {report.warnings} warnings" if report.warnings else ""
    return f"{counted(report.count, report.kind)}, {totals}{warned}"


def one_organization(settings: Settings, given: str | None) -> str:
    """Name whose they are. Raises ConfigError when that is not clear."""
    found = amili.organizations(settings, given)
    if len(found) > 1:
        raise ConfigError(
            f"Whose? AMILI_ORGANIZATION_IDS names {len(found)}: give --organization ID."
        )
    ours = settings.organization_ids
    if ours and found[0] not in ours:
        # Nobody here would follow its batches.
        raise ConfigError("--organization is none of AMILI_ORGANIZATION_IDS")
    return demand_word("--organization", found[0])


def own_key(given: str) -> str:
    """Make the key of a submission from one of the operator's own. Raises ConfigError."""
    return f"cli:{demand_word('--key', given)}"


def demand_word(option: str, given: str) -> str:
    """Return what can be kept. Raises ConfigError."""
    try:
        return word(given)
    except ValueError as exc:
        raise ConfigError(f"{option} {exc}") from None


def place(handover: Handover, wish: NewSubmission, file: Path, options: Options) -> Submission:
    """Write the rows, with a bar."""
    with progress() as bars:
        task = bars.add_task("written down", total=wish.items)
        return handover.place(
            wish,
            bars.track(read(file, wish.kind, options, wish.digest), total=wish.items, task_id=task),
        )


def watch(submissions: Submissions, submission_id: str) -> dict[str, object]:
    """Follow a submission; Ctrl-C stops only that."""
    try:
        return follow(submissions, submission_id)
    except KeyboardInterrupt:
        typer.echo(
            f"It goes on without this command: amili-events batches show --wait {submission_id}",
            err=True,
        )
        raise typer.Exit(130) from None
