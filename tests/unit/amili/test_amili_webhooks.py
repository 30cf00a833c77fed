"""Reading deliveries: every documented spelling, and nothing but MalformedDelivery on the rest."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from service.amili.webhooks import EVENTS, Event, Hint, Subject, read
from service.errors import MalformedDelivery

CASE = {
    "orgId": "org-1",
    "caseId": "case-1",
    "caseNumber": "4711",
    "type": "PAYMENT_REMINDER",
    "status": "OPEN",
    "invoices": ["inv-1", "inv-2"],
}


def body(**members: Any) -> bytes:
    """Write an envelope; a member that is `...` is left out."""
    whole = {
        "id": "e-1",
        "type": "CASE_UPDATED",
        "source": "COLLECTION",
        "timeStamp": "2026-04-20T14:15:22Z",
        "data": CASE,
        **members,
    }
    return json.dumps({k: v for k, v in whole.items() if v is not ...}).encode()


class TestEvents:
    """Each event type as the contract page writes it."""

    def test_batch_completed(self) -> None:
        """A completed batch names the batch and its status."""
        data = {"batchId": "b-1", "organizationId": "org-1", "status": "PARTIAL"}
        event = read(body(type="BATCH_COMPLETED", data=data))
        assert event == Event(
            event_id="e-1",
            type="BATCH_COMPLETED",
            label="BATCH_COMPLETED",
            source="COLLECTION",
            time_stamp=datetime(2026, 4, 20, 14, 15, 22, tzinfo=UTC),
            organization_id="org-1",
            subject=Subject("batch", "b-1"),
            hint=Hint(status="PARTIAL"),
        )

    def test_settlement_created(self) -> None:
        """A settlement names itself, its case and its invoice."""
        data = {
            "settlementId": "s-1",
            "organizationId": "org-1",
            "settlementDate": "2026-04-20",
            "invoiceId": "inv-1",
            "caseNumber": 4711,
        }
        event = read(body(type="SETTLEMENT_CREATED", data=data))
        assert event.subject == Subject("settlement", "s-1", "4711")
        assert event.hint == Hint(invoices=("inv-1",))

    @pytest.mark.parametrize("name", ["CASE", "CASE_CREATED"])
    def test_case_created_has_two_names(self, name: str) -> None:
        """`CASE` and `CASE_CREATED` are one type."""
        event = read(body(type=..., eventType=name))
        assert (event.type, event.label) == ("CASE_CREATED", "CASE_CREATED")
        assert event.organization_id == "org-1"
        assert event.subject == Subject("case", "case-1", "4711")
        assert event.hint == Hint("OPEN", "PAYMENT_REMINDER", ("inv-1", "inv-2"))

    def test_case_updated_says_what_changed(self) -> None:
        """The changed parts are kept as a claim."""
        event = read(body(data={**CASE, "fields": ["status", "amounts"]}))
        assert event.hint.fields == ("status", "amounts")

    @pytest.mark.parametrize("name", sorted(EVENTS))
    def test_every_known_type_is_in_the_table(self, name: str) -> None:
        """A known type without usable data is accepted, with a problem that names the member."""
        event = read(body(type=name, data={}))
        assert event.label in EVENTS
        assert event.subject is None
        assert "Id: expected 1 to 200 printable characters" in (event.problem or "")


class TestType:
    """Where the type of an event is said."""

    def test_the_header_helps_out(self) -> None:
        """The header counts when the body names no type."""
        assert read(body(type=...), "CASE").type == "CASE_CREATED"
        assert read(body(type=None, eventType=""), "NEW_THING").type == "NEW_THING"

    def test_the_body_wins_over_the_header(self) -> None:
        """What is signed outweighs what is not."""
        assert read(body(type="NEW_THING"), "CASE").type == "NEW_THING"

    def test_a_known_name_wins(self) -> None:
        """Of two names in the body the known one counts."""
        assert read(body(type="EVENT", eventType="CASE_UPDATED")).type == "CASE_UPDATED"

    @pytest.mark.parametrize("name", ["SOMETHING_NEW", "x" * 200])
    def test_an_unknown_type_is_kept(self, name: str) -> None:
        """An unknown type is kept as said, counted as `other`, and no problem."""
        event = read(body(type=name))
        assert (event.type, event.label, event.problem) == (name, "other", None)
        assert (event.subject, event.organization_id) == (None, "org-1")

    @pytest.mark.parametrize("name", ["x" * 201, "a\0b", "\ud800", 5, ["CASE"], {"a": 1}])
    def test_an_unreadable_type_is_named_so(self, name: object) -> None:
        """A type that no database keeps becomes UNREADABLE."""
        assert read(body(type=name)).type == "UNREADABLE"

    def test_no_type_at_all_is_malformed(self) -> None:
        """An event without a type is no event."""
        with pytest.raises(MalformedDelivery, match="type"):
            read(body(type=...))


class TestMalformed:
    """What is refused, and what the refusal says."""

    @pytest.mark.parametrize(
        ("sent", "said"),
        [
            (b"", "JSON"),
            (b"{", "JSON"),
            (b"[]", "object"),
            (b"null", "object"),
            (b'"secret"', "object"),
            (b"\xff{}", "UTF-8"),
            ('{"id":"1"}'.encode("utf-16"), "UTF-8"),
            (b"[" * 200_000, "deep"),
            (b'{"id":NaN}', "JSON"),
            (b'{"id":"1","a":Infinity}', "JSON"),
            (b'{"a":' + b"1" * 5000 + b"}", "JSON"),
            (body(id=...), "id"),
            (body(id=5), "id"),
            (body(id=""), "id"),
            (body(id="x" * 201), "id"),
            (body(id="a\0"), "id"),
            (body(id="a\n"), "id"),
            (body(id="\ud800"), "id"),
            (body(data=[]), "data"),
            (body(data="secret"), "data"),
            (body(data=False), "data"),
        ],
    )
    def test_it_is_refused_with_words(self, sent: bytes, said: str) -> None:
        """The message says what was expected and repeats nothing of the content."""
        with pytest.raises(MalformedDelivery, match=said) as caught:
            read(sent, "CASE")
        assert "secret" not in str(caught.value)


class TestTolerance:
    """What is legal or merely odd is accepted."""

    def test_a_byte_order_mark_is_accepted(self) -> None:
        """A BOM before the JSON is skipped."""
        assert read(b"\xef\xbb\xbf" + body()).event_id == "e-1"

    def test_odd_text_in_unused_members_is_accepted(self) -> None:
        """NUL and lone surrogates are legal where we do not look, names included."""
        odd = {"a\0": "\0", "\ud800": "\udfff", "debtor": {"\udc00": 1}}
        event = read(body(data={**CASE, **odd}, **odd))
        assert event.subject == Subject("case", "case-1", "4711")
        assert event.problem is None

    def test_no_data_of_an_unknown_type_is_no_problem(self) -> None:
        """A ping-like event without data is accepted."""
        for data in (..., None):
            assert read(body(type="PING", data=data)).problem is None

    @pytest.mark.parametrize("bad", ["x" * 201, "a\0", "\ud800", 7.5, True, ["x"], {}])
    def test_unreadable_optional_members_are_none(self, bad: object) -> None:
        """What cannot be kept is None, and the event goes on."""
        data = {**CASE, "caseNumber": bad, "status": bad, "type": bad, "invoices": [bad]}
        event = read(body(source=bad, timeStamp=bad, data={**data, "fields": bad, "orgId": bad}))
        assert event.hint.status is None
        assert event.hint.type is None
        assert event.hint.invoices is None
        assert (event.source, event.time_stamp, event.organization_id) == (None, None, None)
        assert event.subject == Subject("case", "case-1")

    @pytest.mark.parametrize(
        ("said", "read_as"),
        [
            ("2026-04-20T14:15:22.123Z", datetime(2026, 4, 20, 14, 15, 22, 123000, tzinfo=UTC)),
            ("2026-04-20T16:15:22+02:00", datetime(2026, 4, 20, 14, 15, 22, tzinfo=UTC)),
            ("2026-04-20T14:15:22", datetime(2026, 4, 20, 14, 15, 22, tzinfo=UTC)),
            ("0001-01-01T00:00:00+01:00", None),
            ("yesterday", None),
            ("\ud800", None),
        ],
    )
    def test_times(self, said: str, read_as: datetime | None) -> None:
        """Times are UTC and aware; an unreadable one is None."""
        assert read(body(timeStamp=said)).time_stamp == read_as


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(), max_size=20) | st.sampled_from(sorted(EVENTS)),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=9), inner),
    max_leaves=8,
)  # fmt: skip
members = st.sampled_from(
    [
        "batchId",
        "settlementId",
        "caseId",
        "caseNumber",
        "orgId",
        "organizationId",
        "invoices",
        "fields",
        "status",
        "type",
        "invoiceId",
        "subject",
        "hint",
        "model_config",
    ]
)


def kept(text: str | None) -> bool:
    """Tell whether any database keeps this text."""
    return text is None or (0 < len(text) <= 200 and text.isprintable())


class TestLaws:
    """What holds for any bytes."""

    @given(st.binary(max_size=200), st.none() | st.text(max_size=10))
    @example(b'{"id":"1","type":"CASE","data":{"\\ud800":1}}', None)
    def test_any_bytes_are_read_or_malformed(self, sent: bytes, header: str | None) -> None:
        """`read` raises nothing but MalformedDelivery."""
        try:
            read(sent, header)
        except MalformedDelivery:
            return

    @given(
        st.fixed_dictionaries(
            {"id": st.text(min_size=1, max_size=5) | json_values},
            optional={
                "type": st.sampled_from(sorted(EVENTS)) | json_values,
                "eventType": json_values,
                "source": json_values,
                "timeStamp": json_values,
                "data": st.dictionaries(members, json_values) | json_values,
            },
        )
    )
    def test_whatever_is_read_can_be_kept(self, envelope: dict[str, Any]) -> None:
        """Every text of an event is printable and short, whatever came in."""
        try:
            event = read(json.dumps(envelope).encode())
        except MalformedDelivery:
            return
        texts = [event.event_id, event.type, event.source, event.organization_id]
        texts += [event.hint.status, event.hint.type]
        texts += [*(event.hint.invoices or ()), *event.hint.fields]
        if event.subject:
            texts += [event.subject.id, event.subject.case_number]
        assert all(kept(text) for text in texts)
        assert event.label in {*EVENTS, "other"}
