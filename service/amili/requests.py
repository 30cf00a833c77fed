"""What we hand over to Amili: invoices, payments, corrections [seed, doc]. Pure.

An amount is a JSON number and keeps value and scale: `4500.00` stays `4500.00`. A date keeps its
text. Unknown members are kept and sent; members that were not given are left out. Texts of the
errors name no value: it may be personal.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import date, datetime
from decimal import Decimal
from typing import Annotated, Any

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Field,
    StrictBool,
    WithJsonSchema,
    model_validator,
)

from service.amili.record import Record, Resource, Text
from service.amili.texts import MAX_TEXT, encode, keepable, storable

#: No amount of money has more digits before or after the point.
MOST_DIGITS = 20
#: Objects and lists of ours stand inside of no more others than this.
DEEPEST = 64
_DATE = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
_TIME = re.compile(rf"{_DATE.pattern}T[0-9:]{{8}}(\.[0-9]{{1,9}})?(Z|[+-][0-9]{{2}}:[0-9]{{2}})")
_CURRENCY = re.compile(r"[A-Z]{3}")


# --- members ----------------------------------------------------------------


def _amount(value: object) -> object:
    """Take only what a JSON number is read as."""
    if isinstance(value, str):
        raise ValueError("must be a JSON number without quotation marks, for example 4500.00")
    if isinstance(value, float):
        raise ValueError("must be an exact decimal number, never a float")
    if isinstance(value, bool) or not isinstance(value, int | Decimal):
        raise ValueError("must be a JSON number, for example 4500.00")
    if isinstance(value, Decimal) and not value.is_finite():
        raise ValueError("must be a finite number")
    return value


def _bounded(amount: Decimal) -> Decimal:
    places = -int(amount.as_tuple().exponent)
    if amount.adjusted() >= MOST_DIGITS or abs(places) > MOST_DIGITS:
        raise ValueError(f"must have at most {MOST_DIGITS} digits before and after the point")
    return amount


def _name(value: str) -> str:
    if keepable(value) is None:
        raise ValueError(f"must be 1 to {MAX_TEXT} printable characters")
    return value


def _words(value: str) -> str:
    if storable(value) != value:
        raise ValueError("must not contain NUL or half of a character")
    return value


def _day(value: str) -> str:
    """Check a date; its text stays as it is."""
    try:
        if _DATE.fullmatch(value):
            date.fromisoformat(value)
            return value
    except ValueError:
        pass
    raise ValueError("must be a date in the form 2026-12-31")


def _day_or_time(value: str) -> str:
    """Check a date or a date-time [seed: `2019-08-24T14:15:22.123Z`; doc: plain dates, too]."""
    try:
        if _DATE.fullmatch(value) or _TIME.fullmatch(value):
            datetime.fromisoformat(value)
            return value
    except ValueError:
        pass
    raise ValueError("must be a date in the form 2026-12-31 or 2026-12-31T12:00:00Z")


def _currency(value: str) -> str:
    if not _CURRENCY.fullmatch(value):
        raise ValueError("must be three capital letters, for example NOK")
    return value


#: What JSON Schema can say of these stands in the API's own description.
Amount = Annotated[
    Decimal,
    BeforeValidator(_amount),
    AfterValidator(_bounded),
    WithJsonSchema({"type": "number"}),
]
#: What things are found again by: ids, numbers, types.
Name = Annotated[
    str,
    AfterValidator(_name),
    WithJsonSchema({"type": "string", "minLength": 1, "maxLength": MAX_TEXT}),
]
Words = Annotated[str, AfterValidator(_words)]
Day = Annotated[str, AfterValidator(_day), WithJsonSchema({"type": "string", "format": "date"})]
DayOrTime = Annotated[str, AfterValidator(_day_or_time)]
Currency = Annotated[
    str,
    AfterValidator(_currency),
    WithJsonSchema({"type": "string", "pattern": f"^{_CURRENCY.pattern}$"}),
]


# --- records ----------------------------------------------------------------


class NewRecord(Record):
    """A record that is sent; its unknown members are JSON, numbers as int or Decimal."""

    @model_validator(mode="after")
    def _extra_is_json(self) -> NewRecord:
        if not _is_json(self.model_extra or {}, DEEPEST):
            raise ValueError(
                "unknown members must be JSON, their numbers int or Decimal, "
                f"nested at most {DEEPEST} deep"
            )
        return self


class NewEmail(NewRecord):
    """An e-mail address [seed]."""

    value: Words | None = None


class NewPhone(NewRecord):
    """A telephone number [seed]."""

    country_code: Words | None = None
    original_value: Words | None = None
    value: Words | None = None


class NewAddress(NewRecord):
    """A postal address [seed]."""

    street: Words | None = None
    city: Words | None = None
    zip_code: Words | None = None
    country_code: Words | None = None


class NewDebtor(NewRecord):
    """Who owes [seed]: `type` is PRIVATE [seed] or COMPANY [assumed]; others are sent as given."""

    type: Name | None = None
    firstname: Words | None = None
    lastname: Words | None = None
    name: Words | None = None
    customer_number: Words | None = None
    identification_number: Words | None = None
    organization_number: Words | None = None
    date_of_birth: Day | None = None
    emails: list[NewEmail] | None = None
    phone_numbers: list[NewPhone] | None = None
    addresses: list[NewAddress] | None = None


class NewClaim(NewRecord):
    """A part of what is owed [seed]: `type` is PRINCIPAL; others are not known."""

    type: Name | None = None
    remaining_amount: Amount | None = None
    description: Words | None = None


class NewInvoice(NewRecord):
    """An invoice to be handed over [seed]; that claims may be missing is [assumed].

    `uniqueSourceInvoiceId`, the creditor's own id, is required by us: it is how an invoice
    whose answer was lost is found again.
    """

    unique_source_invoice_id: Name
    invoice_number: Name
    type: Name
    original_invoice_amount: Amount
    currency: Currency
    invoice_date: DayOrTime
    due_date: DayOrTime
    debtors: list[NewDebtor] = Field(min_length=1)
    claims: list[NewClaim] = Field(default_factory=list)
    collection_notice_date: DayOrTime | None = None
    ocr_reference_number: Words | None = None
    description: Words | None = None
    vat: StrictBool | None = None
    fees: StrictBool | None = None


class NewPayment(NewRecord):
    """A payment that the debtor made to the creditor [doc; cut].

    `paymentDate` and `reference` are [assumed]: `Contract.payment_names` may call them otherwise.
    """

    invoice_id: Name
    type: Name
    amount: Amount
    currency: Currency
    payment_date: DayOrTime | None = None
    reference: Words | None = None


class NewCorrection(NewRecord):
    """A credit note, or what makes a claim larger [doc; the amount's sign is assumed]."""

    invoice_id: Name
    amount: Amount
    currency: Currency
    date: DayOrTime
    description: Words | None = None


class Created(Resource):
    """What the 202 says of a submission [seed, doc]: the batch that works on it."""

    batch_id: Text
    batch_url: Text | None = None


# --- writing ----------------------------------------------------------------


def to_json(model: NewRecord, renamed: Mapping[str, str] | None = None) -> str:
    """Write a record as ASCII JSON for Amili, without what was not given.

    `renamed`: members that Amili calls otherwise than this module (our name -> its name).
    """
    members: dict[str, Any] = model.model_dump(by_alias=True, exclude_unset=True)
    names = renamed or {}
    return encode({names.get(name, name): value for name, value in members.items()})


def _is_json(value: object, depth: int) -> bool:
    """Tell whether a value is written as it was read, a float never; `depth` objects at most."""
    if isinstance(value, list | dict):
        inside = value.values() if isinstance(value, dict) else value
        names_fit = not isinstance(value, dict) or all(isinstance(name, str) for name in value)
        return depth > 0 and names_fit and all(_is_json(each, depth - 1) for each in inside)
    if isinstance(value, Decimal):
        return value.is_finite()
    return value is None or isinstance(value, str | int)
