"""Operations on cases: list, find, and what a creditor may ask of one."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Unpack

from service.amili.client.arguments import CaseFilter, CaseTarget, Remark, Said
from service.amili.client.calling import Calls, Sent
from service.amili.client.purposes import Purpose
from service.amili.contract import CaseOperation
from service.amili.operations import CASE_OPERATIONS, GET_CASES
from service.amili.resources import Case, Fetched
from service.amili.texts import encode
from service.errors import ContractBroken, NotShown

#: A filter by number that lets through more foreign cases than this is no filter.
MOST_FOREIGN_CASES = 500


class CaseCalls(Calls):
    """Reads cases, and asks for one of nine operations. Each is sent once.

    The nine take the same: `reason` (a code), `comment`, `not_after` (a moment of
    `time.monotonic()`); a 2xx says that Amili took it [assumed: 202 without a body].
    """

    def get_cases_by_organization(
        self, organization_id: str, **filters: Unpack[CaseFilter]
    ) -> AsyncIterator[Fetched[Case]]:
        """GetCasesByOrganization [doc], page after page."""
        return self._pages(GET_CASES, organization_id, Case, filters)

    async def find_case(self, organization_id: str, case_number: str) -> Fetched[Case]:
        """Find the one case with exactly this number; NotShown when there is none (yet)."""
        operation = GET_CASES.label
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
            raise NotShown(f"{operation}: no case with this number is visible yet")
        return found[0]

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
        said = {
            self._contract.case_reason_member: remark.reason,
            self._contract.case_comment_member: remark.comment,
        }
        body = {member: words for member, words in said.items() if words is not None}
        sent = Sent(
            body=encode(body).encode(),
            idempotency_key=idempotency_key,
            purpose=Purpose.FOLLOW_UP,
            not_after=not_after,
            needs_body=False,
        )
        ids = {"organizationId": target.organization_id, "caseId": target.case_id}
        await self._post(CASE_OPERATIONS[operation], ids, sent)

    async def pause_case(
        self, organization_id: str, case_id: str, *, idempotency_key: str, **said: Unpack[Said]
    ) -> None:
        """PauseCase [seed; path and body assumed]: collection steps stop, interest goes on."""
        target = CaseTarget(organization_id, case_id)
        await self._ask("pause_case", target, idempotency_key, said)

    async def resume_case(
        self, organization_id: str, case_id: str, *, idempotency_key: str, **said: Unpack[Said]
    ) -> None:
        """ResumeCase [seed; path and body assumed]: collection goes on."""
        target = CaseTarget(organization_id, case_id)
        await self._ask("resume_case", target, idempotency_key, said)

    async def withdraw_case(
        self, organization_id: str, case_id: str, *, idempotency_key: str, **said: Unpack[Said]
    ) -> None:
        """WithdrawCase [seed; path and body assumed]: Amili's work on the case ends."""
        target = CaseTarget(organization_id, case_id)
        await self._ask("withdraw_case", target, idempotency_key, said)

    async def accept_debt_collection_list(
        self, organization_id: str, case_id: str, *, idempotency_key: str, **said: Unpack[Said]
    ) -> None:
        """AcceptDebtCollectionList [seed; path and body assumed]: collection may begin."""
        target = CaseTarget(organization_id, case_id)
        await self._ask("accept_debt_collection_list", target, idempotency_key, said)

    async def reject_debt_collection_list(
        self, organization_id: str, case_id: str, *, idempotency_key: str, **said: Unpack[Said]
    ) -> None:
        """RejectDebtCollectionList [seed; path and body assumed]: it may not."""
        target = CaseTarget(organization_id, case_id)
        await self._ask("reject_debt_collection_list", target, idempotency_key, said)

    async def accept_eviction_request(
        self, organization_id: str, case_id: str, *, idempotency_key: str, **said: Unpack[Said]
    ) -> None:
        """AcceptEvictionRequest [doc; path and body assumed]."""
        target = CaseTarget(organization_id, case_id)
        await self._ask("accept_eviction_request", target, idempotency_key, said)

    async def reject_eviction_request(
        self, organization_id: str, case_id: str, *, idempotency_key: str, **said: Unpack[Said]
    ) -> None:
        """RejectEvictionRequest [doc; path and body assumed]."""
        target = CaseTarget(organization_id, case_id)
        await self._ask("reject_eviction_request", target, idempotency_key, said)

    async def accept_eviction_confirmation(
        self, organization_id: str, case_id: str, *, idempotency_key: str, **said: Unpack[Said]
    ) -> None:
        """AcceptEvictionConfirmation [doc; path and body assumed]."""
        target = CaseTarget(organization_id, case_id)
        await self._ask("accept_eviction_confirmation", target, idempotency_key, said)

    async def reject_eviction_confirmation(
        self, organization_id: str, case_id: str, *, idempotency_key: str, **said: Unpack[Said]
    ) -> None:
        """RejectEvictionConfirmation [doc; path and body assumed]."""
        target = CaseTarget(organization_id, case_id)
        await self._ask("reject_eviction_confirmation", target, idempotency_key, said)

    async def _ask(
        self, operation: CaseOperation, target: CaseTarget, idempotency_key: str, said: Said
    ) -> None:
        remark = Remark(said.get("reason"), said.get("comment"))
        not_after = said.get("not_after")
        await self.operate_on_case(operation, target, remark, idempotency_key, not_after=not_after)
