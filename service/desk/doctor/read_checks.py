"""Tries each operation of Amili that reads, and notes what its answers say about assumptions.

Of one organization, of one or two records each, with a low purpose; nothing is changed there.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from decimal import Decimal
from typing import Any, TypeVar

from service.amili.client import AmiliClient, TokenKeeper
from service.amili.client.purposes import Purpose
from service.amili.contract import Contract
from service.amili.resources import Fetched, decode
from service.desk.doctor.assumptions import Evidence
from service.desk.doctor.findings import Check, bounded, sentence, skipped
from service.errors import (
    ConfigError,
    ContractBroken,
    NotFound,
    ProviderBusy,
    ProviderDenied,
    ProviderError,
    ProviderRefused,
)
from service.settings import Settings
from service.telemetry.metrics import Metrics

T = TypeVar("T")
#: Two tries fit into the time of a check.
CALL_SECONDS = 2.0
#: So many records of a list are read: with one on a page, the second shows that paging works.
MOST = 2
LISTS = (
    "GetBatchesByOrganization",
    "GetInvoicesByOrganization",
    "GetCasesByOrganization",
    "GetSettlements",
)
SINGLES = ("GetBatchById", "GetInvoiceById", "GetSettlement")
LEGACY = ("GetBatchById (legacy)", "legacy Batch", "legacy Attachment", "legacy Ping")
ADVICE: tuple[tuple[type[ProviderError], str], ...] = (
    (ProviderDenied, "Ask Amili which scopes these credentials have."),
    (ProviderBusy, "Amili is busy or limits us: try again later."),
    (ContractBroken, "Amili answers in a form that this version does not read: tell its makers."),
    (NotFound, "Compare AMILI_ORGANIZATION_IDS and AMILI_API_BASE_URL with what Amili gave you."),
    (ProviderRefused, "Compare AMILI_API_BASE_URL with what Amili gave you."),
    (ProviderError, "Look whether this machine reaches Amili, and whether Amili is well."),
)


async def check_reads(
    settings: Settings,
    contract: Contract,
    tokens: TokenKeeper | None,
    organization_id: str | None,
    evidence: Evidence,
) -> list[Check]:
    """Try each operation that reads; without token or organization all are skipped."""
    names = [*LISTS, *SINGLES, *LEGACY]
    if tokens is None:
        return skipped(names, "There is no token.")
    if organization_id is None:
        return skipped(names, "No organization is known: set AMILI_ORGANIZATION_IDS.")
    quick = settings.model_copy(update={"api_timeout_seconds": CALL_SECONDS})
    try:
        opened = AmiliClient(quick, contract, Metrics(), tokens)
    except ConfigError as exc:
        return skipped(names, sentence(str(exc)))
    async with opened as client:
        reads = Reads(client.at(Purpose.RECONCILE), organization_id, evidence)
        return [*await reads.lists(), *await reads.singles(), *await reads.legacy()]


class Reads:
    """The operations that read, of one organization; the lists first: they give the ids."""

    def __init__(self, client: AmiliClient, organization_id: str, evidence: Evidence) -> None:
        self._client = client
        self._ours = organization_id
        self._evidence = evidence
        self._first: dict[str, Fetched[Any]] = {}

    async def lists(self) -> list[Check]:
        """Read the first records of each list."""
        client, ours = self._client, self._ours
        lists: tuple[AsyncIterator[Fetched[Any]], ...] = (
            client.get_batches_by_organization(ours, page_size=1),
            client.get_invoices_by_organization(ours),
            client.get_cases_by_organization(ours, page_size=1),
            client.get_settlements(ours, page_size=1),
        )
        checks = [self._list(name, found) for name, found in zip(LISTS, lists, strict=True)]
        return await together(LISTS, checks)

    async def singles(self) -> list[Check]:
        """Read the first record of each kind by its id."""
        client, ours = self._client, self._ours
        batch, invoice, settlement = SINGLES
        checks = [
            self._single(batch, self._id(0, "batch_id"), lambda i: client.get_batch_by_id(ours, i)),
            self._single(
                invoice, self._id(1, "invoice_id"), lambda i: client.get_invoice_by_id(ours, i)
            ),
            self._single(
                settlement, self._id(3, "settlement_id"), lambda i: client.get_settlement(ours, i)
            ),
        ]
        return await together(SINGLES, checks)

    async def legacy(self) -> list[Check]:
        """Try the operations that Amili will remove: their end is no failure of ours."""
        client = self._client
        by_id, batch, attachment, ping = LEGACY
        checks = [
            self._single(by_id, self._id(0, "batch_id"), lambda i: client.get_batch_by_id(None, i)),
            self._legacy(batch, "path_legacy_batch", client.get_legacy_batch),
            self._legacy(attachment, "path_legacy_attachment", client.legacy_attachment),
            self._legacy(ping, "path_legacy_ping", client.legacy_ping),
        ]
        return [mild(check) for check in await together(LEGACY, checks)]

    def _id(self, place: int, member: str) -> str | None:
        first = self._first.get(LISTS[place])
        return None if first is None else getattr(first.value, member)

    async def _list(self, name: str, found: AsyncIterator[Fetched[Any]]) -> Check:
        count = 0
        async for record in found:
            count += 1
            if count == 1:
                self._first[name] = record
                self._note(name, record)
            if count == MOST:
                return Check(name, "ok", "It answers, with records.")
        self._evidence.confirm("last_page", f"{name} came to its end.")
        return Check(name, "ok", "It answers, with one record." if count else "It answers: none.")

    async def _single(
        self, name: str, record_id: str | None, read: Callable[[str], Awaitable[Fetched[Any]]]
    ) -> Check:
        if record_id is None:
            return Check(name, "skipped", "There is no record to read.")
        found = await read(record_id)
        self._note(name, found)
        return Check(name, "ok", "It answers.")

    async def _legacy(self, name: str, path: str, call: Callable[[], Awaitable[object]]) -> Check:
        try:
            await call()
        except ProviderRefused as exc:
            if exc.status in (404, 405):
                self._evidence.contradict(path, f"It was answered {exc.status}.")
            raise
        for assumption in (path, "legacy_base_url"):
            self._evidence.confirm(assumption, f"{name} answers there.")
        return Check(name, "ok", "It answers.")

    def _note(self, name: str, record: Fetched[Any]) -> None:
        raw = decode(record.raw.encode())
        if name == "GetCasesByOrganization":
            number = raw.get("caseNumber")
            tell = self._evidence.confirm if type(number) is int else self._evidence.contradict
            tell("case_number", f"{name} tells a {'number' if type(number) is int else 'text'}.")
        if name == "GetInvoiceById":
            has = record.value.remaining_amount is not None
            tell = self._evidence.confirm if has else self._evidence.contradict
            tell("invoice_amounts", f"{name} tells {'one' if has else 'no remainingAmount'}.")
        if name == "GetSettlement":
            amounts = [n for n, v in raw.items() if "amount" in n.lower() and is_number(v)]
            if amounts:
                self._evidence.confirm("settlement_amounts", f"{name} tells {len(amounts)}.")


async def together(names: Sequence[str], checks: Sequence[Awaitable[Check]]) -> list[Check]:
    """Make several checks at once; each failure gets the advice of its kind."""
    pairs = zip(names, checks, strict=True)
    made = (bounded(name, advised(name, check), ADVICE[-1][1]) for name, check in pairs)
    return list(await asyncio.gather(*made))


async def advised(name: str, check: Awaitable[Check]) -> Check:
    """Turn an error of Amili's into a failure that says what to do."""
    try:
        return await check
    except ProviderError as exc:
        do = next(words for kind, words in ADVICE if isinstance(exc, kind))
        return Check(name, "failed", sentence(str(exc)), do)


def mild(check: Check) -> Check:
    """Make a failure a warning."""
    if check.result != "failed":
        return check
    do = "Nothing needs it: the product uses the newer operations."
    return Check(check.name, "warning", check.says, do)


def is_number(value: object) -> bool:
    """Tell whether a JSON value is a number."""
    return isinstance(value, (int, Decimal)) and not isinstance(value, bool)
