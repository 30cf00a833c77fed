"""Amili's operations as methods: path, parameters and record of each.

To add one: a method here, beside its record in `service.amili.resources`.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from types import TracebackType
from typing import Unpack

from service.amili.client.arguments import CaseFilter, CaseTarget, Remark
from service.amili.client.envelopes import read_list, read_one
from service.amili.client.paths import BATCH, CASES, INVOICE, LEGACY_BATCH, SETTLEMENT, fill
from service.amili.client.tokens import TokenKeeper
from service.amili.client.transport import Transport
from service.amili.client.wire import Answer, Request
from service.amili.contract import CaseOperation, Contract, api_base_url
from service.amili.resources import Batch, Case, Fetched, Invoice, Settlement
from service.errors import ContractBroken, NotYet
from service.settings import Settings
from service.telemetry.metrics import Metrics

#: A filter by number that lets through more foreign cases than this is no filter.
MOST_FOREIGN_CASES = 500


class AmiliClient:
    """Amili's API; an async context manager. Every failure is a ProviderError."""

    def __init__(
        self, settings: Settings, contract: Contract, metrics: Metrics, tokens: TokenKeeper
    ) -> None:
        self._base = settings.api_base_url or api_base_url(settings.environment)
        self._contract = contract
        self._transport = Transport(settings, contract, metrics, tokens)

    async def __aenter__(self) -> AmiliClient:
        """Open the session; it connects on first use."""
        await self._transport.__aenter__()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, at: TracebackType | None
    ) -> None:
        """Close the session and its connections."""
        await self._transport.__aexit__(kind, exc, at)

    # --- reading ------------------------------------------------------------

    async def get_batch_by_id(self, organization_id: str | None, batch_id: str) -> Fetched[Batch]:
        """GetBatchById [doc]; without an organization by the legacy path, to be removed."""
        operation = "get_batch_by_id"
        ids = {"batchId": batch_id}
        template = LEGACY_BATCH
        if organization_id is not None:
            ids["organizationId"] = organization_id
            template = BATCH
        return read_one(operation, await self._get(operation, template, ids), Batch)

    async def get_invoice_by_id(self, organization_id: str, invoice_id: str) -> Fetched[Invoice]:
        """GetInvoiceById [doc]."""
        operation = "get_invoice_by_id"
        ids = {"organizationId": organization_id, "invoiceId": invoice_id}
        return read_one(operation, await self._get(operation, INVOICE, ids), Invoice)

    async def get_settlement(self, organization_id: str, settlement_id: str) -> Fetched[Settlement]:
        """GetSettlement on Id [doc]."""
        operation = "get_settlement"
        ids = {"organizationId": organization_id, "settlementId": settlement_id}
        return read_one(operation, await self._get(operation, SETTLEMENT, ids), Settlement)

    async def get_cases_by_organization(
        self, organization_id: str, **filters: Unpack[CaseFilter]
    ) -> AsyncIterator[Fetched[Case]]:
        """GetCasesByOrganization [doc], page after page."""
        operation = "get_cases_by_organization"
        ids = {"organizationId": organization_id}
        params = {_pascal(name): str(value) for name, value in filters.items() if value is not None}
        seen: set[str] = set()
        while True:
            answer = await self._get(operation, CASES, ids, params)
            cases, token = read_list(operation, answer, Case)
            for case in cases:
                yield case
            if token is None:
                return
            if token in seen:
                raise ContractBroken("the same page came twice", operation=operation)
            seen.add(token)
            params["PageToken"] = token

    async def find_case(self, organization_id: str, case_number: str) -> Fetched[Case]:
        """Find the one case with exactly this number; NotYet when there is none (yet)."""
        operation = "get_cases_by_organization"
        found: list[Fetched[Case]] = []
        foreign = 0
        async for case in self.get_cases_by_organization(organization_id, case_number=case_number):
            if case.value.case_number == case_number:
                found.append(case)
            else:
                foreign += 1
            if len(found) > 1:
                raise ContractBroken("several cases have one number", operation=operation)
            if foreign > MOST_FOREIGN_CASES:
                raise ContractBroken("the filter CaseNumber has no effect", operation=operation)
        if not found:
            raise NotYet(f"{operation}: no case with this number is visible yet")
        return found[0]

    # --- changing -----------------------------------------------------------

    async def pause_case(
        self,
        organization_id: str,
        case_id: str,
        *,
        reason: str | None = None,
        comment: str | None = None,
        idempotency_key: str,
    ) -> None:
        """PauseCase [seed; path and body assumed]: collection steps stop, interest goes on."""
        target = CaseTarget(organization_id, case_id)
        await self.operate_on_case("pause_case", target, Remark(reason, comment), idempotency_key)

    async def resume_case(
        self,
        organization_id: str,
        case_id: str,
        *,
        reason: str | None = None,
        comment: str | None = None,
        idempotency_key: str,
    ) -> None:
        """ResumeCase [seed; path and body assumed]: collection goes on."""
        target = CaseTarget(organization_id, case_id)
        await self.operate_on_case("resume_case", target, Remark(reason, comment), idempotency_key)

    async def operate_on_case(
        self,
        operation: CaseOperation,
        target: CaseTarget,
        remark: Remark,
        idempotency_key: str,
        *,
        not_after: float | None = None,
    ) -> None:
        """Send one operation on a case, once; a 2xx says that Amili took it [assumed: 202].

        `not_after`: a moment of `time.monotonic()` after which it is not sent any more.
        """
        contract = self._contract
        ids = {"organizationId": target.organization_id, "caseId": target.case_id}
        said = {
            contract.case_reason_member: remark.reason,
            contract.case_comment_member: remark.comment,
        }
        body = {member: words for member, words in said.items() if words is not None}
        request = Request(
            operation=operation,
            method="POST",
            url=self._base + fill(operation, contract.case_path(operation), ids),
            headers={
                "Content-Type": "application/json",
                contract.idempotency_header: idempotency_key,
            },
            body=json.dumps(body).encode(),
            needs_body=False,
            not_after=not_after,
        )
        await self._transport.call(request)

    # ------------------------------------------------------------------------

    async def _get(
        self,
        operation: str,
        template: str,
        ids: dict[str, str],
        params: dict[str, str] | None = None,
    ) -> Answer:
        url = self._base + fill(operation, template, ids)
        pairs = tuple((params or {}).items())
        return await self._transport.call(Request(operation, "GET", url, params=pairs))


def _pascal(name: str) -> str:
    """Write a filter as this endpoint does [doc: `CaseNumber`, `PageSize`]."""
    return "".join(part.capitalize() for part in name.split("_"))
