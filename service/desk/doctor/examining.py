"""Runs every check, what is independent at once, and judges the assumptions."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from service.amili.contract import Contract
from service.desk.doctor.amili_checks import check_clocks, check_token, keeper
from service.desk.doctor.assumptions import Evidence, Judged
from service.desk.doctor.database_checks import check_database, check_epoch
from service.desk.doctor.findings import Check, Result, bounded, in_thread
from service.desk.doctor.judging import judge
from service.desk.doctor.read_checks import check_reads
from service.desk.doctor.redis_checks import check_redis
from service.desk.doctor.settings_checks import check_settings
from service.desk.doctor.worker_checks import check_workers
from service.settings import Settings
from service.store import evidence as traces
from service.store.database import Database
from service.store.examining import first_organization
from service.version import own_version

URGENCY: Mapping[Result, int] = {"failed": 0, "warning": 1}


@dataclass(frozen=True, slots=True)
class Report:
    """What was found: checks in the order of an operator's questions, then assumptions."""

    checks: tuple[Check, ...]
    assumptions: tuple[Judged, ...]

    @property
    def is_well(self) -> bool:
        """No check failed."""
        return not any(check.result == "failed" for check in self.checks)

    @property
    def urgent_first(self) -> list[Check]:
        """The checks, those first that ask for something to be done."""
        return sorted(self.checks, key=lambda check: URGENCY.get(check.result, len(URGENCY)))

    def as_json(self) -> dict[str, Any]:
        """Make `{"version", "result", "checks": [...], "assumptions": [...]}` for JSON."""
        return {
            "version": own_version(),
            "result": "ok" if self.is_well else "failed",
            "checks": [asdict(check) for check in self.urgent_first],
            "assumptions": [asdict(each) for each in self.assumptions],
        }


async def examine(settings: Settings, contract: Contract, unknown: Sequence[str]) -> Report:
    """Examine this installation. Raises nothing: whatever fails is a failed check.

    `unknown` holds a sentence for each variable that is nobody's.
    """
    evidence = Evidence()
    tokens = keeper(settings)
    of_redis, (of_database, database), hosts, token = await asyncio.gather(
        check_redis(settings),
        check_database(settings),
        check_clocks(settings, contract, evidence),
        check_token(tokens, contract, evidence),
    )
    ours, rows = await look_at_rows(settings, contract, database, evidence)
    may_read = tokens if token.result == "ok" else None
    epoch, crew, reads = await asyncio.gather(
        check_epoch(settings, database, of_redis[0]),
        check_workers(settings, database, of_redis[0]),
        check_reads(settings, contract, may_read, ours, evidence),
    )
    found = (
        *check_settings(settings, contract, unknown),
        *of_redis,
        *of_database,
        epoch,
        crew,
        *hosts,
        token,
        *reads,
        *rows,
    )
    return Report(found, tuple(evidence.judged()))


async def look_at_rows(
    settings: Settings, contract: Contract, database: Database | None, evidence: Evidence
) -> tuple[str | None, list[Check]]:
    """Judge by what is in SQL; return the organization to read, and a check if that failed."""
    named = settings.organization_ids[0] if settings.organization_ids else None
    if database is None:
        return named, []
    found: list[str | None] = []
    made = await bounded(
        "evidence",
        in_thread(lambda: gather(database, contract, evidence, found)),
        "Look at the database.",
    )
    return named or (found[0] if found else None), [made] if made.result == "failed" else []


def gather(
    database: Database, contract: Contract, evidence: Evidence, found: list[str | None]
) -> Check:
    """Read what SQL has to say; the first organization is left in `found`."""
    with database.read() as tx:
        found.append(first_organization(tx))
        judge(traces.gather(tx), contract, evidence)
    return Check("evidence", "ok", "The rows were read.")
