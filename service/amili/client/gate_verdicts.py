"""From the end of a call to what it showed about the host. Pure."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

from service.amili.client.gate_words import Verdict
from service.amili.client.refusals import error_class, retry_after
from service.amili.client.wire import Answer, Request
from service.errors import ProviderError, ProviderUnreachable

TOO_MANY = 429
UNAVAILABLE = 503


@dataclass(slots=True)
class Shown:
    """What a call has shown so far; nothing before anything was sent."""

    verdict: Verdict = Verdict.UNTRIED
    #: Seconds for which the host wants to be left alone by everybody.
    wait: float = 0.0
    #: A digest of the request, if it arrived and the answer was 429, a server error, or none.
    about: str = ""

    def begin(self) -> None:
        """Note that the request is being sent: from now on it counts, whatever comes."""
        self.verdict = Verdict.GIVEN_UP

    def by_answer(self, request: Request, answer: Answer, *, now: float) -> None:
        """Learn from an answer; 423 and its `Retry-After` are about one case, not the host."""
        self.verdict, self.wait = verdict_of(answer.status), 0.0
        self.about = "" if self.verdict is Verdict.ALIVE else digest(request)
        if answer.status in (TOO_MANY, UNAVAILABLE):
            self.wait = retry_after(answer.headers, now=now) or 0.0

    def by_error(self, request: Request, error: ProviderError) -> None:
        """Learn from a call that ended without an answer, or with one that is too large."""
        is_away = isinstance(error, ProviderUnreachable)
        self.verdict, self.wait = Verdict.FAILED if is_away else Verdict.ALIVE, 0.0
        self.about = digest(request) if is_away and error.may_have_happened else ""


def verdict_of(status: int) -> Verdict:
    """Say what a status shows: a refusal, 501 too, is the answer of a host that is well."""
    if status == TOO_MANY:
        return Verdict.THROTTLED
    return Verdict.FAILED if error_class(status) is ProviderUnreachable else Verdict.ALIVE


def digest(request: Request) -> str:
    """Name a request, so that it is known again and tells nothing of what it is about.

    Its body belongs to it: all that is handed over for one organization goes to one URL.
    """
    words = repr((request.method, request.url, request.params, request.body))
    return hashlib.blake2b(words.encode(), digest_size=8).hexdigest()
