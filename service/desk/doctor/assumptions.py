"""Every assumption about Amili, as data: where it stands, and what is assumed.

Those with a field of `service.amili.contract` are corrected by its variable; the rest stands in
code that bears either answer. A test compares this list with the contract's own marks.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from service.amili.contract import PREFIX, Contract

Verdict = Literal["confirmed", "contradicted", "not seen"]

#: Fields of the contract that are assumed. Their words stand there.
FIELDS = (
    "signature_scheme",
    "signature_tolerance_seconds",
    "standard_id_header",
    "standard_timestamp_header",
    "standard_signature_header",
    "idempotency_header",
    "read_lag_seconds",
    "path_pause_case",
    "path_resume_case",
    "path_withdraw_case",
    "path_accept_debt_collection_list",
    "path_reject_debt_collection_list",
    "path_accept_eviction_request",
    "path_reject_eviction_request",
    "path_accept_eviction_confirmation",
    "path_reject_eviction_confirmation",
    "case_reason_member",
    "case_comment_member",
    "payment_date_member",
    "payment_reference_member",
    "legacy_base_url",
    "path_legacy_batch",
    "path_legacy_attachment",
    "path_legacy_ping",
)

#: Assumptions that stand in code.
IN_CODE: Mapping[str, str] = {
    "last_page": "The last page of a list has no nextPageToken, or an empty one.",
    "case_number": "The API writes a case's number as a number, webhooks as text [doc].",
    "token_errors": "The token host refuses as OAuth 2.0 says: `error`, `error_description`.",
    "token_life": "Of a token whose answer tells no life, or tells it as text, the shorter counts.",
    "error_body": "An error's body may be anything; nothing is decided by it.",
    "request_id": "Answers carry X-Amili-Request-Id, as webhooks do.",
    "retry_after": "429 and 423 may carry Retry-After; without it we back off with jitter.",
    "case_answer": "A case operation is answered 2xx without a body.",
    "already_so": "409 on pause and resume may mean «already so»: the case is read to know.",
    "company_debtor": "A debtor is PRIVATE or COMPANY.",
    "invoice_amounts": "An invoice that is read by itself tells its amounts.",
    "failed_members": "failed[] of a batch has invoiceNumber, uniqueSourceInvoiceId, errors[].",
    "settlement_amounts": "A settlement tells amounts after exchangeRate.",
    "closed_status": "A case that has ended has the status CLOSED.",
    "times": "A time without an offset is UTC.",
    "same_id": "`id` and IdempotencyKey of an event stay the same, body and all, over retries.",
    "any_2xx": "Any 2xx is the answer that Amili expects.",
    "retries": "Webhooks come at least once, in any order; an endpoint that fails is switched off.",
}


@dataclass(frozen=True, slots=True)
class Judged:
    """One assumption and what is known about it by now."""

    name: str
    words: str
    verdict: Verdict
    evidence: str
    #: The variable by which it is corrected; '' for what stands in code.
    variable: str = ""


class Evidence:
    """Collects what speaks for and against each assumption. Raises KeyError for unknown names."""

    def __init__(self) -> None:
        names = (*FIELDS, *IN_CODE)
        self._said: dict[str, list[tuple[Verdict, str]]] = {name: [] for name in names}

    def confirm(self, name: str, words: str) -> None:
        """Something was seen that must be so if the assumption holds, and hardly otherwise."""
        self._said[name].append(("confirmed", words))

    def contradict(self, name: str, words: str) -> None:
        """Something was seen that cannot be so if the assumption holds."""
        self._said[name].append(("contradicted", words))

    def note(self, name: str, words: str) -> None:
        """Something was seen that decides nothing."""
        self._said[name].append(("not seen", words))

    def judged(self) -> list[Judged]:
        """Judge every assumption: one contradiction outweighs any confirmation."""
        return [self._judge(name) for name in self._said]

    def _judge(self, name: str) -> Judged:
        order: tuple[Verdict, ...] = ("contradicted", "confirmed", "not seen")
        said = self._said[name]
        seen = {each for each, _ in said} | {order[-1]}
        verdict = next(each for each in order if each in seen)
        evidence = " ".join(words for v, words in said if v == verdict) or "Nothing seen yet."
        if name in IN_CODE:
            return Judged(name, IN_CODE[name], verdict, evidence)
        words = (Contract.model_fields[name].description or "").removeprefix("[assumed] ")
        return Judged(name, words, verdict, evidence, f"{PREFIX}{name.upper()}")
