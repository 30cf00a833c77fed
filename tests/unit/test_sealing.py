"""Sealing: what is kept opens with the keys of the file, and with nothing else."""

from __future__ import annotations

import base64
import secrets
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.errors import ConfigError, DataKeyLacking
from service.sealing import Sealer, complaint, read_keys, sealer_of
from service.settings import Settings

KEY = b"k" * 32


def written(path: Path, text: str) -> Path:
    """Write a key file that only its owner may read."""
    path.write_text(text)
    path.chmod(0o600)
    return path


def a_key() -> str:
    """Make a key as `openssl rand -base64 32` does."""
    return base64.b64encode(secrets.token_bytes(32)).decode()


@given(st.binary(max_size=4096))
def test_round_trip(content: bytes) -> None:
    """Whatever is sealed opens to the same bytes, and its name is stable."""
    sealer = Sealer([KEY])
    sealed = sealer.seal(content)
    assert sealer.open(sealed) == content
    assert len(content) < 16 or content not in sealed
    assert sealer.name(content) == Sealer([KEY]).name(content)


@given(st.binary(min_size=1, max_size=64), st.data())
def test_any_change_is_seen(content: bytes, data: st.DataObject) -> None:
    """A changed bit anywhere, or a cut end, does not open; nor does what was never sealed."""
    sealer = Sealer([KEY])
    sealed = sealer.seal(content)
    at = data.draw(st.integers(0, len(sealed) - 1))
    changed = sealed[:at] + bytes([sealed[at] ^ (1 << data.draw(st.integers(0, 7)))])
    for wrong in (changed + sealed[at + 1 :], sealed[:at], b"", content):
        with pytest.raises(DataKeyLacking):
            sealer.open(wrong)


def test_rotation() -> None:
    """With the new key put first, old entries still open; without the old key they do not."""
    old, new = Sealer([KEY]), Sealer([b"n" * 32, KEY])
    assert new.open(old.seal(b"before")) == b"before"
    with pytest.raises(DataKeyLacking, match="add the former key"):
        Sealer([b"n" * 32]).open(old.seal(b"before"))
    with pytest.raises(DataKeyLacking):
        old.open(new.seal(b"after"))


def test_key_files(tmp_path: Path) -> None:
    """One key a line in either alphabet of base64, with comments and blank lines."""
    raw = [bytes([251 + n]) * 32 for n in range(3)]
    plain, url = base64.b64encode(raw[0]).decode(), base64.urlsafe_b64encode(raw[1]).decode()
    text = f"# the key of May\n\n{plain}\n  {url}  \n{base64.b64encode(raw[2]).decode()}"
    assert read_keys(written(tmp_path / "keys", text)) == raw
    # A secret store may hold one line only.
    assert read_keys(written(tmp_path / "keys", f"{plain}, {url},\n")) == raw[:2]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "has no key"),
        ("# only words\n", "has no key"),
        ("not a key", "line 1: a key is 32 bytes"),
        (base64.b64encode(b"k" * 31).decode(), "line 1: a key is 32 bytes"),
        (base64.b64encode(b"k" * 32).decode() + "\n" + "x" * 44, "line 2"),
        ("ключ", "is no text"),
    ],
)
def test_bad_key_files(tmp_path: Path, text: str, words: str) -> None:
    """What is no key is told with its line and how to make one, never with what stands there."""
    path = tmp_path / "keys"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(ConfigError, match=words) as raised:
        read_keys(path)
    assert "AMILI_DATA_KEY_FILE" in str(raised.value)
    assert not text.strip() or text.splitlines()[-1] not in str(raised.value)


def test_complaints(tmp_path: Path) -> None:
    """A missing file and one that others can read are told; a good one and none are not."""
    path = tmp_path / "keys"

    def said(where: Path | None) -> str:
        return complaint(Settings(data_key_file=where)) or ""

    assert said(None) == ""
    assert "cannot be read: No such file" in said(path)
    assert "cannot be read: Is a directory" in said(tmp_path)
    written(path, a_key())
    assert said(path) == ""
    path.chmod(0o644)
    assert "can be read by others" in said(path)
    assert sealer_of(Settings(data_key_file=path)) is not None  # told, but not refused
    assert sealer_of(Settings()) is None
