"""The coverage-guided fuzzer: atheris, that is libFuzzer, on every target at once."""

from __future__ import annotations

import re
import subprocess
import sys
import time
from collections.abc import Iterable
from importlib.util import find_spec
from pathlib import Path

from tests.doors import CHECKOUT, environment
from tests.fuzz.report import Part
from tests.fuzz.seeding import CORPUS, kept, large, small
from tests.fuzz.targets import CPU_SECONDS, run_one

LONGEST_INPUT = 1500
DONE = re.compile(r"stat::number_of_executed_units:\s*(\d+)")
GROWN = re.compile(r"#\d+\s+(?:INITED|DONE)\s+cov: (\d+) ft: (\d+) corp: (\d+).*?rss: (\d+)Mb")
WITHOUT = "atheris is not installed: `make fuzz` installs it where it has a wheel"


def run(inputs: int, number: int, folder: Path) -> Part:
    """Fuzz with so many inputs; the same seed, the same inputs."""
    part = Part("parsing and signing, guided")
    if find_spec("atheris") is None:
        part.left_out = WITHOUT
        return part
    found = folder / "found"
    for each in (found, folder / "begin", folder / "crash"):
        each.mkdir(parents=True, exist_ok=True)
    for at, data in enumerate(small()):
        (folder / "begin" / f"{at:03d}").write_bytes(data)
    done = subprocess.run(
        [
            *(sys.executable, "-m", "tests.fuzz.libfuzzer", str(found), str(folder / "begin")),
            *(str(CORPUS), f"-runs={inputs}", f"-seed={number}", f"-max_len={LONGEST_INPUT}"),
            *(f"-artifact_prefix={folder / 'crash'}/", "-print_final_stats=1", "-timeout=10"),
            "-rss_limit_mb=1024",
        ],
        cwd=CHECKOUT,
        env=environment(),
        capture_output=True,
        check=False,
    )
    said = done.stderr.decode("utf-8", "replace") + done.stdout.decode("utf-8", "replace")
    executed, grown = DONE.search(said), GROWN.findall(said)
    part.inputs = int(executed[1]) if executed else 0
    if grown:
        part.before, part.after = float(grown[0][3]), float(grown[-1][3])
        first, last = grown[0], grown[-1]
        part.note = f"branches {first[0]}→{last[0]}, corpus {first[2]}→{last[2]}"
    part.seconds = time.monotonic() - part.began
    if done.returncode:
        crashes = sorted((folder / "crash").iterdir())
        inputs_ = [f"{path.name} {path.read_bytes()!r:.300}" for path in crashes]
        part.faults.append(f"seed {number}: {inputs_} {said[-3000:]}")
    return part


def replay(seconds: float = CPU_SECONDS) -> Part:
    """Give every kept input, every small one and every large one to its target."""
    part = Part("kept and large inputs")
    attempts(part, kept(), seconds)
    attempts(part, ((f"small {at}", data) for at, data in enumerate(small())), seconds)
    part.warm()
    attempts(part, large(), seconds)
    return part.end()


def attempts(part: Part, named: Iterable[tuple[str, bytes]], seconds: float) -> None:
    """Give inputs to their targets, each within so many seconds."""
    for name, data in named:
        part.inputs += 1
        try:
            run_one(data, seconds)
        except Exception as exc:
            part.faults.append(f"{name}: {exc!r:.300}")
