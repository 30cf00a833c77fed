"""Sends prepared requests at a door: wrk as fast as it goes, our generator at a constant rate."""

from __future__ import annotations

import json
import resource
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.bench import setting_up
from tests.bench.stage import CHECKOUT, PYTHON, Broken

WALK = Path(__file__).with_name("walk.lua")


@dataclass(frozen=True)
class Loaded:
    """What one run of a load generator saw."""

    requests: int
    good: int
    rate: float
    p50_ms: float
    p99_ms: float
    worst_ms: float
    #: It ran out of unique requests: the figures mean nothing.
    exhausted: bool
    generator: str
    #: What the generator itself has used of a core: near 1 it is what was measured.
    generator_cores: float
    note: str = ""

    @property
    def is_sound(self) -> bool:
        """Everything was answered with 2xx, and nothing was sent twice."""
        return self.requests > 0 and self.good == self.requests and not self.exhausted


@dataclass(frozen=True)
class Aim:
    """Where to send what."""

    port: int
    path: str
    file: Path
    #: Requests at the file's beginning that were sent before.
    skip: int = 0


def flat_out(aim: Aim, seconds: int, connections: int) -> Loaded:
    """Load a door as fast as it answers: with wrk, or without one with our own generator."""
    wrk = setting_up.program("wrk")
    if wrk is None:
        return steady(aim, 0, seconds, connections)
    url = f"http://127.0.0.1:{aim.port}{aim.path}"
    words = ["-t1", f"-c{connections}", f"-d{seconds}s", "--latency", "--timeout", "15s"]
    given = ["-s", str(WALK), url, "--", str(aim.file), str(aim.skip)]
    done, cpu = timed([str(wrk.path), *words, *given], seconds + 60, wrk.environment)
    lines = [line for line in done.stdout.splitlines() if line.startswith("RESULT ")]
    if not lines:
        raise Broken(f"wrk said nothing: {done.stdout[-500:]} {done.stderr[-500:]}")
    said = json.loads(lines[-1].removeprefix("RESULT "))
    bad = said["bad"] + said["broken"]
    return Loaded(
        requests=said["requests"],
        good=said["requests"] - bad,
        rate=(said["requests"] - bad) / said["seconds"],
        **{name: said[name] for name in ("p50_ms", "p99_ms", "worst_ms")},
        exhausted=said["walked"] > said["written"],
        generator="wrk, 1 thread, closed loop",
        generator_cores=cpu / said["seconds"],
        note=f"{said['bad']} not 2xx, {said['broken']} broken" if bad else "",
    )


def steady(aim: Aim, rate: float, seconds: float, connections: int) -> Loaded:
    """Load a door at a constant rate, latencies counted from when each request was due."""
    words = ["--connections", connections, "--rate", rate, "--seconds", seconds]
    command = [
        PYTHON,
        "-m",
        "tests.bench.generator",
        aim.port,
        aim.file,
        *words,
        "--skip",
        aim.skip,
    ]
    done, _ = timed([str(word) for word in command], seconds + 90)
    if done.returncode:
        raise Broken(f"the generator ended with {done.returncode}: {done.stderr[-1000:]}")
    said: dict[str, Any] = json.loads(done.stdout)
    bad = {code: count for code, count in said["codes"].items() if not code.startswith("2")}
    return Loaded(
        **{name: said[name] for name in ("requests", "good", "rate", "p50_ms", "p99_ms")},
        worst_ms=said["worst_ms"],
        # A closed loop may use up its file, an open one ends before it does.
        exhausted=said["exhausted"] and said["good"] < said["requests"],
        generator=f"tests/bench/generator.py, {'open' if rate else 'closed'} loop",
        generator_cores=said["generator_us"] * said["requests"] / 1e6 / max(said["seconds"], 1e-9),
        note=str(bad) if bad else "",
    )


def timed(
    command: Sequence[str], seconds: float, environment: dict[str, str] | None = None
) -> tuple[subprocess.CompletedProcess[str], float]:
    """Run a generator; return what it said, and the CPU seconds that it took."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = subprocess.run(
        command,
        env=environment,
        cwd=CHECKOUT,
        capture_output=True,
        text=True,
        timeout=seconds,
        check=False,
    )
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return done, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
