"""How the door is: `/livez` (this process), `/readyz` (one durable write), `/metrics`."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from service.intake.readiness import Examiner
from service.telemetry.metrics import CONTENT_TYPE, Metrics, Snapshot

#: Below the ten seconds that Prometheus waits.
SNAPSHOT_SECONDS = 7.0


async def livez(request: Request) -> Response:
    """Answer that this process answers."""
    return PlainTextResponse("ok\n")


def readyz(examiner: Examiner) -> Callable[[Request], object]:
    """Make the endpoint that tries one durable write."""

    async def endpoint(request: Request) -> Response:
        found = await examiner.examine()
        body = {
            "status": "ready" if found.is_ready else "not ready",
            "parts": found.parts,
            "durability": found.durability,
            "notes": list(found.notes),
        }
        return JSONResponse(body, 200 if found.is_ready else 503)

    return endpoint


def metrics_page(metrics: Metrics, snapshot: Callable[[], Snapshot]) -> Callable[[Request], object]:
    """Make the endpoint that Prometheus reads."""

    async def endpoint(request: Request) -> Response:
        try:
            async with asyncio.timeout(SNAPSHOT_SECONDS):
                text = await asyncio.to_thread(metrics.page, snapshot)
        except TimeoutError:  # a store hangs: the counters matter most now
            text = metrics.page()
        return Response(text, media_type=CONTENT_TYPE)

    return endpoint


def routes(examiner: Examiner, metrics: Metrics, snapshot: Callable[[], Snapshot]) -> list[Route]:
    """List the three pages."""
    return [
        Route("/livez", livez),
        Route("/readyz", readyz(examiner)),
        Route("/metrics", metrics_page(metrics, snapshot)),
    ]
