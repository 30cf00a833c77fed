"""What all operations share: the base, the session, one GET, one POST, pages."""

from __future__ import annotations

import copy
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from types import TracebackType
from typing import Self, TypeVar

from service.amili.client.envelopes import read_list
from service.amili.client.gate import Gate
from service.amili.client.paths import fill
from service.amili.client.purposes import Purpose
from service.amili.client.tokens import TokenKeeper
from service.amili.client.transport import Transport
from service.amili.client.wire import Answer, Request
from service.amili.contract import Contract, api_base_url
from service.amili.operations import Operation
from service.amili.resources import Fetched, Resource
from service.errors import ContractBroken
from service.settings import Settings
from service.telemetry.metrics import Metrics

T = TypeVar("T", bound=Resource)
JSON = "application/json"
NO_PARAMS: Mapping[str, str] = {}


@dataclass(frozen=True, slots=True)
class Sent:
    """What a POST carries besides its path. Its key is the same for every try."""

    body: bytes = field(repr=False)
    idempotency_key: str
    purpose: Purpose
    not_after: float | None = None
    #: A 2xx is worthless without its body.
    needs_body: bool = True
    content_type: str = JSON
    params: Mapping[str, str] = field(default_factory=dict)


class Calls:
    """The base of the operations; an async context manager. Every failure is a ProviderError."""

    def __init__(
        self,
        settings: Settings,
        contract: Contract,
        metrics: Metrics,
        tokens: TokenKeeper,
        gate: Gate | None = None,
    ) -> None:
        self._base = settings.api_base_url or api_base_url(settings.environment)
        self._contract = contract
        self._transport = Transport(settings, contract, metrics, tokens, gate)
        self._purpose = Purpose.FETCH

    async def __aenter__(self) -> Self:
        """Open the session; it connects on first use."""
        await self._transport.__aenter__()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, at: TracebackType | None
    ) -> None:
        """Close the session and its connections."""
        await self._transport.__aexit__(kind, exc, at)

    def at(self, purpose: Purpose) -> Self:
        """Return this client with another purpose for its reads; the session is the same one."""
        view = copy.copy(self)
        view._purpose = purpose
        return view

    async def _get(
        self, operation: Operation, ids: Mapping[str, str], params: Mapping[str, str] = NO_PARAMS
    ) -> Answer:
        request = Request(
            operation.label,
            operation.method,
            self._url(operation, ids),
            params=tuple(params.items()),
            purpose=self._purpose,
        )
        return await self._transport.call(request)

    async def _post(self, operation: Operation, ids: Mapping[str, str], sent: Sent) -> Answer:
        """Send it once; again only when it provably was not sent."""
        request = Request(
            operation.label,
            operation.method,
            self._url(operation, ids),
            headers={
                "Content-Type": sent.content_type,
                self._contract.idempotency_header: sent.idempotency_key,
            },
            params=tuple(sent.params.items()),
            body=sent.body,
            needs_body=sent.needs_body,
            not_after=sent.not_after,
            purpose=sent.purpose,
        )
        return await self._transport.call(request)

    async def _pages(
        self,
        operation: Operation,
        organization_id: str,
        kind: type[T],
        filters: Mapping[str, object],
    ) -> AsyncIterator[Fetched[T]]:
        """Walk through a list, page after page; a page that comes twice breaks the contract."""
        ids = {"organizationId": organization_id}
        params = {
            operation.parameter(name): str(value)
            for name, value in filters.items()
            if value is not None
        }
        seen: set[str] = set()
        while True:
            answer = await self._get(operation, ids, params)
            records, token = read_list(operation.label, answer, kind)
            for record in records:
                yield record
            if token is None:
                return
            if token in seen:
                raise ContractBroken("the same page came twice", operation=operation.label)
            seen.add(token)
            params[operation.parameter("page_token")] = token

    def _url(self, operation: Operation, ids: Mapping[str, str]) -> str:
        base = self._contract.legacy_base_url if operation.is_legacy else None
        return (base or self._base) + fill(operation.label, operation.template(self._contract), ids)
