"""The table of Amili's operations: name, method, path, query (contract §3)."""

from __future__ import annotations

from dataclasses import dataclass

from service.sandbox import legacy, reads
from service.sandbox.steps import STEPS
from service.sandbox.writes import Perform, step, submit

ORGANIZATION = "/orgs/{organizationId}"
PAGE = ("PageToken", "PageSize")


@dataclass(frozen=True)
class Operation:
    """One operation of the API, below its base path."""

    name: str
    method: str
    path: str
    perform: Perform
    #: The query members that it takes; None where nobody has read which.
    query: tuple[str, ...] | None = ()


_READS = (
    Operation("GetBatchById", "GET", f"{ORGANIZATION}/batches/{{batchId}}", reads.get_batch),
    Operation("GetBatchByIdLegacy", "GET", "/batches/{batchId}", reads.get_batch),
    Operation(
        "GetBatchesByOrganization",
        "GET",
        f"{ORGANIZATION}/batches",
        reads.list_batches,
        ("State", "Type", "SubjectId", "IdempotencyKey", "SortDirection", *PAGE),
    ),
    Operation("GetInvoiceById", "GET", f"{ORGANIZATION}/invoices/{{invoiceId}}", reads.get_invoice),
    Operation(
        "GetInvoicesByOrganization",
        "GET",
        f"{ORGANIZATION}/invoices",
        reads.list_invoices,
        (
            *("Status", "Type", "InvoiceNumber", "UniqueSourceInvoiceId"),
            *("CustomerNumber", "From", "To", "PageToken"),
        ),
    ),
    Operation(
        "GetCasesByOrganization",
        "GET",
        f"{ORGANIZATION}/cases",
        reads.list_cases,
        (
            *("Status", "Type", "CaseNumber", "CustomerNumber", "UniqueSourceInvoiceId"),
            *("SearchTerm", "FromCreatedAt", "ToCreatedAt", *PAGE),
        ),
    ),
    Operation(
        "GetSettlements",
        "GET",
        f"{ORGANIZATION}/settlements",
        reads.list_settlements,
        ("fromDate", "toDate", "pageSize", "pageToken"),
    ),
    Operation(
        "GetSettlement", "GET", f"{ORGANIZATION}/settlements/{{settlementId}}", reads.get_settlement
    ),
)
_SUBMITS = tuple(
    Operation(name, "POST", f"{ORGANIZATION}/{member}", submit(member, kind))
    for name, member, kind in (
        ("CreateInvoices", "invoices", "INVOICE"),
        ("CreatePayments", "payments", "PAYMENT"),
        ("CreateCorrections", "corrections", "CORRECTION"),
    )
)
#: The paths of the case operations are [assumed].
_STEPS = tuple(
    Operation(name, "POST", f"{ORGANIZATION}/cases/{{caseId}}/{known.path}", step(name))
    for name, known in STEPS.items()
)
_LEGACY_BATCH = "/webapi/api/Batch"
_LEGACY = (
    Operation("LegacyBatch", "GET", _LEGACY_BATCH, legacy.list_batches, None),
    Operation("CreateLegacyBatch", "POST", _LEGACY_BATCH, legacy.create_batch, ("senderid",)),
    Operation("LegacyAttachment", "GET", "/webapi/api/Attachment", legacy.list_attachments, None),
    Operation("LegacyPing", "GET", "/webapi/api/Ping", legacy.ping, None),
)
OPERATIONS = (*_READS, *_SUBMITS, *_STEPS, *_LEGACY)

TOKEN = "Token"  # noqa: S105 - an operation's name
UNKNOWN = "Unknown"
NAMES = frozenset({operation.name for operation in OPERATIONS} | {TOKEN, UNKNOWN})
