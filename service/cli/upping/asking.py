"""Asks over HTTP: the product's own API, its metrics, and the sandbox."""

from __future__ import annotations

import http.client
import json
import re
import ssl
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlencode, urlsplit

from service.errors import AmiliEventsError

ANSWER_SECONDS = 5.0
SAMPLE = re.compile(r"(amili_[a-z_]+)(?:\{(.*)\})? ([0-9.e+-]+)$", re.MULTILINE)
LABEL = re.compile(r'(\w+)="([^"]*)"')


class NoAnswer(AmiliEventsError):
    """Nobody answered, or not what was asked for."""


@dataclass(frozen=True)
class Asker:
    """One place to ask, with what must be said each time."""

    base: str
    headers: dict[str, str] = field(default_factory=dict)
    context: ssl.SSLContext | None = None

    def get(self, path: str) -> Any:
        """GET JSON. Raises NoAnswer."""
        return self.ask("GET", path)

    def post(self, path: str, body: Any) -> Any:
        """POST JSON. Raises NoAnswer."""
        return self.ask("POST", path, json.dumps(body).encode(), "application/json")

    def post_form(self, path: str, body: dict[str, str]) -> Any:
        """POST a form. Raises NoAnswer."""
        form = urlencode(body).encode()
        return self.ask("POST", path, form, "application/x-www-form-urlencoded")

    def ask(self, method: str, path: str, body: bytes | None = None, kind: str = "") -> Any:
        """Ask once; return the JSON of a 2xx answer, None if it has no body. Raises NoAnswer."""
        raw = self.raw(method, path, body, kind)
        try:
            return json.loads(raw) if raw else None
        except ValueError as exc:
            raise NoAnswer(f"{method} {self.base}{path}: the answer is no JSON") from exc

    def raw(self, method: str, path: str, body: bytes | None = None, kind: str = "") -> bytes:
        """Ask once; return the body of a 2xx answer. Raises NoAnswer."""
        connection = self._connection()
        try:
            headers = self.headers | ({"Content-Type": kind} if kind else {})
            connection.request(method, urlsplit(self.base).path + path, body, headers)
            answer = connection.getresponse()
            said = answer.read()
        except (OSError, http.client.HTTPException) as exc:
            raise NoAnswer(f"{method} {self.base}{path}: {type(exc).__name__}") from exc
        finally:
            connection.close()
        if not 200 <= answer.status < 300:
            raise NoAnswer(f"{method} {self.base}{path}: HTTP {answer.status}")
        return said

    def answers(self, path: str) -> bool:
        """Say whether a GET succeeds now."""
        try:
            self.raw("GET", path)
        except NoAnswer:
            return False
        return True

    def samples(self, path: str = "/metrics") -> list[tuple[str, dict[str, str], float]]:
        """Read a page of metrics: name, labels, value. Raises NoAnswer."""
        text = self.raw("GET", path).decode(errors="replace")
        return [
            (name, dict(LABEL.findall(labels or "")), float(value))
            for name, labels, value in SAMPLE.findall(text)
        ]

    def _connection(self) -> http.client.HTTPConnection:
        parts = urlsplit(self.base)
        host, port = parts.hostname or "", parts.port
        if parts.scheme == "https":
            return http.client.HTTPSConnection(
                host, port, timeout=ANSWER_SECONDS, context=self.context
            )
        return http.client.HTTPConnection(host, port, timeout=ANSWER_SECONDS)
