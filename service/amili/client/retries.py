"""Whether a call is tried again inside the client, and when. Pure but for the jitter."""

from __future__ import annotations

import random

from service.errors import CircuitOpen, ProviderBusy, ProviderError, ProviderUnreachable

#: A GET is sent at most this often, a 401's refresh not counted.
GET_TRIES = 3
#: Longer waits are the caller's: it gives its slot to another entity meanwhile.
LONGEST_WAIT = 2.0
FIRST_BACKOFF = 0.4


def retry_wait(method: str, error: ProviderError, tries: int) -> float | None:
    """Say how many seconds to wait before the next try; None: the error is the caller's.

    What changes something at Amili is repeated only when it provably was not sent.
    """
    if isinstance(error, CircuitOpen) or not isinstance(error, ProviderUnreachable | ProviderBusy):
        return None
    if method != "GET":
        unsent = isinstance(error, ProviderUnreachable) and not error.may_have_happened
        return _backoff(tries) if unsent and tries == 1 else None
    if tries >= GET_TRIES:
        return None
    if error.retry_after is None:
        return _backoff(tries)
    return error.retry_after if error.retry_after <= LONGEST_WAIT else None


def _backoff(tries: int) -> float:
    longest = min(FIRST_BACKOFF * 2 ** (tries - 1), LONGEST_WAIT)
    return random.uniform(longest / 4, longest)  # noqa: S311 - jitter is no secret
