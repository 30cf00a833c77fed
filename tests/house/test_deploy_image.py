"""The image: built from locked packages, run by a number that is not root, with a check that works.

No Docker engine is asked for: the Dockerfile is read as text.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import threading
import tomllib
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest
from packaging.specifiers import SpecifierSet

CHECKOUT = Path(__file__).parents[2]
DOCKERFILE = CHECKOUT / "Dockerfile"

Instruction = tuple[str, str]


def instructions() -> list[Instruction]:
    """Read the Dockerfile as (keyword, rest), comments gone and continued lines joined."""
    lines = DOCKERFILE.read_text(encoding="utf-8").splitlines()
    text = "\n".join(line for line in lines if not line.lstrip().startswith("#"))
    joined = re.sub(r"\\\n\s*", " ", text)
    words = (line.split(None, 1) for line in joined.splitlines() if line.strip())
    return [(keyword, rest.strip()) for keyword, rest in words]


def stages() -> list[list[Instruction]]:
    """Cut the instructions at each FROM."""
    found: list[list[Instruction]] = []
    for instruction in instructions():
        if instruction[0] == "FROM":
            found.append([])
        if found:
            found[-1].append(instruction)
    return found


def last(keyword: str) -> str:
    """Give the last such instruction of the last stage."""
    return [rest for word, rest in stages()[-1] if word == keyword][-1]


def health_check() -> list[str]:
    """Give the health check's command."""
    command: list[str] = json.loads(last("HEALTHCHECK").partition("CMD ")[2])
    return command


class Answer(BaseHTTPRequestHandler):
    """Answers /readyz with the server's `status`, all else with 404."""

    status = 200

    def do_GET(self) -> None:
        self.send_response(self.status if self.path == "/readyz" else 404)
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""


@pytest.fixture(params=[200, 503])
def door(request: pytest.FixtureRequest) -> Iterator[tuple[int, int]]:
    """Stand in for a door that is ready, or not: its port and its answer."""
    handler = type("Fixed", (Answer,), {"status": request.param})
    with HTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield server.server_port, request.param
        server.shutdown()
        thread.join()


def test_what_builds_is_not_what_runs() -> None:
    """The last stage takes one folder from the build stage, and nothing from the checkout."""
    build, run = stages()
    assert build[0][1].endswith(" AS build")
    copies = [rest for keyword, rest in run if keyword in ("COPY", "ADD")]
    assert copies == ["--from=build /opt/amili-events /opt/amili-events"]


def test_every_package_is_checked_against_its_hash() -> None:
    """Of all that pip installs, only our own code has no hash."""
    runs = [rest for keyword, rest in instructions() if keyword == "RUN" and "pip install" in rest]
    locked, own = runs
    assert "--require-hashes" in locked
    assert "-r requirements.lock" in locked
    assert "--no-deps --no-build-isolation ." in own


def test_the_process_is_not_root() -> None:
    """Kubernetes can prove `runAsNonRoot` only for a number."""
    user, group = last("USER").split(":")
    assert user == group == "10001"


def test_no_shell_stands_before_our_process() -> None:
    """Exec form: the one SIGTERM reaches our process, and no other process sends a second."""
    assert json.loads(last("ENTRYPOINT")) == ["amili-events"]
    assert json.loads(last("CMD")) == ["serve"]
    assert last("STOPSIGNAL") == "SIGTERM"


def test_images_come_from_no_named_host() -> None:
    """Who builds chooses the mirror: no image is named with a registry's host."""
    images = [rest.split()[0] for keyword, rest in instructions() if keyword == "FROM"]
    assert images == ["python:${PYTHON_VERSION}-slim"] * 2


def test_the_python_is_one_that_the_project_allows() -> None:
    """The image's Python fits `requires-python`."""
    (version,) = (rest.split("=")[1] for keyword, rest in instructions() if keyword == "ARG")
    project = tomllib.loads((CHECKOUT / "pyproject.toml").read_text(encoding="utf-8"))
    assert version in SpecifierSet(project["project"]["requires-python"])


def test_no_secret_is_built_in() -> None:
    """A secret in a layer is public: none comes as an argument or a variable."""
    words = [rest for keyword, rest in instructions() if keyword in ("ARG", "ENV")]
    assert not re.search(r"SECRET|TOKEN|PASSWORD|_URL", " ".join(words))


def test_only_what_is_copied_is_sent_to_the_builder() -> None:
    """.dockerignore refuses everything and lets in exactly what the build stage copies."""
    lines = (CHECKOUT / ".dockerignore").read_text(encoding="utf-8").splitlines()
    patterns = [line for line in lines if line and not line.startswith("#")]
    copied = {
        source.removeprefix("./")
        for keyword, rest in stages()[0]
        if keyword == "COPY"
        for source in rest.split()[:-1]
    }
    assert patterns[0] == "*"
    assert {pattern[1:] for pattern in patterns if pattern.startswith("!")} == copied


def test_the_health_check_asks_the_door(door: tuple[int, int]) -> None:
    """It needs no curl, says yes to a ready door and no to one that is not."""
    port, status = door
    python, *words = health_check()
    assert python == "python"
    ran = subprocess.run(
        [sys.executable, *words],
        env={**os.environ, "AMILI_PORT": str(port)},
        capture_output=True,
        timeout=20,
        check=False,
    )
    assert (ran.returncode == 0) is (status == 200), ran.stderr


def test_hadolint_finds_nothing(
    tool: Callable[[str], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The linter of Dockerfiles is content, without a rule switched off."""
    monkeypatch.setenv("PATH", str(Path(sys.executable).parent), prepend=os.pathsep)
    ran = subprocess.run(
        [tool("hadolint"), "--no-color", str(DOCKERFILE)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == 0, ran.stdout
