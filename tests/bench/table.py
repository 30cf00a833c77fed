"""The table that a person reads, on the terminal and in a pipe."""

from __future__ import annotations

from typing import Any

from rich.console import Console
from rich.table import Table

from tests.bench.figures import Spread
from tests.bench.results import Results

#: The figure that matters comes first in each section.
TITLES = {
    "door": "The door, as fast as it goes",
    "durability": "AOF always and disk, against everysec and memory",
    "latency": "The door at half of its maximum rate",
    "work": "A backlog, two worker processes",
    "burst": "Many events on few cases",
    "batch": "One large batch",
    "growth": "The same work, with a short and a long history",
    "memory": "Memory",
}


def show(results: Results, options: dict[str, Any], console: Console) -> None:
    """Print everything."""
    told = results.as_json(options)
    console.print(surroundings(told), highlight=False)
    for section, title in TITLES.items():
        if any(key[0] == section for key in results.figures):
            console.print(section_table(results, section, title))
    console.print(targets(results))
    for title, lines in (("Left out", results.skipped), ("Broken", results.broken)):
        for line in lines:
            console.print(f"{title}: {line}", highlight=False, markup=False)


def surroundings(told: dict[str, Any]) -> str:
    """Say on what, with what and of what it was measured."""
    machine = told["machine"]
    return "\n".join(
        [
            f"commit {told['commit']}, {told['seconds']} s",
            f"{machine['processor']}, {machine['cores']} cores, {machine['memory_gb']} GB, "
            f"{machine['system']}, Python {machine['python']}, load {machine['load_before']}",
            ", ".join(f"{name} {number}" for name, number in told["versions"].items()),
            f"load: {'; '.join(told['load_generators']) or 'none'}",
            "Redis: AOF always for ours unless said otherwise, everysec for the others",
        ]
    )


def section_table(results: Results, section: str, title: str) -> Table:
    """Make the table of one section: a row for each contestant, medians and ends."""
    table = Table(title=title, title_justify="left")
    table.add_column("")
    keys = [key for key in results.figures if key[0] == section]
    figures = list(dict.fromkeys(figure for _, _, figure in keys))
    for figure in figures:
        table.add_column(figure.replace("_", " "), justify="right")
    for name in dict.fromkeys(name for _, name, _ in keys):
        cells = [cell(results.of(section, name, figure)) for figure in figures]
        table.add_row(f"{name}  {results.notes.get((section, name), '')}".strip(), *cells)
    return table


def cell(values: list[float]) -> str:
    """Write one cell."""
    if not values:
        return "-"
    spread = Spread.of(values)
    return spread.told(0 if spread.median >= 100 else 2)


def targets(results: Results) -> Table:
    """Make the table of targets."""
    table = Table(title="What it must show", title_justify="left")
    for name in ("what", "target", "measured", "", "detail"):
        table.add_column(name, justify="right" if name in ("target", "measured") else "left")
    for line in results.lines:
        measured = line.spread.told(line.digits)
        table.add_row(line.what, line.target.told(), measured, line.verdict, line.detail)
    return table
