"""What a part of the run found, and the table of all parts."""

from __future__ import annotations

import os
import re
import time
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field

import psutil

#: What a long-lived process may take more after its warm-up.
MOST_GROWTH_MB = 24.0


@dataclass
class Part:
    """One part: how many inputs, what they were answered, and what was wrong."""

    name: str
    #: Of the process whose memory is measured.
    pid: int = field(default_factory=os.getpid)
    inputs: int = 0
    statuses: Counter[str] = field(default_factory=Counter)
    faults: list[str] = field(default_factory=list)
    before: float = 0.0
    after: float = 0.0
    #: What is told in the place of statuses.
    note: str = ""
    #: Why it was not run here.
    left_out: str = ""
    began: float = field(default_factory=time.monotonic)
    seconds: float = 0.0

    def warm(self) -> None:
        """Note the memory after the warm-up."""
        self.before = megabytes(self.pid)

    def fault(self, seed: int, exc: BaseException) -> None:
        """Note what a round of this seed ended with."""
        inner = getattr(exc, "exceptions", None) or (exc,)
        notes = " ".join(getattr(exc, "__notes__", ()))
        words = " ".join(f"{each!r:.1500}" for each in inner) + f" {notes}"
        self.faults.append(f"seed {seed}: {re.sub(r' {20,}', ' … ', words):.4000}")

    def end(self) -> Part:
        """Note the memory at the end, and call growth a fault."""
        self.after = megabytes(self.pid)
        self.seconds = time.monotonic() - self.began
        if self.before and self.after - self.before > MOST_GROWTH_MB:
            self.faults.append(f"memory grew from {self.before:.1f} to {self.after:.1f} MB")
        return self


def megabytes(pid: int) -> float:
    """Measure the resident memory of a process."""
    return float(psutil.Process(pid).memory_info().rss) / 1e6


def row(part: Part) -> str:
    """Write a part in one line."""
    if part.left_out:
        return f"{part.name:<28}{'-':>10}  left out: {part.left_out}"
    counts = " ".join(f"{status}:{count}" for status, count in sorted(part.statuses.items()))
    said = part.note or counts
    return (
        f"{part.name:<28}{part.inputs:>10,}{len(part.faults):>8}{part.before:>11.1f}"
        f"{part.after:>8.1f}{part.seconds:>7.0f}  {said}"
    )


def table(parts: Iterable[Part], seed: int) -> str:
    """Write all parts, one a line, and every fault below."""
    kept = list(parts)
    lines = [
        f"fuzz, seed {seed}",
        f"{'part':<28}{'inputs':>10}{'faults':>8}{'MB before':>11}{'after':>8}{'s':>7}  statuses",
    ]
    lines += map(row, kept)
    total, faults = sum(part.inputs for part in kept), sum(len(part.faults) for part in kept)
    lines.append(f"{'together':<28}{total:>10,}{faults:>8}")
    lines += [f"\n{part.name}: {fault}" for part in kept for fault in part.faults]
    return "\n".join(lines)
