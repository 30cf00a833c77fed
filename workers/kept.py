"""What we keep of the cases that a transaction looks at: read once, for all of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from service.domain.actions import Action
from service.domain.holds import Hold
from service.domain.reports import Report
from service.store import holds, ledger, reports
from service.store.cases import Standing
from service.store.database import Tx


@dataclass(frozen=True, slots=True)
class Kept:
    """By case: its standing, holds, actions and reports; the rows of cases are locked."""

    standings: Mapping[str, Standing]
    holds: Mapping[str, tuple[Hold, ...]]
    actions: Mapping[str, tuple[Action, ...]]
    reports: Mapping[str, tuple[Report, ...]]


def kept_of(tx: Tx, standings: Mapping[str, Standing], case_ids: Sequence[str]) -> Kept:
    """Read what is kept of these cases; their invoices are saved before, for the reports."""
    if not case_ids:
        return Kept(standings, {}, {}, {})
    return Kept(
        standings,
        holds.of_cases(tx, case_ids),
        ledger.of_cases(tx, case_ids),
        reports.of_cases(tx, case_ids),
    )
