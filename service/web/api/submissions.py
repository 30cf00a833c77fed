"""Handing over invoices, payments and corrections, and what became of them.

A body is checked as a whole before anything is kept; the answer is 202 with the submission,
which workers send chunk by chunk.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from service.desk.handing_over import NewSubmission
from service.domain.submissions import SubmissionKind
from service.errors import BodyTooLarge, NotJson
from service.submitting.examining import Report, examine_body
from service.submitting.giving import read_body
from service.submitting.problems import Problem
from service.web.api.asked import Endpoint, key_of, listed, showing
from service.web.api.desks import Desk
from service.web.problems import BadRequest, problem

#: What is larger is handed over by file, or in parts.
LARGEST_BODY = 16 * 1024 * 1024
JSON = "application/json"
DRY: Mapping[str, bool] = {"1": True, "true": True, "0": False, "false": False}


def routes(desk: Desk) -> list[Route]:
    """Make the routes of submissions."""

    async def resend(request: Request) -> Response:
        name = request.path_params["id"]
        await run_in_threadpool(desk.handover.resend, name, key_of(request))
        return JSONResponse(await run_in_threadpool(desk.submissions.show, name), 202)

    async def discard(request: Request) -> Response:
        await run_in_threadpool(desk.handover.discard, request.path_params["id"])
        return Response(status_code=204)

    async def all_of_them(request: Request) -> Response:
        asked = request.query_params
        kind = asked.get("kind")
        if kind is not None and kind not in list(SubmissionKind):
            raise BadRequest(f"`kind` is one of: {', '.join(SubmissionKind)}.")
        return await listed(request, desk.submissions.list, kind=kind, after=asked.get("after"))

    return [
        *(Route(f"/{kind}", submitting(desk, kind), methods=["POST"]) for kind in SubmissionKind),
        Route("/submissions", all_of_them),
        Route("/submissions/{id}", showing(desk.submissions.show)),
        Route("/submissions/{id}", discard, methods=["DELETE"]),
        Route("/submissions/{id}/resend", resend, methods=["POST"]),
    ]


def submitting(desk: Desk, kind: SubmissionKind) -> Endpoint:
    """Make the endpoint that takes `{"invoices": [...]}` and the like."""

    async def submit(request: Request) -> Response:
        demand_json(request)
        key, dry = key_of(request), is_dry(request)
        body = await whole_body(request)
        unknown = desk.reading.unknown_invoices
        report = await run_in_threadpool(examine_body, body, kind, desk.rules, unknown)
        if not report.fit:
            return refused(report)
        if dry:
            return JSONResponse(told(report))
        wish = NewSubmission(
            kind=kind,
            organization_id=whose(request, desk),
            # Without a key the body is its own: sent twice it is the same submission.
            key=key or f"body:{report.digest.hex()}",
            digest=report.digest,
            items=report.count,
        )

        def place() -> Any:
            placed = desk.handover.place(wish, read_body(body, kind))
            return desk.submissions.show(placed.submission_id) | {
                "warnings": [shape(each) for each in report.problems]
            }

        shown = await run_in_threadpool(place)
        where = {"Location": f"/api/v1/submissions/{shown['submissionId']}"}
        return JSONResponse(shown, 202, where)

    return submit


def demand_json(request: Request) -> None:
    """Raise NotJson when the content type names something else; it may be left away."""
    said = request.headers.get("content-type", JSON).partition(";")[0].strip().lower()
    if said != JSON and not (said.startswith("application/") and said.endswith("+json")):
        raise NotJson("Send JSON (Content-Type: application/json); files go by `amili-events`.")


def is_dry(request: Request) -> bool:
    """Say whether it is only to be checked. Raises BadRequest for what is neither yes nor no."""
    said = request.query_params.get("dryRun", "false").lower()
    if said not in DRY:
        raise BadRequest("`dryRun` is true or false.")
    return DRY[said]


def whose(request: Request, desk: Desk) -> str:
    """Name the organization: the one asked for, or the only one of ours. Raises BadRequest."""
    ours = desk.organization_ids
    given = request.query_params.get("organizationId")
    if given is not None:
        if ours and given not in ours:
            raise BadRequest("`organizationId` is none of AMILI_ORGANIZATION_IDS.")
        if not (0 < len(given) <= 200 and given.isprintable()):
            raise BadRequest("`organizationId` consists of 1 to 200 printable characters.")
        return given
    if len(ours) != 1:
        raise BadRequest("Whose? Send `?organizationId=…`, or set AMILI_ORGANIZATION_IDS to one.")
    return ours[0]


async def whole_body(request: Request) -> bytes:
    """Read a submission. Raises BodyTooLarge."""
    parts: list[bytes] = []
    size = 0
    async for part in request.stream():
        size += len(part)
        if size > LARGEST_BODY:
            limit = LARGEST_BODY // 1024 // 1024
            raise BodyTooLarge(
                f"The body is larger than {limit} MiB: send it in parts, or by `amili-events`."
            )
        parts.append(part)
    return b"".join(parts)


def refused(report: Report) -> Response:
    """Answer what may not be sent: every problem, by line, column, item and member."""
    errors = "1 error" if report.errors == 1 else f"{report.errors} errors"
    detail = f"{errors}: nothing was sent."
    members = {"errors": [shape(each) for each in report.problems], "count": report.errors}
    return problem(422, "Not fit to be sent", detail, members=members)


def shape(each: Problem) -> Mapping[str, Any]:
    """Shape one problem."""
    return {
        "line": each.line,
        "column": each.column,
        "position": each.position,
        "field": each.field,
        "message": each.message,
        "severity": str(each.severity),
    }


def told(report: Report) -> Mapping[str, Any]:
    """Shape what a dry run found."""
    return {
        "kind": str(report.kind),
        "count": report.count,
        "totals": {currency: format(amount, "f") for currency, amount in report.totals.items()},
        "warnings": [shape(each) for each in report.problems],
    }
