"""Every operation of AutoCollect: name, method, path and query. Pure.

To add one: a row here and in `tests/samples/endpoints.csv`, and a method of the client beside
its resource. Names are as Amili writes them; those of the legacy operations, which Amili calls
only Batch, Attachment and Ping, are ours.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from service.amili.contract import Contract

ORGANIZATION = "/orgs/{organizationId}"
_WORD = re.compile(r"[A-Z][a-z]*")


def snake(name: str) -> str:
    """Write an operation's name as its method: `GetSettlement on Id` → `get_settlement`."""
    return "_".join(_WORD.findall(re.split("[ ,]", name)[0])).lower()


@dataclass(frozen=True, slots=True)
class Operation:
    """One operation of Amili's API."""

    name: str
    method: str
    #: Below the API's base; of a legacy operation below the legacy base.
    path: str
    #: How name and path are known: doc, seed, assumed.
    mark: str
    #: The parameters of the query, spelt as this operation spells them.
    query: tuple[str, ...] = ()
    #: The field of the contract that replaces the path.
    setting: str | None = None

    @property
    def label(self) -> str:
        """What metrics and errors call it: the client's method."""
        return snake(self.name)

    @property
    def is_legacy(self) -> bool:
        """Tell whether it stands below the legacy base."""
        return (self.setting or "").startswith("path_legacy_")

    def template(self, contract: Contract) -> str:
        """Name the path template that holds now."""
        return self.path if self.setting is None else contract.path(self.setting)

    def parameter(self, name: str) -> str:
        """Spell a parameter, `page_size` as PageSize or pageSize; KeyError when it has none."""
        return {spelt.lower(): spelt for spelt in self.query}[name.replace("_", "")]


def _replaceable(
    name: str, method: str, mark: str, setting: str, query: tuple[str, ...] = ()
) -> Operation:
    """Make an operation whose path stands in the contract."""
    path = str(Contract.model_fields[setting].default)
    return Operation(name, method, path, mark, query, setting)


def _of_case(name: str, known: str) -> Operation:
    return _replaceable(name, "POST", f"{known}; path assumed", f"path_{snake(name)}")


# --- batches ----------------------------------------------------------------

GET_BATCH = Operation("GetBatchById", "GET", f"{ORGANIZATION}/batches/{{batchId}}", "doc")
GET_BATCH_BY_LEGACY_PATH = Operation(
    "GetBatchById, legacy, to be removed", "GET", "/batches/{batchId}", "doc"
)
GET_BATCHES = Operation(
    "GetBatchesByOrganization",
    "GET",
    f"{ORGANIZATION}/batches",
    "doc",
    ("State", "Type", "SubjectId", "IdempotencyKey", "PageToken", "PageSize", "SortDirection"),
)

# --- invoices ---------------------------------------------------------------

CREATE_INVOICES = Operation("CreateInvoices", "POST", f"{ORGANIZATION}/invoices", "seed")
GET_INVOICES = Operation(
    "GetInvoicesByOrganization",
    "GET",
    f"{ORGANIZATION}/invoices",
    "doc",
    (
        *("Status", "Type", "InvoiceNumber", "UniqueSourceInvoiceId"),
        *("CustomerNumber", "From", "To", "PageToken"),
    ),
)
GET_INVOICE = Operation("GetInvoiceById", "GET", f"{ORGANIZATION}/invoices/{{invoiceId}}", "doc")

# --- cases ------------------------------------------------------------------

GET_CASES = Operation(
    "GetCasesByOrganization",
    "GET",
    f"{ORGANIZATION}/cases",
    "doc",
    (
        *("Status", "Type", "CaseNumber", "CustomerNumber", "UniqueSourceInvoiceId"),
        *("SearchTerm", "FromCreatedAt", "ToCreatedAt", "PageToken", "PageSize"),
    ),
)
OF_CASES = (
    _of_case("AcceptDebtCollectionList", "seed"),
    _of_case("RejectDebtCollectionList", "seed"),
    _of_case("PauseCase", "seed"),
    _of_case("ResumeCase", "seed"),
    _of_case("WithdrawCase", "seed"),
    _of_case("AcceptEvictionRequest", "doc"),
    _of_case("RejectEvictionRequest", "doc"),
    _of_case("AcceptEvictionConfirmation", "doc"),
    _of_case("RejectEvictionConfirmation", "doc"),
)

# --- payments, corrections, settlements -------------------------------------

CREATE_PAYMENTS = Operation("CreatePayments", "POST", f"{ORGANIZATION}/payments", "doc")
CREATE_CORRECTIONS = Operation("CreateCorrections", "POST", f"{ORGANIZATION}/corrections", "doc")
GET_SETTLEMENTS = Operation(
    "GetSettlements",
    "GET",
    f"{ORGANIZATION}/settlements",
    "doc",
    ("fromDate", "toDate", "pageSize", "pageToken"),
)
GET_SETTLEMENT = Operation(
    "GetSettlement on Id", "GET", f"{ORGANIZATION}/settlements/{{settlementId}}", "doc"
)

# --- legacy -----------------------------------------------------------------

_BATCH = "path_legacy_batch"
GET_LEGACY_BATCH = _replaceable("GetLegacyBatch", "GET", "seed, doc", _BATCH)
CREATE_LEGACY_BATCH = _replaceable("CreateLegacyBatch", "POST", "seed, doc", _BATCH, ("senderid",))
LEGACY_ATTACHMENT = _replaceable(
    "LegacyAttachment", "GET", "seed; method assumed", "path_legacy_attachment"
)
LEGACY_PING = _replaceable("LegacyPing", "GET", "seed", "path_legacy_ping")

#: By the client's method.
CASE_OPERATIONS: Mapping[str, Operation] = {each.label: each for each in OF_CASES}
#: All of them, in the order of the contract page.
OPERATIONS: tuple[Operation, ...] = (
    GET_BATCH,
    GET_BATCH_BY_LEGACY_PATH,
    GET_BATCHES,
    CREATE_INVOICES,
    GET_INVOICES,
    GET_INVOICE,
    GET_CASES,
    CREATE_PAYMENTS,
    CREATE_CORRECTIONS,
    GET_SETTLEMENTS,
    GET_SETTLEMENT,
    *OF_CASES,
    GET_LEGACY_BATCH,
    CREATE_LEGACY_BATCH,
    LEGACY_ATTACHMENT,
    LEGACY_PING,
)
