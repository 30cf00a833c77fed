"""The same tables as a page of Markdown, to be kept beside the picture."""

from __future__ import annotations

from typing import Any

from tests.bench import table
from tests.bench.results import Results


def page(results: Results, options: dict[str, Any]) -> str:
    """Write everything that was found."""
    told = results.as_json(options)
    parts = ["# What a run of `make bench` has found", surroundings(told)]
    parts += [written(sheet) for sheet in table.sheets(results)]
    for title, lines in (("Left out", results.skipped), ("Broken", results.broken)):
        if lines:
            parts.append("\n".join([f"**{title}**", "", *(f"- {flat(line)}" for line in lines)]))
    return "\n\n".join(parts) + "\n"


def surroundings(told: dict[str, Any]) -> str:
    """Say on what it was measured, as a list."""
    return "\n".join(f"- {line}" for line in table.surroundings(told).splitlines())


def written(sheet: table.Sheet) -> str:
    """Write one table."""
    first, *others = sheet.header
    ruler = "|".join(
        ["---", *("---:" if sheet.is_figure(n + 1) else "---" for n in range(len(others)))]
    )
    rows = ["| " + " | ".join(flat(cell) for cell in row) + " |" for row in sheet.rows]
    head = "| " + " | ".join([first, *others]) + " |"
    return "\n".join([f"**{sheet.title}**", "", head, f"|{ruler}|", *rows])


def flat(words: str) -> str:
    """Keep a cell in its line."""
    return " ".join(words.split()).replace("|", "\\|")
