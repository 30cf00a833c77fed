"""The tables that a person reads, on the terminal and in a pipe."""

from __future__ import annotations

from dataclasses import dataclass
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
    "sizing": "Sizing: events a second and memory",
    "processes": "Sizing: the most that each process has held",
    "bytes": "Sizing: bytes an event",
    "memory": "Memory of the door over very many webhooks",
    "growth": "The same work, with a short and a long history",
    "profile": "Where our time goes: samples of py-spy, by the innermost function of ours",
    "profile_leaves": "… and by the function in which they end",
}
TARGETS = "What it must show"
#: Columns of words in the table of targets.
WORDS = (0, 3, 4)


@dataclass(frozen=True)
class Sheet:
    """One table: words, and figures that stand to the right."""

    title: str
    header: list[str]
    rows: list[list[str]]
    words: tuple[int, ...] = (0,)

    def is_figure(self, column: int) -> bool:
        """Say whether a column holds figures."""
        return column not in self.words


def show(results: Results, options: dict[str, Any], console: Console) -> None:
    """Print everything."""
    console.print(surroundings(results.as_json(options)), highlight=False)
    for sheet in reversed(sheets(results)):  # on a terminal what comes last is seen first
        console.print(drawn(sheet))
    for title, lines in (("Left out", results.skipped), ("Broken", results.broken)):
        for line in lines:
            console.print(f"{title}: {line}", highlight=False, markup=False)


def surroundings(told: dict[str, Any]) -> str:
    """Say on what, with what and of what it was measured."""
    machine = told["machine"]
    return "\n".join(
        [
            f"commit {told['commit']}, {told['date']}, {told['seconds']} s",
            f"{machine['processor']}, {machine['cores']} cores, {machine['memory_gb']} GB, "
            f"{machine['system']}, Python {machine['python']}, "
            f"load before {machine['load_before']}, one fdatasync {machine['fdatasync_ms']} ms",
            ", ".join(f"{name} {number}" for name, number in told["versions"].items()),
            f"load: {'; '.join(told['load_generators']) or 'none'}; on the same cores",
            f"Redis: {told['redis']}",
        ]
    )


def sheets(results: Results) -> list[Sheet]:
    """Make every table, that of the targets first."""
    found = [targets(results)] if results.lines else []
    for section, title in TITLES.items():
        if any(key[0] == section for key in results.figures):
            found.append(section_sheet(results, section, title))
    return found


def section_sheet(results: Results, section: str, title: str) -> Sheet:
    """Make the table of one section: a row for each contestant, medians and ends."""
    keys = [key for key in results.figures if key[0] == section]
    figures = list(dict.fromkeys(figure for _, _, figure in keys))
    rows = []
    for name in dict.fromkeys(name for _, name, _ in keys):
        cells = [cell(results.of(section, name, figure)) for figure in figures]
        rows.append([f"{name}  {results.notes.get((section, name), '')}".strip(), *cells])
    return Sheet(title, ["", *(figure.replace("_", " ") for figure in figures)], rows)


def targets(results: Results) -> Sheet:
    """Make the table of targets."""
    rows = [
        [line.what, line.target.told(), line.spread.told(line.digits), line.verdict, line.detail]
        for line in results.lines
    ]
    return Sheet(TARGETS, ["what", "target", "measured", "", "detail"], rows, WORDS)


def cell(values: list[float]) -> str:
    """Write one cell."""
    if not values:
        return "-"
    spread = Spread.of(values)
    return spread.told(0 if spread.median >= 100 else 2)


def drawn(sheet: Sheet) -> Table:
    """Draw a table for the terminal."""
    made = Table(title=sheet.title, title_justify="left")
    for number, name in enumerate(sheet.header):
        made.add_column(name, justify="right" if sheet.is_figure(number) else "left")
    for row in sheet.rows:
        made.add_row(*row)
    return made
