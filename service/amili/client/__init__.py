"""The one room that calls Amili over HTTP.

For workers, the desk and the door's `doctor`; it may import `service.amili`,
settings, telemetry, redis and errors. Nobody outside catches an aiohttp error:
whatever goes wrong leaves as a `ProviderError`.
"""

from service.amili.client.arguments import (
    BatchFilter,
    CaseFilter,
    CaseTarget,
    InvoiceFilter,
    Remark,
    SettlementFilter,
)
from service.amili.client.gate import open_gate
from service.amili.client.operations import AmiliClient
from service.amili.client.purposes import Purpose
from service.amili.client.tokens import TokenKeeper

__all__ = [
    "AmiliClient",
    "BatchFilter",
    "CaseFilter",
    "CaseTarget",
    "InvoiceFilter",
    "Purpose",
    "Remark",
    "SettlementFilter",
    "TokenKeeper",
    "open_gate",
]
