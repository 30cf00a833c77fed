"""Errors as RFC 9457 problem details; the only place that knows their HTTP statuses."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from service import errors
from service.desk.writing import NotPossible
from service.errors import AmiliEventsError


class BadRequest(AmiliEventsError):
    """A part of the request is malformed."""


class Unfit(NotPossible):
    """The body is not what this endpoint takes."""


#: The most special class first.
STATUSES: tuple[tuple[type[Exception], int, str], ...] = (
    (errors.NotJson, 415, "Unsupported media type"),
    (errors.BodyTooLarge, 413, "Content too large"),
    (errors.BodyTooSlow, 408, "Request timeout"),
    (errors.SignatureError, 401, "Signature not accepted"),
    (errors.MalformedDelivery, 400, "Malformed delivery"),
    (errors.NothingDurable, 503, "Not stored"),
    (errors.RecordMissing, 404, "Not found"),
    (BadRequest, 400, "Bad request"),
    (Unfit, 422, "Unfit body"),
    (NotPossible, 422, "Not possible"),
    (errors.SubmissionRefused, 422, "Not fit to be sent"),
    (errors.StillRefused, 422, "Still refused"),
    (errors.DataKeyLacking, 503, "Data key lacking"),
    (errors.StoreError, 503, "Database unavailable"),
)
RETRY_AFTER_SECONDS = 5


def problem(
    status: int,
    title: str,
    detail: str | None = None,
    headers: Mapping[str, str] | None = None,
    *,
    members: Mapping[str, Any] | None = None,
) -> Response:
    """Make a problem answer, with members of its own; every 503 says when to come again."""
    body: dict[str, Any] = {"type": "about:blank", "title": title, "status": status}
    body |= members or {}
    if detail:
        body["detail"] = detail
    more = dict(headers or {})
    if status == 503:
        more.setdefault("Retry-After", str(RETRY_AFTER_SECONDS))
    if status == 401:
        more.setdefault("WWW-Authenticate", "Signature" if "ignature" in title else "Bearer")
    return Response(json.dumps(body), status, more, media_type="application/problem+json")


def of_error(error: Exception) -> Response:
    """Turn one of our errors into its answer; anything else is our fault, and a 503."""
    for kind, status, title in STATUSES:
        if isinstance(error, kind):
            return problem(status, title, str(error))
    return problem(503, "Unexpected fault", "Something went wrong here; send it again.")


def on_http_exception(request: Request, exc: Exception) -> Response:
    """Answer Starlette's own refusals (404, 405) in the same form."""
    if not isinstance(exc, HTTPException):
        return of_error(exc)
    return problem(exc.status_code, exc.detail, headers=exc.headers)


def on_error(request: Request, exc: Exception) -> Response:
    """Answer an error that an API endpoint raised."""
    return of_error(exc)


def on_disconnect(request: Request, exc: Exception) -> Response:
    """Answer who has hung up: nobody hears it, and it is no fault of ours."""
    return Response(status_code=400)
