"""A sandbox that works batches at once, on a clock that only the test moves."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any

import pytest

from service.sandbox.behaviour import Behaviour
from service.sandbox.harness import SandboxServer
from tests.integration.sandbox.played import SECRET, START, Caller, Clock, Endpoint


@pytest.fixture(scope="module")
def played() -> Iterator[tuple[SandboxServer, Clock]]:
    """Serve an Amili whose batches are worked through at once: use `sandbox`, which is empty."""
    clock = Clock()
    quick = Behaviour(batch_delay_seconds=0, webhook_first_pause_seconds=0.01)
    given: Any = {"client_id": "c", "client_secret": "s", "behaviour": quick, "clock": clock}
    with SandboxServer(**given) as server:
        yield server, clock


@pytest.fixture
def clock(played: tuple[SandboxServer, Clock]) -> Clock:
    """Give the sandbox's clock, which only the test moves."""
    played[1].now = START
    return played[1]


@pytest.fixture
def sandbox(played: tuple[SandboxServer, Clock], clock: Clock) -> SandboxServer:
    """Give a sandbox that knows no record, call or fault, and sends webhooks to nobody."""
    server = played[0]
    server.control.set_webhook(url=None, secret=None, prefix="")
    server.control.reset()
    return server


@pytest.fixture
def caller(sandbox: SandboxServer) -> Iterator[Caller]:
    """Give an authorized client."""
    made = Caller(sandbox)
    with made.client:
        yield made


@pytest.fixture
def endpoint(sandbox: SandboxServer) -> Iterator[Endpoint]:
    """Serve a webhook endpoint and let the sandbox deliver to it."""
    made = Endpoint()
    thread = threading.Thread(target=made.server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    sandbox.control.set_webhook(url=made.url, secret=SECRET)
    yield made
    sandbox.control.set_webhook(url=None)
    made.server.shutdown()
    thread.join()
    made.server.server_close()
