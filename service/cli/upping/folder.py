"""The data folder of `up`: one at a time, with what was generated, the settings and the logs."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import secrets
import shlex
import sys
from collections.abc import Iterable
from dataclasses import dataclass, fields
from pathlib import Path
from types import TracebackType

from service.embedded import private_log
from service.errors import ConfigError

LOCK_NAME = "up.lock"
GENERATED_NAME = "generated.json"
ENV_NAME = "env"
#: A log that is longer at the start is put aside, as one older file.
LOG_BYTES = 10 * 1024 * 1024

ENV_HEAD = """\
# Written by `amili-events up` at each start. In another terminal: . {path}
export PATH={programs}:"$PATH"
"""


@dataclass(frozen=True)
class Generated:
    """Secrets that nobody set: made once, the same at every later start."""

    webhook_secret: str
    api_token: str
    sandbox_secret: str


class Folder:
    """The data folder; a context manager that holds it for us alone."""

    def __init__(self, path: Path) -> None:
        self.path = path.absolute()
        self._lock: int | None = None

    def __enter__(self) -> Folder:
        try:
            self.path.mkdir(parents=True, exist_ok=True, mode=0o700)
            (self.path / "logs").mkdir(exist_ok=True, mode=0o700)
            self._lock = os.open(self.path / LOCK_NAME, os.O_RDWR | os.O_CREAT, 0o600)
        except OSError as exc:
            raise ConfigError(
                f"AMILI_DATA_DIR: {self.path} cannot be written ({exc.strerror}); "
                "name a folder that can be."
            ) from exc
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = os.pread(self._lock, 40, 0).decode(errors="replace").strip() or "another one"
            self._let_go()
            raise ConfigError(
                f"{self.path} is in use by another `amili-events up` (process {holder}): stop that "
                "one with Ctrl-C, or name another folder in AMILI_DATA_DIR."
            ) from None
        os.ftruncate(self._lock, 0)
        os.pwrite(self._lock, f"{os.getpid()}\n".encode(), 0)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._let_go()

    @property
    def shown(self) -> str:
        """The path as the user would type it here."""
        relative = os.path.relpath(self.path)
        return str(self.path) if relative.startswith("..") else relative

    def generated(self) -> Generated:
        """Read what was generated before; make what is missing."""
        path = self.path / GENERATED_NAME
        known: dict[str, str] = {}
        with contextlib.suppress(OSError, ValueError):
            known = dict(json.loads(path.read_text(encoding="ascii")))
        made = {
            field.name: str(known.get(field.name) or secrets.token_urlsafe(24))
            for field in fields(Generated)
        }
        write_privately(path, json.dumps(made, indent=1) + "\n")
        return Generated(**made)

    def write_env(self, settings: dict[str, str], left_out: Iterable[str]) -> None:
        """Write the lines that give another terminal the same settings."""
        programs = shlex.quote(str(Path(sys.executable).parent))
        lines = [ENV_HEAD.format(path=shlex.quote(self.shown) + "/" + ENV_NAME, programs=programs)]
        lines += [f"export {name}={shlex.quote(value)}\n" for name, value in settings.items()]
        lines += [f"# {name} is yours: set it there as you did here.\n" for name in left_out]
        write_privately(self.path / ENV_NAME, "".join(lines))

    def log(self, name: str) -> Path:
        """Name a child's log file; one that grew large is put aside."""
        path = self.path / "logs" / f"{name}.log"
        if path.exists() and path.stat().st_size > LOG_BYTES:
            path.replace(path.with_suffix(".log.1"))
        private_log(path).close()
        return path

    def _let_go(self) -> None:
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None


def write_privately(path: Path, text: str) -> None:
    """Replace a file, whole or not at all, that only its owner may read."""
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    handle = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(handle, "w", encoding="utf-8") as file:
        file.write(text)
    draft.replace(path)
