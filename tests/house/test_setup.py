"""The set-up itself: lock files that fit, a Makefile that says in one sentence what is missing."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

CHECKOUT = Path(__file__).parents[2]

#: What the Makefile may count on; PATH in these tests holds nothing else.
PROGRAMS = ["make", "sh", "cat", "touch", "rm", "find"]

#: The running Python, posing as another: the Makefile's question is asked in this disguise.
DISGUISE = """\
#!/bin/sh
exec {python} -c 'import sys
{lie}
exec(sys.argv[2])' "$@"
"""

SKIPPING = """\
import pytest

def test_one():
    pytest.skip("needs a-tool")

def test_two(tool):
    tool("no-such-program")

def test_three():
    pytest.skip("not today")
"""


def read_lock(name: str) -> dict[str, tuple[str, bool]]:
    """Read a lock file: each distribution's version and whether hashes follow."""
    text = (CHECKOUT / name).read_text(encoding="utf-8")
    entry = re.compile(r"^([A-Za-z0-9._-]+)(?:\[[^]]*\])?==([^ ;\\]+)((?:.*\\\n)*.*)", re.MULTILINE)
    return {
        canonicalize_name(found[1]): (found[2], "--hash=sha256:" in found[3])
        for found in entry.finditer(text)
    }


def wanted(*groups: str) -> list[Requirement]:
    """List the direct dependencies that pyproject.toml names."""
    project = tomllib.loads((CHECKOUT / "pyproject.toml").read_text(encoding="utf-8"))
    lines = list(project["project"]["dependencies"])
    for group in groups:
        lines += project["dependency-groups"][group]
    return [Requirement(line) for line in lines]


def run_make(folder: Path, target: str, *words: str) -> subprocess.CompletedProcess[str]:
    """Run make in a copy of the checkout's set-up files, with only `folder/bin` on PATH."""
    for name in ("Makefile", "pyproject.toml", "requirements.lock", "requirements-test.lock"):
        shutil.copy(CHECKOUT / name, folder)
    programs = folder / "bin"
    programs.mkdir(exist_ok=True)
    for name in PROGRAMS:
        real = shutil.which(name)
        if real is None:
            pytest.skip(f"needs {name}")
        (programs / name).symlink_to(real)
    return subprocess.run(
        [str(programs / "make"), target, *words],
        cwd=folder,
        env={"PATH": str(programs), "LC_ALL": "C"},
        capture_output=True,
        text=True,
        check=False,
    )


def disguise(folder: Path, name: str, lie: str) -> None:
    """Put a Python on the test's PATH that says something else of itself."""
    script = folder / "bin" / name
    script.parent.mkdir(exist_ok=True)
    script.write_text(DISGUISE.format(python=sys.executable, lie=lie))
    script.chmod(0o755)


@pytest.mark.parametrize(
    ("lock", "groups"),
    [("requirements.lock", ["build"]), ("requirements-test.lock", ["build", "test"])],
)
def test_every_direct_dependency_is_pinned_with_hashes(lock: str, groups: list[str]) -> None:
    """A change of pyproject.toml without `make lock` is seen here."""
    pinned = read_lock(lock)
    for requirement in wanted(*groups):
        name = canonicalize_name(requirement.name)
        assert name in pinned, f"{name} is not in {lock}: run `make lock`"
        assert pinned[name][0] in requirement.specifier, f"{name} in {lock}: run `make lock`"
    assert all(hashed for _, hashed in pinned.values())


def test_the_test_lock_holds_the_runtime_lock() -> None:
    """What is tested is what runs: the same versions, and test tools on top."""
    assert read_lock("requirements.lock").items() <= read_lock("requirements-test.lock").items()


def test_rq_is_pinned_exactly() -> None:
    """What RQ loses in a crash differs between versions: a new one is a decision."""
    (rq,) = (requirement for requirement in wanted() if requirement.name == "rq")
    assert str(rq.specifier) == "==" + read_lock("requirements.lock")["rq"][0]


@pytest.mark.parametrize("target", ["up", "test", "lint", "types", "floors", "lock"])
def test_an_old_python_is_refused_in_one_sentence(tmp_path: Path, target: str) -> None:
    """Whoever has only an old Python reads which is needed and how to get it, and no traceback."""
    disguise(tmp_path, "python3", "sys.version_info = (3, 10, 13)")
    made = run_make(tmp_path, target)
    assert made.returncode != 0
    (sentence,) = (line for line in made.stderr.splitlines() if line.startswith("amili-events:"))
    assert "Python 3.11 or newer" in sentence
    assert "Python 3.10.13" in sentence
    assert "apt install python3-venv" in sentence
    assert "Traceback" not in made.stderr
    assert not (tmp_path / ".venv").exists()


def test_a_python_without_venv_is_refused_in_one_sentence(tmp_path: Path) -> None:
    """Debian's python3 has no venv until its package is installed; an older one is beside it."""
    disguise(tmp_path, "python3.12", 'sys.modules["ensurepip"] = None')
    disguise(tmp_path, "python3", "sys.version_info = (3, 10, 13)")
    made = run_make(tmp_path, "up")
    assert made.returncode != 0
    (sentence,) = (line for line in made.stderr.splitlines() if line.startswith("amili-events:"))
    assert "without venv" in sentence
    assert "apt install python3-venv" in sentence


def test_no_python_at_all_is_refused_in_one_sentence(tmp_path: Path) -> None:
    """A Python that somebody names and that is not there is not replaced by another."""
    made = run_make(tmp_path, "up", "PYTHON=no-such-python")
    assert made.returncode != 0
    assert "found none" in made.stderr


def test_help_needs_nothing(tmp_path: Path) -> None:
    """`make` alone tells what there is, without a Python."""
    made = run_make(tmp_path, "help")
    assert made.returncode == 0
    assert "make up" in made.stdout


def test_ci_runs_every_check_and_every_test() -> None:
    """CI is a script that any Debian can run, and it leaves nothing out."""
    script = CHECKOUT / ".ci" / "run"
    assert os.access(script, os.X_OK)
    text = script.read_text(encoding="utf-8")
    assert re.search(r"^make .*\blint types floors\b", text, re.MULTILINE)
    assert re.search(r"^AMILI_TEST_REQUIRE_TOOLS=1 make test$", text, re.MULTILINE)


@pytest.mark.parametrize("required", [False, True])
def test_what_is_not_run_is_named_or_fails(tmp_path: Path, required: bool) -> None:
    """A missing tool is named in the summary here, and fails in CI; other skips stay skips."""
    shutil.copy(CHECKOUT / "tests" / "conftest.py", tmp_path)
    (tmp_path / "test_skipping.py").write_text(SKIPPING)
    ran = subprocess.run(
        [
            sys.executable,
            "-m",
            "pytest",
            "-p",
            "no:cacheprovider",
            "-c",
            "/dev/null",
            str(tmp_path),
        ],
        cwd=tmp_path,
        env={
            **os.environ,
            "PYTHONPATH": str(CHECKOUT),
            "AMILI_TEST_REQUIRE_TOOLS": "1" if required else "",
        },
        capture_output=True,
        text=True,
        check=False,
    )
    if required:
        assert ran.returncode == 1, ran.stdout
        assert "2 failed, 1 skipped" in ran.stdout
    else:
        assert ran.returncode == 0, ran.stdout
        assert "not run here" in ran.stdout
        assert "a-tool: 1 test\n" in ran.stdout
        assert "no-such-program: 1 test\n" in ran.stdout
        assert "3 skipped" in ran.stdout
