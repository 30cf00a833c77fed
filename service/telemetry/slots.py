"""Numbers for processes that share a folder of metric files: a number is free when its lock is.

The files are named by role; two processes of one role would write over each other.
"""

from __future__ import annotations

import fcntl
import os
from pathlib import Path

MOST = 256


def take(directory: Path, kind: str) -> str:
    """Return a role that nobody else has, `door-0` for instance; it is ours until we end."""
    directory.mkdir(parents=True, exist_ok=True)
    for number in range(MOST):
        role = f"{kind}-{number}"
        handle = os.open(directory / f"{role}.lock", os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            os.close(handle)
            continue
        os.set_inheritable(handle, False)
        return role  # the handle stays open: closing it would give the role away
    raise RuntimeError(f"more than {MOST} processes of one kind share {directory.name}")
