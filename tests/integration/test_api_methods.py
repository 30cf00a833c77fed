"""A refused method is told which ones there are, those of other routes of the same path too."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.doors import DoorThread, migrated, settings_for

ALLOWED = {
    "/invoices": "GET, HEAD, POST",
    "/submissions/x": "DELETE, GET, HEAD",
    "/cases/x/holds/y": "DELETE",
    "/cases/x/pause": "POST",
    "/events/replay": "GET, HEAD, POST",  # an event may be called so
    "/events": "GET, HEAD",
}


@pytest.mark.parametrize("method", ["PATCH", "OPTIONS", "PUT"])
def test_allow_names_every_method(
    redis_url: str, sqlite_url: str, tmp_path: Path, method: str
) -> None:
    """405 names each method of the path, once."""
    migrated(sqlite_url, tmp_path)
    with DoorThread(settings_for(redis_url, sqlite_url, tmp_path)) as door:
        for path, allowed in ALLOWED.items():
            reply = door.ask(method, f"/api/v1{path}")
            assert (path, reply.status, reply.headers["allow"]) == (path, 405, allowed)
            assert reply.is_problem
