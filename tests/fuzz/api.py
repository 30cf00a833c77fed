"""The operator's API against its own description: schemathesis, with right and wrong data."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from tests.doors import CHECKOUT, TOKEN, DoorProcess, eventually
from tests.fuzz.report import Part
from tests.fuzz.seeding import PAYMENT
from tests.fuzz.stage import Stores, door_of, furnish
from tests.servers import PostgresServer, fresh_database

CONFIG = Path(__file__).with_name("schemathesis.toml")
#: Phases that try what they know of, as a warm-up, and phases that go on for long.
FIRST, THEN = "examples,coverage", "fuzzing,stateful"


@contextlib.contextmanager
def database_of(kind: str) -> Iterator[str]:
    """Name a database: SQLite's is in the folder of the stores."""
    if kind == "sqlite":
        yield ""
        return
    with PostgresServer() as server, fresh_database(server.url) as url:
        yield url


def run(place: Stores, kind: str, examples: int, number: int) -> Part:
    """Ask the API of a furnished door; about so many examples for each operation."""
    with door_of(place) as door:
        part = Part(f"API, {kind}", door.process.pid)
        furnish(place, door)
        known = records(door)
        schemathesis(part, place, door, known, [f"--phases={FIRST}", f"--seed={number}"])
        part.warm()
        more = [f"--phases={THEN}", f"--seed={number}", f"--max-examples={examples}"]
        schemathesis(part, place, door, known, more)
        part.end()
        if "Traceback" in door.said:
            part.faults.append(f"the log has a traceback: {door.said[-2000:]}")
    return part


def records(door: DoorProcess) -> dict[str, list[str]]:
    """Hand something over, and name what has ids of its own."""
    reply = door.post("/payments", {"payments": [PAYMENT]})
    refused = eventually(lambda: door.get("/quarantine").json["data"])
    return {
        "submissionId": [reply.json["submissionId"]],
        "quarantineId": [each["quarantineId"] for each in refused],
    }


def schemathesis(
    part: Part, place: Stores, door: DoorProcess, known: dict[str, list[str]], words: list[str]
) -> None:
    """Run it once, and count what was answered."""
    counts = place.folder / "counts.json"
    done = subprocess.run(
        [
            *(sys.executable, "-m", "schemathesis.cli", f"--config-file={CONFIG}", "run"),
            f"http://127.0.0.1:{door.port}/api/v1/openapi.json",
            *("--header", f"Authorization: Bearer {TOKEN}", "--continue-on-failure"),
            *("--generation-database=none", "--no-color", "--mode=all", *words),
        ],
        cwd=place.folder,
        env=os.environ
        | {
            "SCHEMATHESIS_HOOKS": "tests.fuzz.hooks",
            "PYTHONPATH": str(CHECKOUT),
            "AMILI_FUZZ_COUNTS": str(counts),
            "AMILI_FUZZ_KNOWN": json.dumps(known),
        },
        capture_output=True,
        text=True,
        check=False,
    )
    told: Counter[str] = Counter(json.loads(counts.read_text()) if counts.exists() else {})
    counts.unlink(missing_ok=True)
    part.statuses += told
    part.inputs += told.total()
    bad = sum(count for status, count in told.items() if status >= "500")
    if done.returncode or bad or not told:
        part.faults.append(f"{bad} of 5xx; {done.stdout[-6000:]} {done.stderr[-1000:]}")
