"""What a run has found: figures of each turn, lines of the table, what was left out and why."""

from __future__ import annotations

import json
import sys
import time
from collections import defaultdict
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from tests.bench import surroundings
from tests.bench.figures import Spread, Target

REDIS = "AOF always for ours unless said otherwise, everysec for the others; loopback"


@dataclass(frozen=True)
class Line:
    """One line of the table «What it must show»."""

    what: str
    target: Target
    #: One figure for each round.
    values: list[float]
    detail: str = ""
    digits: int = 2

    @property
    def spread(self) -> Spread:
        """The median decides."""
        return Spread.of(self.values)

    @property
    def verdict(self) -> str:
        """Say `reached`, or by how much not."""
        return self.target.verdict(self.spread.median)


@dataclass
class Results:
    """Everything that a run found."""

    figures: dict[tuple[str, str, str], list[float]] = field(
        default_factory=lambda: defaultdict(list)
    )
    notes: dict[tuple[str, str], str] = field(default_factory=dict)
    lines: list[Line] = field(default_factory=list)
    skipped: list[str] = field(default_factory=list)
    broken: list[str] = field(default_factory=list)
    generators: set[str] = field(default_factory=set)
    #: Seconds that each part took.
    parts: dict[str, float] = field(default_factory=dict)
    began: float = field(default_factory=time.time)
    machine: dict[str, Any] = field(default_factory=surroundings.machine)
    commit: str = field(default_factory=surroundings.commit)

    def add(self, section: str, name: str, **figures: float) -> None:
        """Keep the figures of one turn; a name ends with its unit."""
        for figure, value in figures.items():
            self.figures[section, name, figure].append(value)
        words = ", ".join(f"{figure} {value:,.1f}" for figure, value in figures.items())
        say(f"  {section}: {name}: {words}")

    def of(self, section: str, name: str, figure: str) -> list[float]:
        """Return a figure, round by round; empty when it was not measured."""
        return self.figures.get((section, name, figure), [])

    def line(self, line: Line) -> None:
        """Add a line of the table, if anything was measured for it."""
        if line.values:
            self.lines.append(line)
        else:
            self.skip(line.what, "not measured: see what broke")

    def skip(self, what: str, why: str) -> None:
        """Say what was left out."""
        words = f"{what}: {why}"
        if words not in self.skipped:
            self.skipped.append(words)
            say(f"  skipped: {words}")

    def fail(self, what: str, error: object) -> None:
        """Say that a measurement broke."""
        self.broken.append(f"{what}: {error}")
        say(f"  BROKEN: {what}: {error}")

    def as_json(self, options: dict[str, Any]) -> dict[str, Any]:
        """Write everything as JSON takes it."""
        return {
            "date": datetime.fromtimestamp(self.began, UTC).isoformat(timespec="minutes"),
            "machine": self.machine,
            "versions": surroundings.versions(),
            "commit": self.commit,
            "redis": REDIS,
            "options": options,
            "load_generators": sorted(self.generators),
            "seconds": round(time.time() - self.began),
            "seconds_of_parts": {name: round(took) for name, took in self.parts.items()},
            "figures": [
                {"section": section, "name": name, "figure": figure, "values": values}
                | {"median": Spread.of(values).median, "note": self.notes.get((section, name), "")}
                for (section, name, figure), values in self.figures.items()
            ],
            "lines": [
                {"what": line.what, "target": line.target.told(), "values": line.values}
                | {"median": line.spread.median, "verdict": line.verdict, "detail": line.detail}
                for line in self.lines
            ],
            "skipped": self.skipped,
            "broken": self.broken,
        }

    def write(self, folder: Path, options: dict[str, Any]) -> Path:
        """Write the JSON file, and return its path."""
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / "result.json"
        path.write_text(json.dumps(self.as_json(options), indent=1) + "\n")
        return path


def say(words: str) -> None:
    """Tell the person who waits."""
    print(words, file=sys.stderr, flush=True)  # noqa: T201 - progress
