"""Every error of the house, in one tree.

    AmiliEventsError
    ├── ConfigError                 the process must not start
    ├── IntakeError                 the door says no
    │   ├── NotJson                 the content type is not JSON
    │   ├── BodyTooLarge
    │   ├── BodyTooSlow
    │   ├── SignatureError          carries the reason, for log and metric only
    │   │   └── StaleDelivery       signed too long ago, or in the future
    │   ├── MalformedDelivery       authentic, but not an envelope
    │   └── NothingDurable          our fault: neither Redis nor the spool took it
    ├── StillRefused                a replayed delivery is refused again: carries the reason
    ├── ProviderError               carries operation, status, request_id, retryable, retry_after
    │   ├── ProviderUnreachable     retryable: no connection, time-out, 5xx
    │   │   └── CircuitOpen         not even tried: it failed too often
    │   ├── ProviderBusy            retryable: 423, 429
    │   ├── ProviderDenied          401, 403: pages a human
    │   ├── ProviderRefused         final: the other 4xx, 501
    │   │   ├── NotFound  ├── Conflict  └── Invalid
    │   └── ContractBroken          an answer that our models cannot read
    ├── NotYet                      retryable: the event came before the fact it builds on
    │   └── NotShown                Amili lists no such record (yet)
    ├── WorkerDied                  whoever worked on it is gone, again and again
    ├── SubmissionRefused           a file or body is not fit to be sent: carries its problems
    │   └── SubmissionChanged       it is not what was examined
    └── StoreError
        ├── RecordMissing
        ├── SchemaMismatch          the database is older than this code
        ├── StoreUnavailable        the database did not answer
        ├── DataKeyLacking          it is sealed with a key that we do not have
        ├── StoreContended          another transaction was in the way: the same one may succeed now
        └── StoreRefused            the database refuses these values

A class's docstring is its default message. No error carries personal data:
texts name operations, statuses and ids only.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any


class AmiliEventsError(Exception):
    """Something went wrong in amili-events."""

    def __init__(self, message: str | None = None) -> None:
        super().__init__(message or (self.__doc__ or "").strip())


class ConfigError(AmiliEventsError):
    """A setting is missing or wrong."""


# --- the door -------------------------------------------------------------


class IntakeError(AmiliEventsError):
    """The delivery was refused."""

    outcome = "refused"


class NotJson(IntakeError):
    """The content type must be application/json."""

    outcome = "not_json"


class BodyTooLarge(IntakeError):
    """The body is larger than this endpoint accepts."""

    outcome = "too_large"


class BodyTooSlow(IntakeError):
    """The body did not arrive in time."""

    outcome = "too_slow"


class SignatureError(IntakeError):
    """The signature does not prove that this delivery is Amili's."""

    outcome = "bad_signature"

    def __init__(self, reason: str) -> None:
        super().__init__()
        #: One of a small closed set: no_header, ambiguous, undecodable,
        #: no_secret_matched, too_old, in_future. For log and metric only.
        self.reason = reason


class StaleDelivery(SignatureError):
    """The signature is outside the accepted time window."""


class MalformedDelivery(IntakeError):
    """The body is not an event envelope."""

    outcome = "malformed"


class NothingDurable(IntakeError):
    """The delivery could not be written durably; send it again."""

    outcome = "unavailable"


class StillRefused(AmiliEventsError):
    """The door refuses this delivery again."""

    def __init__(self, reason: str) -> None:
        super().__init__(f"The door refuses it again: {reason}.")
        #: As in the metrics: a reason of SignatureError, or an outcome.
        self.reason = reason


# --- Amili's API ----------------------------------------------------------


class ProviderError(AmiliEventsError):
    """Amili's API did not do what was asked."""

    #: Another try may succeed.
    retryable = False
    #: The request may have had its effect although no answer says so.
    may_have_happened = False

    def __init__(  # noqa: PLR0913 - what an answer told, each by name
        self,
        message: str | None = None,
        *,
        operation: str = "",
        status: int | None = None,
        request_id: str | None = None,
        retry_after: float | None = None,
        body: str = "",
        may_have_happened: bool | None = None,
    ) -> None:
        said = f"{operation or 'call'}: {message or (self.__doc__ or '').strip()}"
        if status is not None:
            said += f" (HTTP {status})"
        if request_id:
            said += f" [request {request_id}]"
        super().__init__(said)
        self.operation = operation
        self.status = status
        self.request_id = request_id
        #: Seconds that the provider asked us to wait; None when it did not say.
        self.retry_after = retry_after
        #: The answer's body, cut at 4 KiB and redacted; never part of the text.
        self.body = body
        if may_have_happened is not None:
            self.may_have_happened = may_have_happened


class ProviderUnreachable(ProviderError):
    """Amili could not be reached or answered with a server error."""

    retryable = True
    may_have_happened = True


class CircuitOpen(ProviderUnreachable):
    """Amili failed too often; no call is made until it has been tried again."""

    may_have_happened = False


class ProviderBusy(ProviderError):
    """Amili asks us to wait."""

    retryable = True


class ProviderDenied(ProviderError):
    """Amili does not accept our credentials."""

    # Everybody is denied alike until a human mends it: no event may be dead by then.
    retryable = True


class ProviderRefused(ProviderError):
    """Amili refused the request."""


class NotFound(ProviderRefused):
    """Amili does not know this."""


class Conflict(ProviderRefused):
    """Amili says that this conflicts with the present state."""


class Invalid(ProviderRefused):
    """Amili says that the request is not valid."""


class ContractBroken(ProviderError):
    """Amili's answer is not of the form that the contract gives it."""


class NotYet(AmiliEventsError):
    """The fact that this event builds on is not visible yet."""

    retryable = True


class NotShown(NotYet):
    """Amili does not show this yet."""


class WorkerDied(AmiliEventsError):
    """The process that worked on this died every time."""


# --- what is handed over -----------------------------------------------------


class SubmissionRefused(AmiliEventsError):
    """The file or body is not fit to be sent."""

    def __init__(self, message: str | None = None, problems: Sequence[Any] = ()) -> None:
        super().__init__(message or "\n".join(str(problem) for problem in problems))
        #: What is wrong: a `service.submitting.problems.Problem` each.
        self.problems: tuple[Any, ...] = tuple(problems)


class SubmissionChanged(SubmissionRefused):
    """The file changed after it was examined: nothing was sent, start again."""


# --- our own state --------------------------------------------------------


class StoreError(AmiliEventsError):
    """The database refused."""


class RecordMissing(StoreError):
    """There is no such record."""


class SchemaMismatch(StoreError):
    """The database schema is older than this code: run `amili-events migrate`."""


class StoreUnavailable(StoreError):
    """The database did not answer."""


class DataKeyLacking(StoreError):
    """AMILI_DATA_KEY_FILE lacks the key that sealed this: add the former key below the first."""


class StoreContended(StoreError):
    """Another transaction was in the way."""


class StoreRefused(StoreError):
    """The database refuses these values."""
