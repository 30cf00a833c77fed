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
from service.desk.doctor.assumptions import Evidence
from service.desk.doctor.examining import Report, examine
from service.desk.doctor.findings import Check, Result, sentence
from service.errors import ConfigError
from service.telemetry import logs

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
    as_json: Annotated[bool, typer.Option("--json", help="Write JSON, for machines.")] = False,
) -> None:
    """Check settings, stores, workers and Amili; report which assumptions were seen to hold.

    Nothing at Amili is changed. Exit code 1 when a check failed.
    """
    logs.configure("ERROR")  # what went wrong stands in the report
    report = examined()
    if as_json:
        typer.echo(json.dumps(report.as_json(), indent=2, ensure_ascii=False))
    else:
        show(report)
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


def show(report: Report) -> None:
    """Print both tables, and one line that sums up."""
    console = Console()
    console.print(checks_table(report))
    console.print(assumptions_table(report))
    counts = Counter(check.result for check in report.checks)
    told = ", ".join(f"{counts[word]} {word}" for word in get_args(Result))
    console.print(Text(told, style="green" if report.is_well else "bold red"))


def checks_table(report: Report) -> Table:
    """List the checks, with what to do."""
    table = Table(title="Checks", title_justify="left")
    for name in ("check", "result"):
        table.add_column(name, no_wrap=True)
    table.add_column("finding", overflow="fold")
    for check in report.checks:
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
