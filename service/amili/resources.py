"""What Amili's records say when they are read from the API. Pure.

Money is `Decimal` from the JSON text on, never a float. Enums are plain text and
unknown members are kept, so that Amili may add both. A date that cannot be read
is None. The record's own text stays beside the model (`Fetched.raw`).
"""

from __future__ import annotations

from typing import Annotated

from pydantic import AliasChoices, BeforeValidator, Field

from service.amili.record import Fetched, Money, Resource, Text, Unread, When
from service.amili.texts import decode, encode

__all__ = [
    "Batch",
    "BatchError",
    "BatchFailure",
    "BatchSuccess",
    "Case",
    "CaseInvoice",
    "Debtor",
    "Fetched",
    "Invoice",
    "Organization",
    "Resource",
    "Settlement",
    "Unread",
    "decode",
    "encode",
]


def _list(value: object) -> object:
    """Read null as the empty list."""
    return [] if value is None else value


def _failure(value: object) -> object:
    """Keep a failure of a form that nobody has read [assumed: an object] as an empty one."""
    return value if isinstance(value, dict | Resource) else {}


def _errors(value: object) -> list[object]:
    """Read `errors`, of which only the name is assumed: objects, or plain messages."""
    if not isinstance(value, list):
        return []
    return [{"message": each} if isinstance(each, str) else _failure(each) for each in value]


# --- batches ----------------------------------------------------------------


class BatchSuccess(Resource):
    """An invoice that a batch created [doc; more members follow]."""

    invoice_id: Text | None = None
    invoice_number: Text | None = None
    case_id: Text | None = None
    case_number: Text | None = None


class BatchError(Resource):
    """Why an invoice was not created [assumed]."""

    code: Text | None = None
    message: Text | None = None
    field: Text | None = None


class BatchFailure(Resource):
    """An invoice that a batch did not create; every member is [assumed]."""

    invoice_number: Text | None = None
    unique_source_invoice_id: Text | None = None
    errors: Annotated[list[BatchError], BeforeValidator(_errors)] = Field(default_factory=list)


Succeeded = Annotated[list[BatchSuccess], BeforeValidator(_list)]
Failed = Annotated[list[Annotated[BatchFailure, BeforeValidator(_failure)]], BeforeValidator(_list)]


class Batch(Resource):
    """What became of a request [doc]: QUEUED, then SUCCESS, PARTIAL or FAILED."""

    batch_id: Text
    status: Text
    type: Text | None = None
    organization_id: Text | None = None
    created_at: When = None
    finished_at: When = None
    succeeded: Succeeded = Field(default_factory=list)
    failed: Failed = Field(default_factory=list)


# --- invoices and cases -----------------------------------------------------


class Organization(Resource):
    """The creditor as an invoice names it [doc]."""

    id: Text | None = None
    organization_number: Text | None = None
    name: Text | None = None


class Amounts(Resource):
    """An invoice's amounts; documented for a case's invoices [doc], elsewhere [assumed]."""

    original_amount: Money | None = None
    remaining_amount: Money | None = None
    remaining_principal: Money | None = None
    paid_amount: Money | None = None
    credited_amount: Money | None = None
    currency: Text | None = None


class Invoice(Amounts):
    """An invoice as it is read back [doc; more members follow]."""

    invoice_id: Text = Field(validation_alias=AliasChoices("invoiceId", "id"))
    invoice_number: Text | None = None
    organization: Organization | None = None
    collection_case_number: Text | None = None
    case_id: Text | None = None
    type: Text | None = None
    status: Text | None = None
    unique_source_invoice_id: Text | None = None
    created_at: When = None
    invoice_date: When = None
    due_date: When = None


class CaseInvoice(Amounts):
    """An invoice as its case tells it [doc]."""

    invoice_id: Text
    invoice_number: Text | None = None
    case_id: Text | None = None
    batch_id: Text | None = None
    unique_source_invoice_id: Text | None = None
    invoice_date: When = None
    due_date: When = None
    registered_at: When = None


class Debtor(Resource):
    """A debtor by numbers only; what makes it a person stays among the unknown members."""

    debtor_id: Text | None = None
    type: Text | None = None
    debtor_number: Text | None = None
    customer_number: Text | None = None


class Case(Resource):
    """A collection case [doc]. `case_number` is a number here and a string in webhooks."""

    case_id: Text
    case_number: Text
    organization_id: Text | None = None
    creditor_id: Text | None = None
    creditor_number: Text | None = None
    status: Text | None = None
    sub_status: Text | None = None
    type: Text | None = None
    description: Text | None = None
    registered_at: When = None
    closed_at: When = None
    invoices: Annotated[list[CaseInvoice], BeforeValidator(_list)] = Field(default_factory=list)
    debtors: Annotated[list[Debtor], BeforeValidator(_list)] = Field(default_factory=list)


class Settlement(Resource):
    """What Amili pays out [doc; the amounts that follow are assumed and kept]."""

    settlement_id: Text | None = None
    organization_id: Text | None = None
    case_number: Text | None = None
    invoice_id: Text | None = None
    collection_type: Text | None = None
    currency: Text | None = None
    customer_reference: Text | None = None
    exchange_rate: Money | None = None
    settlement_date: When = None
