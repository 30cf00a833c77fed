"""Shows, at the end of a run, which seed found which mutant."""

from __future__ import annotations

import pytest


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print mutant, first seed that finds it, and what the oracle said."""
    rows = [
        value
        for report in terminalreporter.stats.get("passed", [])
        for name, value in report.user_properties
        if name == "mutant"
    ]
    if not rows:
        return
    terminalreporter.section("faults put in on purpose, and the seed that finds each")
    width = max(len(row[0]) for row in rows)
    for name, seed, words in sorted(rows):
        terminalreporter.line(f"{name:{width}}  seed {seed:4}  {words}")
