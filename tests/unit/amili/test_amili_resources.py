"""Records read back: money exact, unknown members kept, nobody's name printed."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from service.amili.resources import Batch, Case, Fetched, Invoice, Settlement, decode, encode

CASE = b"""{"caseId":"c-1","caseNumber":4711,"status":"PAUSED",
"registeredAt":"2026-04-20T10:00:00Z","closedAt":"soon","subStatus":"NEW_ONE","newMember":[1],
"invoices":[{"invoiceId":"i-1","remainingAmount":4500.00,"currency":"NOK","dueDate":"2026-05-01"}],
"debtors":[{"debtorId":"d-1","firstName":"Ola","identificationNumber":"01019012345"}]}"""

amounts = st.decimals(allow_nan=False, allow_infinity=False, places=2) | st.decimals(
    allow_nan=False, allow_infinity=False
)


class TestRecords:
    """The models as the contract page describes them."""

    def test_case(self) -> None:
        """A case's number is text, its money Decimal, an unreadable date None."""
        case = Case.model_validate(decode(CASE))
        assert case.case_number == "4711"
        assert str(case.invoices[0].remaining_amount) == "4500.00"
        assert case.registered_at == datetime(2026, 4, 20, 10, tzinfo=UTC)
        assert case.invoices[0].due_date == datetime(2026, 5, 1, tzinfo=UTC)
        assert case.closed_at is None
        assert (case.model_extra or {})["newMember"] == [1]

    def test_batch(self) -> None:
        """Failures of any form leave the batch readable and counted."""
        batch = Batch.model_validate(
            {
                "batchId": "b-1",
                "status": "PARTIAL",
                "succeeded": [{"invoiceId": "i-1", "caseNumber": 4711}],
                "failed": [
                    {"invoiceNumber": "1", "errors": [{"code": "E1"}, "no debtor", 5]},
                    {"errors": "text"},
                    "text",
                ],
            }
        )
        assert batch.succeeded[0].case_number == "4711"
        assert [error.code for error in batch.failed[0].errors] == ["E1", None, None]
        assert batch.failed[0].errors[1].message == "no debtor"
        assert len(batch.failed) == 3

    def test_null_lists_are_empty(self) -> None:
        """Null where a list belongs is the empty list."""
        data = {"batchId": "b", "status": "QUEUED", "succeeded": None, "failed": None}
        batch = Batch.model_validate(data)
        assert (batch.succeeded, batch.failed) == ([], [])

    @pytest.mark.parametrize("name", ["id", "invoiceId"])
    def test_invoice_has_two_names_for_its_id(self, name: str) -> None:
        """`id` and `invoiceId` are one member."""
        data = {name: "i-1", "collectionCaseNumber": 4711, "organization": {"id": "o-1"}}
        invoice = Invoice.model_validate(data)
        assert (invoice.invoice_id, invoice.collection_case_number) == ("i-1", "4711")

    def test_settlement_keeps_what_is_not_known(self) -> None:
        """Amounts with assumed names stay, exact, among the unknown members."""
        settlement = Settlement.model_validate(decode(b'{"caseNumber":1,"paidOut":12.50}'))
        assert (settlement.model_extra or {})["paidOut"] == Decimal("12.50")

    @pytest.mark.parametrize("amount", [1.5, True, "much", float("nan"), Decimal("NaN"), []])
    def test_money_is_never_a_float(self, amount: Any) -> None:
        """An amount that is no exact number makes the record unreadable."""
        with pytest.raises(ValidationError):
            Invoice.model_validate({"id": "i", "remainingAmount": amount})

    def test_text_can_be_stored(self) -> None:
        """NUL and lone surrogates are replaced, real pairs stay."""
        case = Case.model_validate(
            decode(rb'{"caseId":"c","caseNumber":"1","status":"a\u0000\ud800b\ud83d\ude00"}')
        )
        assert case.status == "a\ufffd\ufffdb\U0001f600"

    def test_nobody_is_printed(self) -> None:
        """The repr and str of a record tell ids and status only."""
        data = decode(CASE)
        fetched = Fetched(Case.model_validate(data), encode(data))
        for text in (repr(fetched), str(fetched.value), f"{fetched.value.debtors}"):
            assert "Ola" not in text
            assert "01019012345" not in text
        assert "c-1" in repr(fetched)

    def test_errors_do_not_repeat_content(self) -> None:
        """A record's validation error hides what it was given."""
        with pytest.raises(ValidationError) as caught:
            Case.model_validate({"caseId": ["Ola"], "caseNumber": {"a": "Ola"}})
        assert "Ola" not in str(caught.value)


class TestText:
    """The JSON text that is kept beside a record."""

    def test_scale_survives(self) -> None:
        """`4500.00` stays `4500.00`."""
        text = b'{"a":4500.00,"b":-0.10,"c":12345678901234567890.123456789,"d":7,"e":"\xc3\xa5"}'
        assert encode(decode(text)) == text.decode().replace("å", "\\u00e5")

    @given(amounts)
    def test_money_keeps_value_and_scale(self, amount: Decimal) -> None:
        """Any decimal comes back with the digits and the scale it had."""
        text = f'{{"id":"i","remainingAmount":{amount}}}'.encode()
        read = Invoice.model_validate(decode(encode(decode(text)).encode())).remaining_amount
        assert read is not None
        if "." in str(amount) or "E" in str(amount):
            assert read.as_tuple() == amount.as_tuple()
        assert read == amount

    @given(st.binary(max_size=100))
    def test_decode_raises_value_errors_only(self, text: bytes) -> None:
        """Any bytes are read or refused, and what was read is written as ASCII."""
        try:
            value = decode(text)
        except ValueError:
            return
        assert encode(value).isascii()

    @pytest.mark.parametrize(
        "text",
        [b"", b"NaN", b"-Infinity", b"\xff", b"1e99999999999999999999", b"[" * 10**6, b"{}x"],
    )
    def test_what_is_no_json_is_refused(self, text: bytes) -> None:
        """Refusals carry none of the text, not even as an attribute."""
        with pytest.raises(ValueError, match=r"expected|nested") as caught:
            decode(text)
        assert not hasattr(caught.value, "doc")
