"""The client's pure parts: errors by status, waits, redaction, envelopes, paths."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.amili.client.envelopes import read_list, read_one
from service.amili.client.paths import fill
from service.amili.client.redaction import redact
from service.amili.client.refusals import ERRORS, error_class, refusal, retry_after
from service.amili.client.retries import retry_wait
from service.amili.client.tokens import token_life
from service.amili.client.wire import Answer
from service.amili.resources import Batch, Case
from service.errors import (
    Conflict,
    ContractBroken,
    Invalid,
    NotFound,
    ProviderBusy,
    ProviderDenied,
    ProviderError,
    ProviderRefused,
    ProviderUnreachable,
)

NOW = 1_776_000_000.0
BATCH = "/orgs/{organizationId}/batches/{batchId}"
DOCUMENTED = {400, 401, 403, 404, 409, 422, 423, 429, 500, 501, 502, 503}


def answer(status: int = 200, body: bytes = b"", **headers: str) -> Answer:
    """Make an answer; header names are written with underscores."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return Answer(status, named, body, "req-1")


class TestErrors:
    """Which error a status is."""

    def test_every_documented_status_is_in_the_table(self) -> None:
        """No status that Amili documents is left to chance."""
        assert set(ERRORS) >= DOCUMENTED

    @pytest.mark.parametrize(
        ("status", "kind"),
        [
            (400, Invalid),
            (401, ProviderDenied),
            (403, ProviderDenied),
            (404, NotFound),
            (409, Conflict),
            (418, ProviderRefused),
            (422, Invalid),
            (423, ProviderBusy),
            (429, ProviderBusy),
            (500, ProviderUnreachable),
            (501, ProviderRefused),
            (503, ProviderUnreachable),
            (599, ProviderUnreachable),
            (302, ContractBroken),
            (999, ContractBroken),
        ],
    )
    def test_status_to_class(self, status: int, kind: type[ProviderError]) -> None:
        """Each status has one class."""
        assert error_class(status) is kind

    def test_the_text_has_operation_status_and_request(self) -> None:
        """The text names what an operator needs, the body stays beside it."""
        error = refusal("pause_case", answer(409, b'{"x":"y"}'), now=NOW)
        assert str(error) == (
            "pause_case: Amili says that this conflicts with the present state."
            " (HTTP 409) [request req-1]"
        )
        assert error.body == '{"x":"y"}'

    @pytest.mark.parametrize(
        ("said", "seconds"),
        [
            ("7", 7.0),
            ("0", 0.0),
            ("1.5", 1.5),
            ("999999", 3600.0),
            ("Sun, 12 Apr 2026 13:20:30 GMT", 30.0),
            ("Sun, 12 Apr 2020 13:20:30 GMT", 0.0),
            ("Sun, 12 Apr 2099 13:20:30 GMT", 3600.0),
            ("-5", None),
            ("soon", None),
            ("", None),
            ("nan", None),
        ],
    )
    def test_retry_after(self, said: str, seconds: float | None) -> None:
        """Seconds and dates are read, bounded to an hour, nonsense is None."""
        assert retry_after({"Retry-After": said}, now=NOW) == seconds

    @given(st.text(max_size=40))
    def test_any_retry_after_is_read_or_none(self, said: str) -> None:
        """No header value is a crash."""
        seconds = retry_after({"Retry-After": said}, now=NOW)
        assert seconds is None or 0 <= seconds <= 3600


class TestRetries:
    """What the client tries again by itself."""

    @pytest.mark.parametrize("error", [ProviderUnreachable(), ProviderBusy()])
    def test_a_get_is_sent_three_times(self, error: ProviderError) -> None:
        """Two more tries, each after a short wait."""
        waits = [retry_wait("GET", error, tries) for tries in (1, 2, 3)]
        assert waits[2] is None
        assert all(wait is not None and 0 < wait <= 2 for wait in waits[:2])

    @pytest.mark.parametrize(("seconds", "wait"), [(2.0, 2.0), (0.0, 0.0), (2.1, None)])
    def test_long_waits_are_the_callers(self, seconds: float, wait: float | None) -> None:
        """What Amili asks for is kept, when it is short."""
        assert retry_wait("GET", ProviderBusy(retry_after=seconds), 1) == wait

    @pytest.mark.parametrize(
        "error", [ProviderDenied(), NotFound(), Conflict(), Invalid(), ContractBroken()]
    )
    def test_final_errors_are_final(self, error: ProviderError) -> None:
        """What another try does not mend is not tried again."""
        assert retry_wait("GET", error, 1) is None

    def test_a_post_is_repeated_only_when_nothing_was_sent(self) -> None:
        """Once, after a connection that never stood."""
        unsent = ProviderUnreachable(may_have_happened=False)
        assert retry_wait("POST", unsent, 1) is not None
        assert retry_wait("POST", unsent, 2) is None
        assert retry_wait("POST", ProviderUnreachable(), 1) is None
        assert retry_wait("POST", ProviderBusy(retry_after=0), 1) is None


