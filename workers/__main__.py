"""`python -m workers [--only events|actions|sweeper]`: the supervisor of one worker."""

from __future__ import annotations

import sys

from service import settings as our_settings
from service.amili import contract as amili_contract
from service.amili.client import AmiliClient, TokenKeeper
from service.errors import AmiliEventsError
from service.settings import Settings
from service.telemetry import logs
from service.telemetry.metrics import Metrics
from workers.page import serve_page
from workers.parts import opened
from workers.supervisor import Supervisor

KINDS = ("events", "actions", "sweeper")


def main(words: list[str]) -> int:
    """Supervise until told to stop."""
    kinds = chosen(words)
    settings = our_settings.load()
    logs.configure(settings.log_level)
    demand_parts(settings, kinds)
    supervisor = Supervisor(kinds)
    if settings.metrics_port:
        serve_page(settings, supervisor)
    supervisor.run()
    return 0


def demand_parts(settings: Settings, kinds: tuple[str, ...]) -> None:
    """Make, and throw away, what the processes will need: nothing connects yet.

    A setting that is wrong is told once, here, and not by every process for ever.
    Raises ConfigError.
    """
    contract, metrics = amili_contract.load(), Metrics()
    with opened(settings, contract, metrics, "check"):
        if set(kinds) - {"sweeper"}:  # the sweeper does not call Amili
            AmiliClient(settings, contract, metrics, TokenKeeper(settings))


def chosen(words: list[str]) -> tuple[str, ...]:
    """Read which processes are wanted; all of them by default."""
    if not words:
        return KINDS
    if len(words) == 2 and words[0] == "--only" and words[1] in KINDS:
        return (words[1],)
    raise SystemExit(f"usage: python -m workers [--only {'|'.join(KINDS)}]")


if __name__ == "__main__":
    try:
        our_settings.keep_private()
        sys.exit(main(sys.argv[1:]))
    except AmiliEventsError as exc:
        sys.exit(f"amili-events worker: {exc}")
