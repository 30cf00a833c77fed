"""`python -m tests.bench`, which is `make bench`: measures, prints, writes JSON and a picture.

Timings are never asserts: a target that is missed changes no exit code. 1 means that a measurement
itself broke, 130 that it was interrupted; what was measured until then is shown all the same.
"""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from types import FrameType

from rich.console import Console

from tests import servers
from tests.bench import (
    markdown,
    options,
    parts_door,
    parts_sizing,
    parts_store,
    parts_work,
    plan,
    setting_up,
    table,
)
from tests.bench.options import Options
from tests.bench.results import Results, say

PARTS: dict[str, Callable[[Results, Options], None]] = {
    "door": parts_door.throughput,
    "durability": parts_door.durability,
    "latency": parts_door.latency,
    "work": parts_work.backlog,
    "burst": parts_work.burst,
    "batch": parts_work.batch,
    "sizing": parts_sizing.table,
    "memory": parts_door.growth,
    "growth": parts_store.history,
    "profile": parts_sizing.profiles,
}
PICTURE = Path(__file__).with_name("picture.py")
WIDTH = 160


def main(words: list[str]) -> int:
    """Measure what is asked for."""
    asked = options.read(words)
    for number in (signal.SIGTERM, signal.SIGINT):  # whatever a shell has set before
        signal.signal(number, interrupt)
    setting_up.ensure_environments()
    results, code = Results(), 0
    try:
        for name, measure in PARTS.items():
            if name in asked.only and plan.is_time(results, asked, name):
                say(f"{name}:")
                attempt(results, name, asked, measure)
                keep(results, asked)
    except KeyboardInterrupt:
        code = 130
    finally:
        servers.forget_copies()
    finish(results, asked)
    return code or (1 if results.broken else 0)


def attempt(
    results: Results, name: str, asked: Options, measure: Callable[[Results, Options], None]
) -> None:
    """Measure one part; that it breaks does not end the others."""
    began = time.monotonic()
    try:
        measure(results, asked)
    except Exception as exc:  # whatever it was, what else was measured is worth having
        results.fail(name, f"{type(exc).__name__}: {exc}")
    results.parts[name] = time.monotonic() - began
    say(f"{name}: {results.parts[name]:.0f} s")


def keep(results: Results, asked: Options) -> Path:
    """Write what is known as JSON and as Markdown; return the JSON file."""
    told = words_of(asked)
    path = results.write(asked.folder, told)
    path.with_suffix(".md").write_text(markdown.page(results, told))
    return path


def words_of(asked: Options) -> dict[str, str]:
    """Write what was asked for, without the folder: a path of one machine tells others nothing."""
    return {name: str(value) for name, value in asdict(asked).items() if name != "folder"}


def finish(results: Results, asked: Options) -> None:
    """Print the table, write the files and the picture."""
    told = words_of(asked)
    console = Console(width=None if sys.stdout.isatty() else WIDTH)
    table.show(results, told, console)
    path = keep(results, asked)
    picture = path.with_suffix(".png")
    words = [str(setting_up.PYTHON), str(PICTURE), str(path), str(picture)]
    try:
        subprocess.run(words, capture_output=True, text=True, timeout=120, check=True)
    except (OSError, subprocess.SubprocessError) as exc:
        results.fail("picture", f"{exc} {getattr(exc, 'stderr', '')}"[-500:])
    for each in (path, path.with_suffix(".md"), picture):
        console.print(str(each), highlight=False, soft_wrap=True)


def interrupt(number: int, frame: FrameType | None) -> None:
    """Take SIGTERM as Ctrl-C: every stage is left in good order, which a second one cannot stop."""
    for each in (signal.SIGTERM, signal.SIGINT):
        signal.signal(each, ignore)
    say("stopping everything")
    raise KeyboardInterrupt


def ignore(number: int, frame: FrameType | None) -> None:
    """Let it be: we are stopping already. What we start would inherit SIG_IGN, but not this."""


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
