"""`python -m tests.bench`, which is `make bench`: measures, prints, writes JSON and a picture.

Timings are never asserts: a target that is missed changes no exit code. 1 means that a measurement
itself broke, 130 that it was interrupted; what was measured until then is shown all the same.
"""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from types import FrameType

from rich.console import Console

from tests import servers
from tests.bench import options, parts_door, parts_store, parts_work, setting_up, table
from tests.bench.options import Options
from tests.bench.results import Results, say
from tests.bench.stage import Broken

PARTS: dict[str, Callable[[Results, Options], None]] = {
    "door": parts_door.throughput,
    "durability": parts_door.durability,
    "latency": parts_door.latency,
    "work": parts_work.backlog,
    "burst": parts_work.burst,
    "batch": parts_work.batch,
    "growth": parts_store.history,
    "memory": parts_store.resident,
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
            if name in asked.only:
                say(f"{name}:")
                attempt(results, name, asked, measure)
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
    try:
        measure(results, asked)
    except (Broken, RuntimeError, OSError, subprocess.SubprocessError) as exc:
        results.fail(name, exc)


def finish(results: Results, asked: Options) -> None:
    """Print the table, write the JSON file and the picture."""
    told = {name: str(value) for name, value in asdict(asked).items()}
    console = Console(width=None if sys.stdout.isatty() else WIDTH)
    table.show(results, told, console)
    path = results.write(asked.folder, told)
    picture = path.with_suffix(".png")
    words = [str(setting_up.PYTHON), str(PICTURE), str(path), str(picture)]
    drawn = subprocess.run(words, capture_output=True, text=True, timeout=120, check=False)
    if drawn.returncode:
        results.fail("picture", drawn.stderr[-500:])
    console.print(f"{path}\n{picture}", highlight=False, soft_wrap=True)


def interrupt(number: int, frame: FrameType | None) -> None:
    """Take SIGTERM as Ctrl-C: every stage is left in good order."""
    raise KeyboardInterrupt


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
