"""`amili-events up`, as a user runs it: from an empty folder, with nothing installed beside it."""

from __future__ import annotations

import os
import re
import signal
import socket
import stat
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest

from service.cli.upping.tree import Child, NotStarted, Tree
from service.embedded import free_port

CHECKOUT = Path(__file__).parents[2]
PATIENCE = 90.0
STEPS = 6

Run = subprocess.Popen[str]


def command(*words: str) -> list[str]:
    """Make the command line of `up`."""
    return [sys.executable, "-m", "service.cli", "up", "--plain", *words]


def environment(**more: str) -> dict[str, str]:
    """Give `up` a port of its own and the checkout to import from."""
    return {**os.environ, "PYTHONPATH": str(CHECKOUT), "AMILI_PORT": str(free_port()), **more}


def run(place: Path, *words: str, **more: str) -> subprocess.CompletedProcess[str]:
    """Run `up` to its end in this folder."""
    return subprocess.run(
        command(*words),
        cwd=place,
        env=environment(**more),
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )


@contextmanager
def running(place: Path, *words: str) -> Iterator[tuple[Run, Path]]:
    """Start `up` in this folder; give the process and the file with what it says."""
    said = place / "said.txt"
    with (
        said.open("w") as out,
        subprocess.Popen(
            command(*words), cwd=place, env=environment(), stdout=out, text=True
        ) as up,
    ):
        try:
            yield up, said
        finally:
            up.kill()


def until(condition: Callable[[], bool], what: str) -> None:
    """Wait until something holds."""
    end = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < end, f"waited too long: {what}"
        time.sleep(0.1)


def alive(place: Path) -> list[psutil.Process]:
    """List the processes that work in this folder: all that `up` starts do."""
    found = []
    for process in psutil.process_iter():
        try:
            is_here = Path(process.cwd()).is_relative_to(place)
            if is_here and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process)
        except (psutil.Error, OSError):
            continue
    return found


def test_once_plays_the_story_twice_from_an_empty_folder(tmp_path: Path) -> None:
    """With no server and no setting, the story completes, again too, and nothing is left."""
    first = run(tmp_path, "--once")
    assert first.returncode == 0, first.stdout + first.stderr
    assert first.stdout.count("✓") == STEPS
    assert not alive(tmp_path)

    second = run(tmp_path, "--once")
    assert second.returncode == 0, second.stdout + second.stderr
    assert second.stdout.count("✓") == STEPS
    assert not alive(tmp_path)
    token = re.compile(r"token (\S+)")
    assert token.findall(first.stdout) == token.findall(second.stdout)
    for name in ("env", "generated.json", "logs/door.log"):
        assert stat.S_IMODE((tmp_path / "amili-data" / name).stat().st_mode) == 0o600


def test_ctrl_c_during_the_story_stops_everything(tmp_path: Path) -> None:
    """SIGINT ends every process that was started, and is no failure."""
    with running(tmp_path) as (up, said):
        until(lambda: "✓" in said.read_text(), "the story's first step")
        assert len(alive(tmp_path)) > len(["up", "redis", "sandbox", "door", "worker", "worker"])
        up.send_signal(signal.SIGINT)
        assert up.wait(PATIENCE) == 0
        assert not alive(tmp_path)
        assert said.read_text().count("✓") < STEPS


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux ties processes together")
def test_a_killed_up_leaves_no_process(tmp_path: Path) -> None:
    """SIGKILL takes everything along; until then no secret stands on a command line."""
    with running(tmp_path) as (up, said):
        until(lambda: "✓" in said.read_text(), "the story's first step")
        secrets = re.findall(r"[A-Za-z0-9_-]{32,}", (tmp_path / "amili-data/env").read_text())
        lines = [" ".join(process.cmdline()) for process in alive(tmp_path)]
        assert secrets
        assert not [line for line in lines if any(secret in line for secret in secrets)]
        up.kill()
        up.wait()
        until(lambda: not alive(tmp_path), "the end of all processes")


