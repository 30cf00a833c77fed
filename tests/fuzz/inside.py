"""The door as an ASGI application in this process: many inputs, no socket between."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterator
from typing import Any
from urllib.parse import unquote

from hypothesis import HealthCheck, Phase, given, seed, settings
from starlette.applications import Starlette

from service.amili.contract import Contract
from service.telemetry import logs
from service.telemetry.metrics import Metrics
from service.web.app import create_app
from tests.fuzz.judging import Said, Stream, judge
from tests.fuzz.report import Part
from tests.fuzz.shapes import BODIES, CHANCES, EACH, Shot, shots_of
from tests.fuzz.stage import Stores

#: In one round of hypothesis, which remembers what it drew.
ROUND = 500


class Inside:
    """Asks the application as a server would."""

    def __init__(self, app: Starlette, loop: asyncio.AbstractEventLoop) -> None:
        self._app = app
        self._loop = loop

    def ask(self, shot: Shot, pieces: int = 1) -> Said:
        """Make one request, its body in so many pieces."""
        return self._loop.run_until_complete(self._ask(shot, pieces))

    async def _ask(self, shot: Shot, pieces: int) -> Said:
        size = -(-len(shot.body) // pieces) or 1
        parts = [shot.body[at : at + size] for at in range(0, len(shot.body), size)] or [b""]
        waiting = [
            {"type": "http.request", "body": part, "more_body": number < len(parts) - 1}
            for number, part in enumerate(parts)
        ]
        sent: list[dict[str, Any]] = []

        async def receive() -> dict[str, Any]:
            return waiting.pop(0) if waiting else {"type": "http.disconnect"}

        async def send(message: Any) -> None:
            sent.append(message)

        await self._app(scope_of(shot), receive, send)
        named = {name: value.decode() for name, value in sent[0]["headers"]}
        body = b"".join(message.get("body", b"") for message in sent[1:])
        return Said(sent[0]["status"], named.get(b"content-type", ""), body)


def scope_of(shot: Shot) -> dict[str, Any]:
    """Write a request as servers hand it over."""
    path, _, query = shot.path.partition("?")
    return {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.3"},
        "http_version": "1.1",
        "method": shot.method,
        "scheme": "http",
        "path": unquote(path),
        "raw_path": path.encode(),
        "query_string": query.encode(),
        "root_path": "",
        "headers": [
            (name.lower().encode(), value.strip(" \t").encode("latin-1"))
            for name, value in shot.headers
        ],
        "client": ("192.0.2.1", 4000),
        "server": ("127.0.0.1", 8080),
    }


@contextlib.contextmanager
def opened(place: Stores) -> Iterator[Inside]:
    """Open the application on these stores."""
    logs.configure("ERROR")
    app = create_app(place.settings, Contract(), Metrics())
    with asyncio.Runner() as runner:
        lifespan = app.router.lifespan_context(app)
        runner.run(lifespan.__aenter__())
        try:
            yield Inside(app, runner.get_loop())
        finally:
            runner.run(lifespan.__aexit__(None, None, None))


def run(place: Stores, inputs: int, number: int) -> Part:
    """Ask so many times, in rounds whose seeds count up from this number."""
    part = Part("door, in process")
    stream = Stream(place.redis_url)
    with opened(place) as inside:
        for at, start in enumerate(range(0, inputs, ROUND * EACH)):
            wanted = -(-min(ROUND * EACH, inputs - start) // EACH)

            @seed(number + at)
            @settings(
                max_examples=wanted,
                database=None,
                deadline=None,
                phases=[Phase.generate, Phase.shrink],
                suppress_health_check=list(HealthCheck),
                print_blob=False,
            )
            @given(BODIES, CHANCES)
            def ask(body: bytes, chance: int) -> None:
                for shot in shots_of(body, chance):
                    said = inside.ask(shot, chance % 3 + 1)
                    part.inputs += 1
                    part.statuses[str(said.status)] += 1
                    judge(shot, said, stream)

            try:
                ask()
            except Exception as exc:
                part.fault(number + at, exc)
            if not at:
                part.warm()
        part.end()
    stream.close()
    return part
