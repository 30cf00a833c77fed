"""Which version of amili-events this is, as it was installed."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, version

NAME = "amili-events"


def own_version() -> str:
    """Return the version, like 0.1.0; `unknown` where the code runs without being installed."""
    try:
        return version(NAME)
    except PackageNotFoundError:
        return "unknown"
