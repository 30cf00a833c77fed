"""Bearer tokens: who may enter."""

from __future__ import annotations

import hmac
from collections.abc import Sequence
from functools import wraps

from starlette.requests import Request
from starlette.responses import Response

from service.web.api.asked import Endpoint
from service.web.problems import problem


class Guard:
    """Knows the tokens, in constant time."""

    def __init__(self, tokens: Sequence[str]) -> None:
        self._tokens = [token.encode() for token in tokens]

    def before(self, endpoint: Endpoint) -> Endpoint:
        """Let nobody in without a token."""

        @wraps(endpoint)
        async def guarded(request: Request) -> Response:
            if self._knows(request.headers.get("authorization", "")):
                return await endpoint(request)
            detail = (
                "Send `Authorization: Bearer TOKEN` with one of AMILI_API_TOKENS."
                if self._tokens
                else "No tokens are set: AMILI_API_TOKENS is empty, so nobody may enter."
            )
            return problem(401, "Not authorized", detail)

        return guarded

    def _knows(self, header: str) -> bool:
        scheme, _, given = header.partition(" ")
        # Starlette reads headers as Latin-1: this gives back the bytes that were sent.
        offered = given.strip().encode("latin-1")
        known = [hmac.compare_digest(offered, token) for token in self._tokens]
        return scheme.lower() == "bearer" and any(known)
