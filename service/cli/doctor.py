"""`doctor`: is this installation well, and which assumptions about Amili hold?"""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from typing import Annotated, get_args

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from service import settings as our_settings
from service.amili import contract as amili_contract
from service.cli.setting import unknown
from service.desk.doctor.assumptions import Evidence, Verdict
from service.desk.doctor.examining import Report, examine
from service.desk.doctor.findings import Check, Result, sentence
from service.errors import ConfigError
from service.telemetry import logs
from service.version import NAME, own_version

STYLES = {
    "ok": "green",
    "warning": "yellow",
    "failed": "bold red",
    "skipped": "dim",
    "confirmed": "green",
    "contradicted": "bold red",
    "not seen": "dim",
}


def add_to(app: typer.Typer) -> None:
    """Register the command."""
    app.command("doctor")(doctor)


def doctor(
    as_json: Annotated[
        bool, typer.Option("--json", help="Write JSON, for machines: checks and assumptions.")
    ] = False,
    assumptions: Annotated[
        bool, typer.Option("--assumptions", help="List also what is assumed about Amili.")
    ] = False,
) -> None:
    """Check settings, stores, workers and Amili; report which assumptions were seen to hold.

    Nothing at Amili is changed. Here one thing may be: when the database is another one than
    Redis knows, or an older one as after a restore, the door's keys in Redis are cleared, so that
    no delivery is taken for one that is stored. Exit code 1 when a check failed.
    """
    logs.configure("ERROR")  # what went wrong stands in the report
    report = examined()
    if as_json:
        typer.echo(json.dumps(report.as_json(), indent=2, ensure_ascii=False))
    else:
        show(report, assumptions=assumptions)
    if not report.is_well:
        raise typer.Exit(1)


def examined() -> Report:
    """Examine; settings that cannot be read are one failed check."""
    try:
        settings, contract = our_settings.load(), amili_contract.load()
    except ConfigError as exc:
        wrong = [
            Check("settings", "failed", sentence(line), "Correct this variable.")
            for line in str(exc).splitlines()
        ]
        return Report(tuple(wrong), tuple(Evidence().judged()))
    return asyncio.run(examine(settings, contract, unknown()))


def show(report: Report, *, assumptions: bool) -> None:
    """Print the checks, on demand the assumptions, and one line that sums up."""
    console = Console()
    console.print(Text(f"{NAME} {own_version()}", style="bold"))
    console.print(checks_table(report))
    if assumptions:
        console.print(assumptions_table(report))
    else:
        console.print(Text(assumed(report), style="dim"))
    counts = Counter(check.result for check in report.checks)
    told = ", ".join(f"{counts[word]} {word}" for word in get_args(Result))
    console.print(Text(told, style="green" if report.is_well else "bold red"))


def assumed(report: Report) -> str:
    """Sum up the assumptions in a line."""
    counts = Counter(each.verdict for each in report.assumptions)
    told = ", ".join(f"{counts[word]} {word}" for word in get_args(Verdict))
    return f"Assumptions about Amili: {told} (--assumptions lists them)."


def checks_table(report: Report) -> Table:
    """List the checks, with what to do."""
    table = Table(title="Checks", title_justify="left")
    for name in ("check", "result"):
        table.add_column(name, no_wrap=True)
    table.add_column("finding", overflow="fold")
    for check in report.urgent_first:
        said = Text(check.says)
        if check.do:
            said.append(f"\n{check.do}", style="italic")
        table.add_row(check.name, Text(check.result, style=STYLES[check.result]), said)
    return table


def assumptions_table(report: Report) -> Table:
    """List the assumptions, with the evidence."""
    table = Table(title="What is assumed about Amili", title_justify="left")
    table.add_column("assumption", overflow="fold")
    table.add_column("so far", no_wrap=True)
    table.add_column("evidence", overflow="fold")
    for each in report.assumptions:
        what = Text(each.variable or each.name)
        what.append(f"\n{each.words}", style="dim")
        table.add_row(what, Text(each.verdict, style=STYLES[each.verdict]), Text(each.evidence))
    return table
