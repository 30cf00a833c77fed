"""Keeps the last refused deliveries in files, unsealed: for trying out, without a key.

Raw body and headers, one file each, readable by the owner only; the oldest go first. Off
by default, and not used where there is a key: then `quarantine` keeps them, sealed.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterable
from pathlib import Path

import structlog

from service.domain.deliveries import digest_of

log = structlog.get_logger()


class Capture:
    """A folder `refused/` with the last `keep` different deliveries of each reason."""

    def __init__(self, data_dir: Path, keep: int) -> None:
        self._folder = data_dir / "refused"
        self._keep = keep

    def keep(
        self, headers: Iterable[tuple[str, str]], body: bytes, reason: str, source: str = ""
    ) -> None:
        """Write one refused delivery down; a full disk must not change the answer."""
        if not self._keep:
            return
        # The same delivery, tried again and again, takes one place; each reason has places of
        # its own, so that a flood of one kind does not drive out what is wanted.
        what = f"{reason}-{digest_of(body).hex()[:16]}"
        name = f"{time.time_ns()}-{what}"
        lines = "".join(f"{key}: {value}\n" for key, value in headers)
        try:
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._forget(name for name in self._names() if name.endswith(what))
            write(self._folder / f"{name}.headers", lines.encode("utf-8", "surrogateescape"))
            write(self._folder / f"{name}.body", body)
            write(self._folder / f"{name}.json", json.dumps({"reason": reason}).encode())
            same = sorted(each for each in self._names() if f"-{reason}-" in each)
            self._forget(same[: -self._keep])
        except OSError as exc:
            log.warning("capture_failed", error=type(exc).__name__)

    def close(self) -> None:
        """Do nothing: all is written already."""

    def _names(self) -> set[str]:
        return {path.stem for path in self._folder.iterdir()}

    def _forget(self, names: Iterable[str]) -> None:
        for name in names:
            for ending in ("headers", "body", "json"):
                (self._folder / f"{name}.{ending}").unlink(missing_ok=True)


def write(path: Path, content: bytes) -> None:
    """Write a file that only its owner may read."""
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(handle, "wb") as file:
        file.write(content)