def test_a_second_up_in_the_folder_is_refused_and_sigterm_stops_the_first(tmp_path: Path) -> None:
    """One folder, one `up`; who asks for a second is told which process has it."""
    with running(tmp_path, "--no-story") as (up, said):
        until(lambda: "Settings" in said.read_text(), "the first to be up")
        second = run(tmp_path, "--once")
        assert second.returncode == 1
        assert f"in use by another `amili-events up` (process {up.pid})" in second.stderr
        assert second.stdout == ""
        assert up.poll() is None
        up.terminate()
        assert up.wait(PATIENCE) == 0
        assert not alive(tmp_path)


def test_a_port_that_is_taken_is_told_before_anything_starts(tmp_path: Path) -> None:
    """One sentence names the setting; there is no Redis, no database and no process."""
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        refused = run(tmp_path, "--once", AMILI_PORT=str(port))
    assert refused.returncode == 1
    assert refused.stdout == ""
    assert len(refused.stderr.splitlines()) == 1
    assert f"AMILI_PORT: 127.0.0.1:{port} cannot be used" in refused.stderr
    assert not (tmp_path / "amili-data" / "redis").exists()
    assert not (tmp_path / "amili-data" / "amili.db").exists()
    assert not alive(tmp_path)


@pytest.mark.parametrize(
    ("given", "named"),
    [
        ({"AMILI_DATA_DIR": "occupied"}, "AMILI_DATA_DIR"),
        ({"AMILI_ENVIRONMENT": "staging"}, "AMILI_CLIENT_ID"),
        ({"AMILI_CLIENT_ID": "me"}, "AMILI_ENVIRONMENT"),
        ({"AMILI_SIGNATURE_SCHEME": "timestamped"}, "AMILI_SIGNATURE_SCHEME"),
        ({"AMILI_PORT": "http"}, "AMILI_PORT"),
    ],
)
def test_a_setting_that_cannot_work_is_named(
    tmp_path: Path, given: dict[str, str], named: str
) -> None:
    """What does not fit together is told in words, and nothing is started."""
    (tmp_path / "occupied").write_text("a file where a folder is wanted")
    refused = run(tmp_path, "--once", **given)
    assert refused.returncode == 1
    assert named in refused.stderr
    assert "Traceback" not in refused.stderr
    assert not (tmp_path / "amili-data" / "redis").exists()


def test_a_child_that_dies_at_its_start_is_told_with_its_last_words(tmp_path: Path) -> None:
    """Who cannot start says why in its log; the user reads it without looking for the log."""
    code = "import sys; sys.exit('AMILI_X: is wrong')"
    child = Child("door", [sys.executable, "-c", code], tmp_path / "door.log", grace=5.0)
    tree = Tree([child])
    tree.start("door")
    assert child.process is not None
    child.process.wait(PATIENCE)
    with pytest.raises(NotStarted, match=r"(?s)door did not start.*AMILI_X: is wrong"):
        tree.watch(print)


def test_a_child_that_dies_later_is_started_again_and_a_hurry_ends_it(tmp_path: Path) -> None:
    """An accident is told and mended; who ignores SIGTERM is killed when the user hurries."""
    code = "import signal, time; signal.signal(15, signal.SIG_IGN); print(1, flush=True)\n"
    log = tmp_path / "door.log"
    child = Child("door", [sys.executable, "-c", code + "time.sleep(600)"], log, grace=600.0)
    tree, said = Tree([child]), list[str]()
    tree.start("door")
    assert child.process is not None
    child.process.kill()
    child.process.wait(PATIENCE)
    child.started_at -= 3600

    def is_again() -> bool:
        tree.watch(said.append)
        return child.starts == 2 and bool(log.read_text())

    log.write_text("")
    until(is_again, "the second start")
    assert "door ended by SIGKILL" in said[0]
    assert "door runs again" in said[1]
    tree.stop([["door"]], lambda: True)
    assert child.process.poll() == -signal.SIGKILL