class TestRedaction:
    """Error bodies without people."""

    @pytest.mark.parametrize(
        "body",
        [
            '{"firstname":"SECRET"}',
            '{"lastName" : "SECRET \\"the\\" SECRET"}',
            '{"debtors[0].firstname": ["SECRET is wrong"]}',
            '{"errors":[{"field":"email","value":"SECRET"}]}',
            '{"debtorName": "SECRET',
            '{"message":"got {\\"lastname\\":\\"SECRET\\"}"}',
            '{"address":{"street":"SECRET","zip":"SECRET"}}',
            '{"identificationNumber":12345}',
            "no such person: SECRET@example.org",
            "id 12345678901",
            "id 010190 12345",
            "+47 12 34 56 78",
        ],
    )
    def test_people_are_gone(self, body: str) -> None:
        """Names, addresses, numbers and e-mail addresses do not survive."""
        kept = redact(body.encode())
        assert "SECRET" not in kept
        assert "12345" not in kept
        assert "34 56" not in kept

    def test_what_helps_stays(self) -> None:
        """Codes and messages stay readable."""
        body = b'{"code":"E42","message":"invalid state","field":"firstname"}'
        assert redact(body) == body.decode()

    def test_it_is_cut(self) -> None:
        """4 KiB are kept, and no torn half of something that had to go."""
        kept = redact(b"x " * 2046 + b"12345678901")
        assert len(kept) <= 4096
        assert "1" not in kept

    @given(st.binary(max_size=300))
    def test_any_bytes_are_text(self, body: bytes) -> None:
        """No body is a crash, and none leaves a long number."""
        assert not any(run.isdigit() and len(run) > 5 for run in redact(body).split())


class TestEnvelopes:
    """From an answer to records."""

    def test_one_record(self) -> None:
        """A record keeps its exact text."""
        body = b'{"summary":{"status":"SUCCESS"},"data":{"batchId":"b","status":"X","n":1.50}}'
        fetched = read_one("get_batch_by_id", answer(200, body), Batch)
        assert fetched.value.batch_id == "b"
        assert fetched.raw == '{"batchId":"b","status":"X","n":1.50}'

    @pytest.mark.parametrize(("token", "read"), [("t", "t"), ("", None), (None, None), (7, "7")])
    def test_pages(self, token: object, read: str | None) -> None:
        """The last page has no token, or an empty one."""
        summary = {"nextPageToken": token}
        body = json.dumps({"summary": summary, "data": [{"caseId": "c", "caseNumber": 1}]})
        cases, found = read_list("op", answer(200, body.encode()), Case)
        assert ([case.value.case_id for case in cases], found) == (["c"], read)

    @pytest.mark.parametrize(
        "body",
        [
            b"",
            b"<html>",
            b"[]",
            b'{"summary":{}}',
            b'{"data":[]}',
            b'{"data":null}',
            b'{"data":{"batchId":["Ola"],"status":"X"}}',
            b'{"data":{"batchId":"b"}}',
            b'{"data":{"batchId":"b","status":"X","\\ud800":1}}',
        ],
    )
    def test_anything_else_breaks_the_contract(self, body: bytes) -> None:
        """An answer that cannot be read says where, not what."""
        with pytest.raises(ContractBroken) as caught:
            read_one("op", answer(200, body), Batch)
        assert "Ola" not in str(caught.value)
        assert "[request req-1]" in str(caught.value)
        str(caught.value).encode()


class TestPaths:
    """Ids in paths."""

    def test_ids_are_quoted(self) -> None:
        """An id is one segment, whatever is in it."""
        ids = {"organizationId": "a/b?c#d", "batchId": "å %2F"}
        assert fill("op", BATCH, ids) == "/orgs/a%2Fb%3Fc%23d/batches/%C3%A5%20%252F"

    @pytest.mark.parametrize("bad", ["", ".", "..", "x" * 201, "a\nb", "\ud800"])
    def test_ids_that_lead_elsewhere_are_not_sent(self, bad: str) -> None:
        """An empty or dotted id would address another resource."""
        with pytest.raises(Invalid, match="batchId cannot stand in a path"):
            fill("op", BATCH, {"organizationId": "o", "batchId": bad})


@pytest.mark.parametrize(
    ("said", "life"),
    [
        ({"expires_in": 3600, "expires_on": NOW + 3600}, 3600),
        ({"expires_in": "3600"}, 3600),
        ({"expires_on": NOW + 100}, 100),
        ({"expires_in": 3600, "expires_on": NOW - 7200}, 3600),
        ({"expires_in": None}, 60),
        ({}, 60),
    ],
)
def test_token_life(said: dict[str, object], life: float) -> None:
    """The shorter of both is believed, but no time that is over already."""
    assert token_life(said, NOW) == life
