"""What a call is for: when Amili is busy, the first goes first. Pure."""

from __future__ import annotations

from enum import StrEnum


class Purpose(StrEnum):
    """Why a call is made, the most urgent first."""

    #: Pausing, resuming and the other operations on a case.
    FOLLOW_UP = "follow_up"
    #: Handing over invoices, payments and corrections.
    SUBMISSION = "submission"
    #: Reading what a webhook or an operator pointed at.
    FETCH = "fetch"
    #: Comparing what is here with what Amili has.
    RECONCILE = "reconcile"
    #: Reading what is old, when there is nothing better to do.
    BACKFILL = "backfill"
