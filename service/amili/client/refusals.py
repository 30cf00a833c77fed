"""From an HTTP status to an error of the house: one table. Pure."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from datetime import UTC
from email.utils import parsedate_to_datetime

from service.amili.client.redaction import redact
from service.amili.client.wire import Answer
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

#: The statuses that Amili documents [seed, doc], and 408, 425, 504, which say «later»; the
#: rest follows from the class.
ERRORS: dict[int, type[ProviderError]] = {
    400: Invalid,
    401: ProviderDenied,
    403: ProviderDenied,
    404: NotFound,
    408: ProviderBusy,
    409: Conflict,
    422: Invalid,
    423: ProviderBusy,
    425: ProviderBusy,
    429: ProviderBusy,
    500: ProviderUnreachable,
    501: ProviderRefused,
    502: ProviderUnreachable,
    503: ProviderUnreachable,
    504: ProviderUnreachable,
}
LONGEST_WAIT = 3600.0


def refusal(
    operation: str, answer: Answer, *, now: float, kind: type[ProviderError] | None = None
) -> ProviderError:
    """Make the error that an answer other than 2xx means, or one of the given kind."""
    return (kind or error_class(answer.status))(
        operation=operation,
        status=answer.status,
        request_id=answer.request_id,
        retry_after=retry_after(answer.headers, now=now),
        body=redact(answer.body),
    )


def error_class(status: int) -> type[ProviderError]:
    """Name the error of a status; one that HTTP does not give here breaks the contract."""
    if status in ERRORS:
        return ERRORS[status]
    if 400 <= status < 500:
        return ProviderRefused
    return ProviderUnreachable if 500 <= status < 600 else ContractBroken


def retry_after(headers: Mapping[str, str], *, now: float) -> float | None:
    """Read `Retry-After`, seconds or a date, as seconds from `now`: at most an hour, or None."""
    said = headers.get("Retry-After", "").strip()
    if re.fullmatch(r"[0-9]{1,9}(\.[0-9]{1,9})?", said):
        return min(float(said), LONGEST_WAIT)
    try:
        at = parsedate_to_datetime(said)
        seconds = (at if at.tzinfo else at.replace(tzinfo=UTC)).timestamp() - now
    except (ValueError, TypeError, OverflowError, IndexError):
        return None
    return min(max(seconds, 0.0), LONGEST_WAIT) if math.isfinite(seconds) else None
