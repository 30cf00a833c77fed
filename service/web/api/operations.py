"""What is asked of Amili about a case: withdraw it, answer a list or an eviction.

The answer is 202 with the action of the ledger: workers make the call, and reads confirm it.
"""

from __future__ import annotations

from collections.abc import Mapping

from pydantic import BaseModel, ConfigDict, StrictBool
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from service.desk import shapes
from service.desk.asking import NewRequest
from service.domain.actions import ActionKind
from service.web.api.asked import Endpoint, Word, body_of, key_of
from service.web.api.desks import Desk
from service.web.problems import Unfit

#: Path below a case → what is asked for; each takes an optional reason.
ANSWERS: Mapping[str, ActionKind] = {
    "debt-collection-list/accept": ActionKind.ACCEPT_DEBT_COLLECTION_LIST,
    "debt-collection-list/reject": ActionKind.REJECT_DEBT_COLLECTION_LIST,
    "eviction-request/accept": ActionKind.ACCEPT_EVICTION_REQUEST,
    "eviction-request/reject": ActionKind.REJECT_EVICTION_REQUEST,
    "eviction-confirmation/accept": ActionKind.ACCEPT_EVICTION_CONFIRMATION,
    "eviction-confirmation/reject": ActionKind.REJECT_EVICTION_CONFIRMATION,
}
UNCONFIRMED = (
    'confirm: withdrawing ends Amili\'s work on the case and cannot be undone: send "confirm": true'
)


class AnswerRequest(BaseModel):
    """The body of an answer to a list or an eviction; none at all will do."""

    model_config = ConfigDict(extra="forbid")

    reason: Word | None = None


class WithdrawRequest(BaseModel):
    """The body of `POST /cases/{caseId}/withdraw`."""

    model_config = ConfigDict(extra="forbid")

    reason: Word
    confirm: StrictBool = False


def routes(desk: Desk) -> list[Route]:
    """Make the routes of the case operations."""

    async def ask(request: Request, kind: ActionKind, reason: str) -> Response:
        wish = NewRequest(request.path_params["id"], kind, reason, key_of(request))
        action = await run_in_threadpool(desk.asking.ask, wish)
        return JSONResponse(shapes.action(action), 202)

    async def withdraw(request: Request) -> Response:
        wish = await body_of(request, WithdrawRequest)
        if not wish.confirm:
            raise Unfit(UNCONFIRMED)
        return await ask(request, ActionKind.WITHDRAW_CASE, wish.reason)

    def answering(kind: ActionKind) -> Endpoint:
        async def answer(request: Request) -> Response:
            wish = await body_of(request, AnswerRequest, may_be_empty=True)
            return await ask(request, kind, wish.reason or "")

        return answer

    return [
        Route("/cases/{id}/withdraw", withdraw, methods=["POST"]),
        *(
            Route(f"/cases/{{id}}/{path}", answering(kind), methods=["POST"])
            for path, kind in ANSWERS.items()
        ),
    ]
