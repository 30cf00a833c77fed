"""What is handed over: amounts exact, dates as given, unknown members kept, nobody printed."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from service.amili.requests import (
    MOST_DIGITS,
    Created,
    NewCorrection,
    NewInvoice,
    NewPayment,
    NewRecord,
    to_json,
)
from service.amili.texts import decode

INVOICE = """{"uniqueSourceInvoiceId":"src-1","invoiceNumber":"1001","type":"PAYMENT_REMINDER",\
"originalInvoiceAmount":4500.00,"currency":"NOK","invoiceDate":"2026-01-02",\
"dueDate":"2019-08-24T14:15:22.123Z","debtors":[{"type":"PRIVATE","firstname":"Kari",\
"identificationNumber":"01019012345","emails":[{"value":"kari@example.no"}],"newMember":[1.50]}],\
"claims":[{"type":"PRINCIPAL","remainingAmount":4500.000}],"collectionNoticeDate":null,\
"vat":false,"newMember":{"rate":0.10}}"""
PAYMENT: dict[str, Any] = {
    "invoiceId": "i-1",
    "type": "DIRECT_PAYMENT",
    "amount": Decimal("1.00"),
    "currency": "NOK",
}

amounts = st.decimals(
    allow_nan=False, allow_infinity=False, min_value=-(10**12), max_value=10**12
).filter(lambda amount: abs(int(amount.as_tuple().exponent)) <= MOST_DIGITS)
json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(10**9), 10**9) | amounts | st.text(max_size=9),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=9), inner),
    max_leaves=8,
)


def members(text: str) -> dict[str, Any]:
    """Read JSON as the product does."""
    found: dict[str, Any] = decode(text.encode())
    return found


def invoice(**changed: Any) -> NewInvoice:
    """Make the sample invoice with other members."""
    return NewInvoice.model_validate({**members(INVOICE), **changed})


def problems(kind: type[NewRecord], given: dict[str, Any]) -> dict[str, str]:
    """Say what is wrong with a record: member → message."""
    with pytest.raises(ValidationError) as caught:
        kind.model_validate(given)
    errors = caught.value.errors(include_input=False)
    return {".".join(str(part) for part in error["loc"]): error["msg"] for error in errors}


class TestWriting:
    """What goes out."""

    def test_it_is_sent_as_it_was_given(self) -> None:
        """Every member, known or not, with value and scale; what was not given is left out."""
        assert members(to_json(invoice())) == members(INVOICE)
        assert sorted(to_json(invoice())) == sorted(INVOICE)

    def test_members_may_be_named_in_our_words(self) -> None:
        """A Python caller writes snake case; Amili reads camelCase."""
        payment = NewPayment(
            invoice_id="i-1", type="DIRECT_PAYMENT", amount=Decimal("1.50"), currency="NOK"
        )
        wanted = '{"invoiceId":"i-1","type":"DIRECT_PAYMENT","amount":1.50,"currency":"NOK"}'
        assert to_json(payment) == wanted

    def test_assumed_members_can_be_renamed(self) -> None:
        """What Amili calls otherwise is written so, the rest as ever."""
        payment = NewPayment.model_validate({**PAYMENT, "reference": "r", "paymentDate": None})
        text = to_json(payment, {"reference": "ref", "paymentDate": "paidAt"})
        assert members(text) == {**PAYMENT, "ref": "r", "paidAt": None}

    @given(amounts)
    def test_amounts_keep_value_and_scale(self, amount: Decimal) -> None:
        """Any amount comes out with the digits and the scale it went in with."""
        written = members(to_json(NewPayment.model_validate({**PAYMENT, "amount": amount})))
        assert Decimal(written["amount"]).as_tuple() == amount.as_tuple()

    @given(st.integers(-(10**19), 10**19))
    def test_whole_amounts_stay_whole(self, amount: int) -> None:
        """A number without a point gets none."""
        text = to_json(NewPayment.model_validate({**PAYMENT, "amount": amount}))
        assert f'"amount":{amount},' in text

    @given(st.dictionaries(st.text(max_size=9).map(lambda name: f"x{name}"), json_values))
    def test_unknown_members_are_kept(self, more: dict[str, Any]) -> None:
        """Whatever JSON Amili may come to accept goes through unchanged."""
        text = to_json(NewPayment.model_validate({**PAYMENT, **more}))
        assert members(text) == {**PAYMENT, **more}
        assert text.isascii()


class TestRefusing:
    """What is not sent."""

    @pytest.mark.parametrize(
        ("amount", "words"),
        [
            ("4500.00", "without quotation marks"),
            (4500.5, "never a float"),
            (True, "must be a JSON number"),
            (None, "must be a JSON number"),
            (Decimal("NaN"), "finite"),
            (Decimal("Infinity"), "finite"),
            (Decimal("1E+21"), "at most 20 digits"),
            (Decimal("1E-21"), "at most 20 digits"),
            (Decimal("1E+999999"), "at most 20 digits"),
            (10**20, "at most 20 digits"),
        ],
    )
    def test_amounts(self, amount: Any, words: str) -> None:
        """An amount is an exact JSON number of a sane size."""
        found = problems(NewPayment, {**PAYMENT, "amount": amount})
        assert list(found) == ["amount"]
        assert words in found["amount"]

    @pytest.mark.parametrize(
        "said",
        ["2026-12-31", "2024-02-29", "2019-08-24T14:15:22.123Z", "2019-08-24T14:15:22+02:00"],
    )
    def test_dates_keep_their_text(self, said: str) -> None:
        """A date or date-time as Amili writes them is sent as it was given."""
        assert members(to_json(invoice(dueDate=said)))["dueDate"] == said

    @pytest.mark.parametrize(
        "said",
        [
            "31.12.2026",
            "2026-02-30",
            "2026-13-01",
            "20261231",
            "2026-W01-1",
            "2019-08-24T14:15:22",
            "2019-08-24T25:15:22Z",
            "2019-08-24 14:15:22Z",
            "٢٠٢٦-١٢-٣١",
            "2026-12-31\n",
            "",
            20261231,
            None,
        ],
    )
    def test_what_is_no_date(self, said: Any) -> None:
        """Anything else is refused, with the form that is wanted."""
        found = problems(NewInvoice, {**members(INVOICE), "dueDate": said})
        assert list(found) == ["dueDate"]
        assert "2026-12-31" in found["dueDate"] or "string" in found["dueDate"]

    def test_required_members(self) -> None:
        """What a submission needs is asked for, all of it at once."""
        needed: dict[type[NewRecord], str] = {
            NewInvoice: "uniqueSourceInvoiceId invoiceNumber type originalInvoiceAmount currency "
            "invoiceDate dueDate debtors",
            NewPayment: "invoiceId type amount currency",
            NewCorrection: "invoiceId amount currency date",
        }
        for kind, names in needed.items():
            assert list(problems(kind, {})) == names.split()

    @pytest.mark.parametrize(
        ("member", "value"),
        [
            ("debtors", []),
            ("debtors", None),
            ("uniqueSourceInvoiceId", ""),
            ("uniqueSourceInvoiceId", "a\nb"),
            ("uniqueSourceInvoiceId", "x" * 201),
            ("invoiceNumber", 1001),
            ("currency", "kr"),
            ("currency", "nok"),
            ("vat", "yes"),
            ("fees", 1),
            ("description", "half \ud800"),
            ("description", "nul \0"),
            ("claims", [{"remainingAmount": "1.00"}]),
        ],
    )
    def test_members_of_another_kind(self, member: str, value: Any) -> None:
        """A member is of its kind; nothing is quietly turned into it."""
        found = problems(NewInvoice, {**members(INVOICE), member: value})
        assert [name.partition(".")[0] for name in found] == [member]

    @pytest.mark.parametrize("value", [1.5, {"a": [1.5]}, Decimal("NaN"), {1: 2}, object()])
    def test_unknown_members_that_are_no_json(self, value: Any) -> None:
        """A float would lose its scale; it is refused among unknown members, too."""
        found = problems(NewPayment, {**PAYMENT, "newMember": value})
        assert "must be JSON" in "".join(found.values())

    def test_claims_may_be_missing(self) -> None:
        """An invoice without claims is sent without them."""
        given = members(INVOICE)
        del given["claims"]
        assert "claims" not in members(to_json(NewInvoice.model_validate(given)))


class TestTellingNobody:
    """Where it is printed."""

    def test_the_repr_tells_ids_only(self) -> None:
        """Neither repr nor str of any part names a person."""
        made = invoice()
        for text in (repr(made), str(made), repr(made.debtors), f"{made.debtors[0].emails}"):
            for word in ("Kari", "01019012345", "kari@example.no"):
                assert word not in text
        assert "src-1" in repr(made)

    def test_errors_do_not_repeat_content(self) -> None:
        """A refusal names members and what is wanted, never a value."""
        person = {"firstname": ["Kari"], "dateOfBirth": "Kari", "emails": [{"value": 5}]}
        with pytest.raises(ValidationError) as caught:
            invoice(debtors=[person], ocrReferenceNumber=["Kari"])
        assert "Kari" not in str(caught.value)

    def test_created(self) -> None:
        """The 202's answer names the batch, and keeps what else it says."""
        said = b'{"batchId":"b-1","batchUrl":"https://x/b-1","newMember":2.0}'
        created = Created.model_validate(decode(said))
        assert (created.batch_id, created.batch_url) == ("b-1", "https://x/b-1")
        assert str((created.model_extra or {})["newMember"]) == "2.0"
