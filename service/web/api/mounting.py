"""Puts every endpoint of `/api/v1` in its place, behind the tokens."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Match, Mount, Route
from starlette.types import Receive, Scope, Send

from service.web.api import (
    actions,
    cases,
    events,
    holds,
    operations,
    quarantine,
    records,
    submissions,
)
from service.web.api.describing import PREFIX, document
from service.web.api.desks import Desk
from service.web.api.tokens import Guard

#: Each makes the routes of one resource.
RESOURCES: tuple[Callable[[Desk], Sequence[Route]], ...] = (
    events.routes,
    records.routes,
    cases.routes,
    operations.routes,
    actions.routes,
    holds.routes,
    submissions.routes,
    quarantine.routes,
)


def mount(desk: Desk, tokens: Sequence[str]) -> Mount:
    """Mount the whole API; nobody enters without a token."""
    guard = Guard(tokens)
    routes = [route for make in RESOURCES for route in make(desk)]
    routes.append(describing(routes))
    resources = [guarded(route, guard) for route in routes]
    for each in resources:
        each.siblings = resources
    return Mount(PREFIX, routes=resources)


def describing(routes: Sequence[Route]) -> Route:
    """Make the route of the document that describes these routes, and itself."""

    async def describe(request: Request) -> Response:
        return JSONResponse(described)

    itself = Route("/openapi.json", describe)
    described = document([*routes, itself])
    return itself


class Resource(Route):
    """A route that refuses a method by naming all of its path, those of other routes too."""

    siblings: Sequence[Route] = ()

    async def handle(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request, or refuse its method."""
        if scope["method"] in (self.methods or ()):
            await super().handle(scope, receive, send)
            return
        there = [each for each in self.siblings if each.matches(scope)[0] is not Match.NONE]
        allowed = {method for each in there for method in each.methods or ()}
        raise HTTPException(405, headers={"Allow": ", ".join(sorted(allowed))})


def guarded(route: Route, guard: Guard) -> Resource:
    """Put the guard before one endpoint."""
    return Resource(route.path, guard.before(route.endpoint), methods=sorted(route.methods or ()))
