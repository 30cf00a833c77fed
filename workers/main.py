"""Starts the supervisor of one worker, once settings and schema are found fit."""

from __future__ import annotations

import structlog

from service import settings as our_settings
from service.amili import contract as amili_contract
from service.amili.client import AmiliClient, TokenKeeper
from service.errors import ConfigError, StoreError
from service.settings import Settings
from service.store import migrating
from service.store.database import Database
from service.telemetry import logs
from service.telemetry.metrics import Metrics
from workers.page import serve_page
from workers.parts import opened
from workers.supervisor import Supervisor

log = structlog.get_logger()

KINDS = ("events", "actions", "sweeper")


def main(words: list[str]) -> int:
    """Supervise until told to stop. Raises ConfigError for what is not fit."""
    our_settings.keep_private()
    kinds = chosen(words)
    settings = our_settings.load()
    logs.configure(settings.log_level)
    demand_parts(settings, kinds)
    demand_schema(settings)
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


def demand_schema(settings: Settings) -> None:
    """Raise ConfigError for a schema that is missing, or older than this code.

    A database that is away is waited for, as it is at any other time.
    """
    database = Database(settings.sql_url, pool=1)
    try:
        lack = migrating.lack(migrating.standing(database))
    except StoreError as exc:
        log.warning("database_away", error=type(exc).__name__)
        return
    finally:
        database.close()
    if lack:
        raise ConfigError(lack)


def chosen(words: list[str]) -> tuple[str, ...]:
    """Read which processes are wanted; all of them by default."""
    if not words:
        return KINDS
    if len(words) == 2 and words[0] == "--only" and words[1] in KINDS:
        return (words[1],)
    raise SystemExit(f"usage: python -m workers [--only {'|'.join(KINDS)}]")
