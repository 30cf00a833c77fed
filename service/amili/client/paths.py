"""Paths of the documented reads [doc], and how ids are put into any path. Pure.

The paths of case operations are assumed: they stand in `service.amili.contract`.
"""

from __future__ import annotations

from collections.abc import Mapping
from urllib.parse import quote

from service.errors import Invalid

BATCH = "/orgs/{organizationId}/batches/{batchId}"
LEGACY_BATCH = "/batches/{batchId}"
INVOICE = "/orgs/{organizationId}/invoices/{invoiceId}"
CASES = "/orgs/{organizationId}/cases"
SETTLEMENT = "/orgs/{organizationId}/settlements/{settlementId}"
LONGEST_ID = 200


def fill(operation: str, template: str, ids: Mapping[str, str]) -> str:
    """Put the ids into the path, quoted; raise Invalid for one that would lead elsewhere."""
    for name, value in ids.items():
        if value in ("", ".", "..") or len(value) > LONGEST_ID or not value.isprintable():
            raise Invalid(f"{name} cannot stand in a path", operation=operation)
    return template.format_map({name: quote(value, safe="") for name, value in ids.items()})
