"""Puts every endpoint of `/api/v1` in its place, behind the tokens."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from starlette.routing import BaseRoute, Mount, Route

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
    routes: list[BaseRoute] = [route for make in RESOURCES for route in make(desk)]
    return Mount("/api/v1", routes=[guarded(route, guard) for route in routes])


def guarded(route: BaseRoute, guard: Guard) -> BaseRoute:
    """Put the guard before one endpoint."""
    if not isinstance(route, Route):
        raise TypeError("an endpoint of the API is a Route")
    return Route(route.path, guard.before(route.endpoint), methods=sorted(route.methods or ()))
