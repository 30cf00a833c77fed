"""Refused deliveries kept for a look: the last few, for the owner's eyes, and never in the way."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from service.intake import capture
from service.intake.capture import Capture

HEADERS = [("content-type", "application/json"), ("x-odd", "\xff\x80"), ("x-odd", "again")]


def kept(folder: Path, ending: str) -> list[bytes]:
    """Return the contents of the files with this ending, oldest first."""
    return [path.read_bytes() for path in sorted(folder.glob(f"refused/*.{ending}"))]


def test_last_few(tmp_path: Path) -> None:
    """The last N stay, each with its raw body, its headers and the reason."""
    keeper = Capture(tmp_path, 3)
    for number in range(7):
        keeper.keep(HEADERS, b"\0\xff%d" % number, "no_header")
    assert kept(tmp_path, "body") == [b"\0\xff%d" % number for number in (4, 5, 6)]
    assert len(list(tmp_path.glob("refused/*"))) == 9
    assert kept(tmp_path, "json") == [b'{"reason": "no_header"}'] * 3
    lines = kept(tmp_path, "headers")[0].decode().splitlines()
    assert lines == ["content-type: application/json", "x-odd: \xff\x80", "x-odd: again"]


def test_owner_only(tmp_path: Path) -> None:
    """Folder and files are the owner's alone, whatever the umask is."""
    before = os.umask(0)
    try:
        Capture(tmp_path, 1).keep(HEADERS, b"body", "no_header")
    finally:
        os.umask(before)
    folder = tmp_path / "refused"
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert {stat.S_IMODE(path.stat().st_mode) for path in folder.iterdir()} == {0o600}


def test_off(tmp_path: Path) -> None:
    """With 0 nothing is written, not even the folder."""
    Capture(tmp_path, 0).keep(HEADERS, b"body", "no_header")
    assert not list(tmp_path.iterdir())


def test_no_folder_to_be_had(tmp_path: Path) -> None:
    """Where no folder can be made the refusal goes on."""
    (tmp_path / "refused").write_text("a file in the way")
    Capture(tmp_path, 2).keep(HEADERS, b"body", "no_header")


def test_full_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A full disk changes nothing for the caller, and what was begun goes with the oldest."""

    def full(path: Path, content: bytes) -> None:
        raise OSError(28, "No space left on device")

    keeper = Capture(tmp_path, 2)
    keeper.keep(HEADERS, b"first", "no_header")
    with monkeypatch.context() as patched:
        patched.setattr(capture, "write", full)
        keeper.keep(HEADERS, b"lost", "no_header")
    keeper.keep(HEADERS, b"second", "no_header")
    assert kept(tmp_path, "body") == [b"first", b"second"]
