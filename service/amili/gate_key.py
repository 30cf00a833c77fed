"""Where the gate's state is in Redis, and how its gauges are read from it. Pure."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

from service.amili.contract import api_base_url
from service.errors import ConfigError
from service.settings import Settings

#: The fields of the hash that are gauges: calls a second (0: no limit), and for how many
#: seconds the breaker opens (0: it is closed).
FIELDS = ("rate", "open_for")


def gate_key(settings: Settings) -> str:
    """Name the hash of the API host that is called; hosts do not share a limit.

    Whoever only looks at gauges need not know a host: a sandbox that is not named has none.
    """
    try:
        base = settings.api_base_url or api_base_url(settings.environment)
    except ConfigError:
        base = settings.environment
    return f"amili:gate:{hashlib.sha256(base.encode()).hexdigest()[:32]}"


def gauges(values: Sequence[bytes | str | None]) -> tuple[float | None, float | None]:
    """Read the rate, and 1 while the breaker is open; None before the first call."""
    rate, open_for = (None if value is None else float(value) for value in values)
    return rate, None if open_for is None else float(open_for > 0)
