"""The one room that calls Amili over HTTP.

For workers, the desk and the door's `doctor`; it may import `service.amili`,
settings, telemetry, redis and errors. Nobody outside catches an aiohttp error:
whatever goes wrong leaves as a `ProviderError`.
"""

from service.amili.client.arguments import CaseFilter, CaseTarget, Remark
from service.amili.client.operations import AmiliClient
from service.amili.client.tokens import TokenKeeper

__all__ = ["AmiliClient", "CaseFilter", "CaseTarget", "Remark", "TokenKeeper"]
