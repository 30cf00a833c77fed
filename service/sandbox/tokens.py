"""The token host: client credentials in, bearer tokens out, as contract §1 has it."""

from __future__ import annotations

import hmac
import secrets
from typing import Any
from urllib.parse import parse_qs


class Tokens:
    """The client that is let in, and the tokens that it was given."""

    def __init__(self, client_id: str, client_secret: str) -> None:
        self._client = (client_id, client_secret)
        self._expiry: dict[str, float] = {}

    def grant(self, form: bytes, now: float, seconds: int) -> tuple[int, dict[str, Any]]:
        """Answer a request for a token that lives so long; errors are OAuth 2.0's [assumed]."""
        fields = {k: v[0] for k, v in parse_qs(form.decode("latin-1"), encoding="utf-8").items()}
        if fields.get("grant_type") != "client_credentials":
            return 400, _error("unsupported_grant_type", "only client_credentials is known")
        given = (fields.get("client_id", ""), fields.get("client_secret", ""))
        if not all(map(_same, given, self._client)):
            return 401, _error("invalid_client", "unknown client or wrong secret")
        token = secrets.token_urlsafe(24)
        self._expiry[token] = now + seconds
        return 200, {
            "access_token": token,
            "token_type": "Bearer",
            "not_before": int(now),
            "expires_in": seconds,
            "expires_on": int(now) + seconds,
            "resource": "sandbox",
        }

    def accepts(self, authorization: str | None, now: float) -> bool:
        """Say whether a call's Authorization header carries a token that lives."""
        scheme, _, token = (authorization or "").partition(" ")
        return scheme.lower() == "bearer" and self._expiry.get(token, 0.0) > now

    def expire(self) -> None:
        """Let every token given so far be worthless."""
        self._expiry.clear()


def _same(given: str, right: str) -> bool:
    return hmac.compare_digest(given.encode(), right.encode())


def _error(code: str, description: str) -> dict[str, Any]:
    return {"error": code, "error_description": description}
