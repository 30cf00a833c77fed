"""Draws a run's result: `python picture.py RESULT.json RESULT.png`, with the contestants' Python.

Nothing of ours is imported: matplotlib lives in an environment of its own.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import matplotlib as mpl

mpl.use("Agg")
from matplotlib import pyplot as plt

OURS, THEIRS = "#0b6e4f", "#9aa5b1"
CHARTS = (
    ("door", "webhooks_a_second", "Accepted webhooks a second, one process"),
    ("work", "settled_a_second", "Settled events a second, two worker processes"),
)


def bars(axes: Any, figures: list[dict[str, Any]], title: str) -> None:
    """Draw a bar for each contestant: the median, and the ends of the rounds."""
    names = [each["name"] for each in figures]
    medians = [each["median"] for each in figures]
    low = [each["median"] - min(each["values"]) for each in figures]
    high = [max(each["values"]) - each["median"] for each in figures]
    colours = [OURS if name.startswith("ours") else THEIRS for name in names]
    rows = range(len(names))
    axes.barh(rows, medians, color=colours, xerr=[low, high], ecolor="#444444", capsize=3)
    axes.set_yticks(rows, names)
    axes.invert_yaxis()
    axes.set_title(title, loc="left", fontsize=11)
    for row, value in zip(rows, medians, strict=True):
        axes.annotate(
            f"{value:,.0f}", (value, row), xytext=(8, 8), textcoords="offset points", fontsize=8
        )
    axes.spines[["top", "right"]].set_visible(False)
    axes.margins(x=0.15)


def targets(axes: Any, lines: list[dict[str, Any]]) -> None:
    """Write the targets as a table."""
    axes.axis("off")
    axes.set_title("What it must show", loc="left", fontsize=11)
    rows = [[each["what"], each["target"], f"{each['median']:,.2f}"] for each in lines]
    table = axes.table(
        cellText=[[*row, each["verdict"]] for row, each in zip(rows, lines, strict=True)],
        colLabels=["", "target", "measured", ""],
        colWidths=[0.68, 0.1, 0.11, 0.14],
        cellLoc="left",
        loc="upper left",
    )
    table.auto_set_font_size(value=False)
    table.set_fontsize(8)
    for (row, _), cell in table.get_celld().items():
        cell.set_edgecolor("#dddddd")
        cell.PAD = 0.02
        if row and lines[row - 1]["verdict"] != "reached":
            cell.set_facecolor("#fdecea")


def draw(told: dict[str, Any], path: Path) -> None:
    """Draw everything."""
    charts = []
    for section, figure, title in CHARTS:
        found = [f for f in told["figures"] if (f["section"], f["figure"]) == (section, figure)]
        if found:
            charts.append((found, title))
    heights = [0.6 + 0.42 * len(found) for found, _ in charts] + [0.6 + 0.3 * len(told["lines"])]
    plot, axes = plt.subplots(
        len(heights),
        1,
        figsize=(11, sum(heights) + 1),
        height_ratios=heights,
        layout="constrained",
        squeeze=False,
    )
    for (found, title), each in zip(charts, axes[:, 0], strict=False):
        bars(each, found, title)
    targets(axes[-1, 0], told["lines"]) if told["lines"] else axes[-1, 0].axis("off")
    machine = told["machine"]
    plot.suptitle(
        f"amili-events {told['commit']}: {machine['processor']}, {machine['cores']} cores, "
        f"{machine['system']}, Python {machine['python']}, {told['date']}",
        fontsize=9,
        x=0.01,
        ha="left",
    )
    plot.savefig(path, dpi=130)


if __name__ == "__main__":
    draw(json.loads(Path(sys.argv[1]).read_text()), Path(sys.argv[2]))
