"""How every command prints: a table for people, JSON for programs."""

from __future__ import annotations

import json
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

WIDEST = 10_000

CaseName = Annotated[
    str, typer.Argument(metavar="CASE", show_default=False, help="Its id or its number.")
]
Json = Annotated[bool, typer.Option("--json", help="Print JSON, for other programs.")]
After = Annotated[str | None, typer.Option(help="Where the page before ended; it says so.")]
AfterNumber = Annotated[
    int | None, typer.Option("--after", min=0, help="Where the page before ended; it says so.")
]
Limit = Annotated[int, typer.Option(min=1, max=200, help="How many at the most.")]


def show(data: Any, as_json: bool, columns: tuple[str, ...] = ()) -> None:
    """Print a list as a table, one record as lines, or either as JSON."""
    if as_json or not columns:
        typer.echo(json.dumps(data, indent=2, ensure_ascii=False))
        return
    table = Table(box=None, header_style="bold")
    for column in columns:
        table.add_column(column, no_wrap=True)
    for row in data["data"]:
        # As Text: what came from outside is not markup, whatever brackets it has.
        table.add_row(*(Text("-" if row[c] is None else str(row[c])) for c in columns))
    # Values are copied and searched for: none is folded, the terminal may break the line.
    console = Console()
    needed = console.measure(table, options=console.options.update(width=WIDEST)).maximum
    Console(width=max(needed, console.width)).print(table, crop=False)
