"""Reads back what `capture` kept of refused deliveries."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from service.domain.quarantine import UNPROVEN
from service.errors import ConfigError


@dataclass(frozen=True, slots=True)
class Captured:
    """One refused delivery: its header lines and its body, byte for byte."""

    name: str
    headers: bytes
    body: bytes


def newest_unproven(data_dir: Path) -> Captured:
    """Return the newest delivery that was refused for its signature.

    Raises ConfigError, with what to do, when none was kept.
    """
    folder = data_dir / "refused"
    # A name is `<nanoseconds>-<reason>-<digest>`; the json is written last.
    found = [path for path in folder.glob("*-*-*.json") if reason(path) in UNPROVEN]
    if not found:
        raise ConfigError(
            f"{folder} holds no delivery that was refused for its signature: set "
            "AMILI_DATA_KEY_FILE or AMILI_CAPTURE_REFUSED=20 for the door, and wait for the next"
        )
    newest = max(found, key=lambda path: int(path.stem.partition("-")[0]))
    return Captured(
        newest.stem,
        newest.with_suffix(".headers").read_bytes(),
        newest.with_suffix(".body").read_bytes(),
    )


def reason(path: Path) -> str:
    """Read from a file's name why the delivery was refused; '' when it is none of ours."""
    at, _, rest = path.stem.partition("-")
    return rest.rpartition("-")[0] if at.isdigit() else ""
