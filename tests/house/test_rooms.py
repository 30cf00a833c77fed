"""The house rules that no linter knows: door signs, sizes, names, and nothing of one machine."""

from __future__ import annotations

import ast
import re
import subprocess
from pathlib import Path

import pytest

CHECKOUT = Path(__file__).parents[2]
LINES_OF_A_FILE = 400
LINES_OF_A_FUNCTION = 60

#: Names that say nothing, and so attract everything.
NOT_NAMES = {"utils", "util", "helpers", "helper", "common", "base", "misc", "manager", "lib"}


def modules(*rooms: str) -> list[Path]:
    """List the Python files of these top-level folders, relative to the checkout."""
    found = (path for room in rooms for path in (CHECKOUT / room).rglob("*.py"))
    return sorted(path.relative_to(CHECKOUT) for path in found)


def written_to_be_read() -> list[Path]:
    """List the files whose size is bounded; a migration is a list, and frozen."""
    return [path for path in modules("service", "workers") if "migrations" not in path.parts]


def tree(path: Path) -> ast.Module:
    """Parse one file of the checkout."""
    return ast.parse((CHECKOUT / path).read_text(encoding="utf-8"), filename=str(path))


def functions(path: Path) -> list[ast.FunctionDef | ast.AsyncFunctionDef]:
    """List every function and method of a file, nested ones too."""
    kinds = (ast.FunctionDef, ast.AsyncFunctionDef)
    return [node for node in ast.walk(tree(path)) if isinstance(node, kinds)]


def kept_files() -> list[Path]:
    """List what git keeps or is about to keep."""
    try:
        listed = subprocess.run(
            ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
            cwd=CHECKOUT,
            capture_output=True,
            text=True,
            check=True,
        ).stdout
    except (FileNotFoundError, subprocess.CalledProcessError):
        pytest.skip("needs a git checkout")
    paths = (CHECKOUT / name for name in listed.split("\0") if name)
    return [path for path in paths if path.is_file()]


def test_every_package_has_a_door_sign() -> None:
    """A package's docstring says what the room is for; a folder of modules is a package."""
    folders = {path.parent for path in modules("service", "workers")}
    bare = [
        str(folder)
        for folder in sorted(folders)
        if not (CHECKOUT / folder / "__init__.py").exists()
        or not ast.get_docstring(tree(folder / "__init__.py"))
    ]
    assert not bare


def test_every_module_opens_with_what_it_is() -> None:
    """One to three sentences at the top of each file, tests included."""
    bare = [
        str(path)
        for path in modules("service", "workers", "tests")
        if not ast.get_docstring(tree(path)) and (CHECKOUT / path).read_text(encoding="utf-8")
    ]
    assert not bare


def test_every_test_says_what_must_hold() -> None:
    """A test's docstring is the sentence that a reader of its failure needs first."""
    bare = [
        f"{path}::{function.name}"
        for path in modules("tests")
        for function in functions(path)
        if function.name.startswith("test_") and not ast.get_docstring(function)
    ]
    assert not bare


def test_names_say_what_is_inside() -> None:
    """No file or folder has a name that would fit anything."""
    vague = [
        str(path)
        for path in modules("service", "workers", "tests")
        if NOT_NAMES & {path.stem, *path.parts[:-1]}
    ]
    assert not vague


def test_files_are_small_enough_to_read() -> None:
    """A longer file is two rooms."""
    long = {
        str(path): lines
        for path in written_to_be_read()
        if (lines := len((CHECKOUT / path).read_text(encoding="utf-8").splitlines()))
        > LINES_OF_A_FILE
    }
    assert not long


def test_functions_are_small_enough_to_read() -> None:
    """A longer function is two."""
    long = {
        f"{path}::{function.name}": lines
        for path in written_to_be_read()
        for function in functions(path)
        if (lines := (function.end_lineno or 0) - function.lineno + 1) > LINES_OF_A_FUNCTION
    }
    assert not long


#: Written in pieces, so that this file does not match itself.
OF_ONE_MACHINE = re.compile(
    "|".join(
        [
            "/ho" + r"me/[A-Za-z]",
            "/Us" + r"ers/[A-Za-z]",
            "/ro" + r"ot/(?!\.cache)",  # a cache mount in a Dockerfile is the image's own
            "/wo" + r"rk/[a-z.]",
            "pypi" + r"\.org",
            "python" + r"hosted\.org",
            "npm" + r"js\.(org|com)",
            "deb" + r"\.debian\.org",
            "crates" + r"\.io",
        ]
    )
)


def test_nothing_kept_names_one_machine_or_a_registry() -> None:
    """The checkout works anywhere: no path of one machine, no package index by name."""
    found = []
    for path in kept_files():
        try:
            text = path.read_text(encoding="utf-8")
        except UnicodeDecodeError:
            continue  # pictures and fonts
        found += [
            f"{path.relative_to(CHECKOUT)}:{number}: {match[0]}"
            for number, line in enumerate(text.splitlines(), start=1)
            if (match := OF_ONE_MACHINE.search(line))
        ]
    assert not found
