"""What each operation of the API is, beyond what its route says: one row for each of them.

A row says nothing twice: ids in paths, tokens, keys and the usual refusals follow from the
route and are put in by `describing`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from pydantic import BaseModel

from service.amili.requests import NewCorrection, NewInvoice, NewPayment
from service.desk.reading import MOST
from service.domain.actions import ActionState
from service.domain.deliveries import EventState
from service.domain.submissions import SubmissionKind
from service.web.api import answers
from service.web.api.asked import PRINTABLE, WORD
from service.web.api.cases import HoldRequest
from service.web.api.events import SINCE, ReplayRequest
from service.web.api.operations import ANSWERS, AnswerRequest, WithdrawRequest

Schema = dict[str, Any]

TEXT: Schema = {"type": "string", "pattern": PRINTABLE}
NUMBER: Schema = {"type": "string", "pattern": "^[0-9]{1,18}$"}
FLAG: Schema = {"type": "boolean", "default": False}
PAGE: dict[str, Schema] = {
    "limit": {"type": "integer", "minimum": 1, "maximum": MOST, "default": 50}
}
#: Lists that go on after an id, and lists that go on after a number.
BY_ID = PAGE | {"after": TEXT}
BY_NUMBER = PAGE | {"after": NUMBER}


@dataclass(frozen=True, slots=True)
class Described:
    """One operation."""

    summary: str
    #: What a good answer is: a model, or several of which each item of a page is one.
    answer: type[BaseModel] | tuple[type[BaseModel], ...] | None = None
    status: int = 200
    is_page: bool = False
    query: Mapping[str, Schema] = field(default_factory=dict)
    body: type[BaseModel] | None = None
    #: None at all will do.
    may_be_empty: bool = False
    #: A list of these under this name, or alone, each an item to be handed over.
    items: tuple[str, type[BaseModel]] | None = None
    #: A POST that is only refused for what it names, never for the state of things.
    always_possible: bool = False
    #: It is answered from memory: no store can be away.
    needs_no_store: bool = False
    #: Statuses of refusals that the route does not tell.
    also: Sequence[int] = ()
    #: A good answer of another status, with its meaning.
    or_else: tuple[int, type[BaseModel]] | None = None


def page(summary: str, *kinds: type[BaseModel], query: Mapping[str, Schema]) -> Described:
    """Describe a list."""
    return Described(summary, kinds, is_page=True, query=query)


def asking(words: str) -> Described:
    """Describe a question to Amili about a case."""
    return Described(words, answers.Action, 202, body=AnswerRequest, may_be_empty=True)


def handing_over(kind: SubmissionKind, item: type[BaseModel]) -> Described:
    """Describe how items are handed over."""
    return Described(
        f"Hand over {kind}; all or nothing is taken. With dryRun they are only checked.",
        answers.SubmissionPlaced,
        202,
        query={"dryRun": FLAG, "organizationId": WORD},
        items=(str(kind), item),
        also=(413, 415),
        or_else=(200, answers.Examined),
    )


HOLD = Described("Place a hold on a case: it is paused.", answers.Hold, 201, body=HoldRequest)

#: "METHOD path", as the route writes it.
OPERATIONS: Mapping[str, Described] = {
    "GET /openapi.json": Described("This document.", needs_no_store=True),
    "GET /events": page(
        "List events, newest first.",
        answers.Event,
        query=BY_NUMBER
        | {
            "state": WORD | {"examples": sorted(EventState)},
            "type": WORD,
            "error": WORD | {"description": "A part of the last error."},
            "since": SINCE,
        },
    ),
    "POST /events/replay": Described(
        "Have dead letters worked on again, some at a time.",
        answers.DeadReplayed,
        202,
        body=ReplayRequest,
        may_be_empty=True,
    ),
    "GET /events/{id:path}": Described("Show an event.", answers.EventShown),
    "POST /events/{id:path}/replay": Described(
        "Have an event worked on again.", answers.Replayed, 202
    ),
    "GET /batches/{id}": Described("Show a batch.", answers.Batch),
    "GET /invoices": page(
        "List invoices by id.",
        answers.Invoice,
        query=BY_ID | {"invoiceNumber": TEXT, "uniqueSourceInvoiceId": TEXT, "caseId": TEXT},
    ),
    "GET /invoices/{id}": Described("Show an invoice.", answers.Invoice),
    "GET /settlements": page("List settlements by id.", answers.Settlement, query=BY_ID),
    "GET /settlements/{id}": Described("Show a settlement.", answers.Settlement),
    "GET /cases": page(
        "List cases, newest registered first; with adrift, those not as their holds ask for.",
        answers.Case,
        query=BY_ID | {"status": TEXT, "caseNumber": TEXT, "adrift": FLAG},
    ),
    "GET /cases/{id}": Described("Show a case.", answers.Case),
    "GET /cases/{id}/timeline": page(
        "Show everything that happened to a case, oldest first.",
        *(answers.EventStep, answers.DecisionStep, answers.ActionStep, answers.HoldStep),
        query={},
    ),
    "POST /cases/{id}/holds": HOLD,
    "POST /cases/{id}/pause": HOLD,
    "DELETE /cases/{id}/holds/{hold}": Described("Release a hold.", status=204),
    "POST /cases/{id}/resume": Described(
        "Release every hold that a person placed.", answers.Resumed, always_possible=True
    ),
    "POST /cases/{id}/withdraw": Described(
        "Have Amili end its work on a case, for good.", answers.Action, 202, body=WithdrawRequest
    ),
    **{
        f"POST /cases/{{id}}/{path}": asking(f"Answer Amili: {kind}.")
        for path, kind in ANSWERS.items()
    },
    "GET /actions": page(
        "List the ledger, newest first.",
        answers.Action,
        query=BY_NUMBER
        | {"caseId": TEXT, "state": TEXT | {"examples": [str(each) for each in ActionState]}},
    ),
    "GET /actions/{id}": Described("Show an action.", answers.Action),
    "POST /actions/{id}/cancel": Described(
        "Take a request back that was never sent.", answers.Action
    ),
    "POST /actions/{id}/resend": Described(
        "Have a request sent again of which nobody knows whether it arrived.", answers.Action, 202
    ),
    "GET /holds": page(
        "List holds, newest first; with all, those too that have ended.",
        answers.Hold,
        query=BY_ID | {"all": FLAG, "caseId": TEXT},
    ),
    "POST /invoices": handing_over(SubmissionKind.INVOICES, NewInvoice),
    "POST /payments": handing_over(SubmissionKind.PAYMENTS, NewPayment),
    "POST /corrections": handing_over(SubmissionKind.CORRECTIONS, NewCorrection),
    "GET /submissions": Described(
        "List what was handed over, newest first.",
        (answers.Submission,),
        is_page=True,
        query=BY_ID | {"kind": {"type": "string", "enum": [str(each) for each in SubmissionKind]}},
        also=(404,),
    ),
    "GET /submissions/{id}": Described("Show a submission.", answers.SubmissionShown),
    "DELETE /submissions/{id}": Described(
        "Forget a submission that was never completed.", status=204, also=(422,)
    ),
    "POST /submissions/{id}/resend": Described(
        "Have calls sent again of which nobody knows whether they arrived.",
        answers.SubmissionShown,
        202,
    ),
    "GET /quarantine": page(
        "List refused deliveries, newest first.",
        answers.Quarantined,
        query=BY_NUMBER | {"reason": TEXT},
    ),
    "POST /quarantine/{id}/replay": Described(
        "Send a refused delivery through the door once more.", answers.Accepted, 202
    ),
}
