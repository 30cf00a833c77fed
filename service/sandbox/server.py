"""Serves a sandbox on a loopback address; what `amili-events sandbox` runs."""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Unpack

import uvicorn
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from service.sandbox.answers import CUT
from service.sandbox.app import create_app
from service.sandbox.errors import SandboxError
from service.sandbox.world import Setup, World
from service.settings import LOOPBACK


class CuttableProtocol(HttpToolsProtocol):
    """HTTP as uvicorn speaks it, with a way for the app to reset the connection."""

    def on_message_begin(self) -> None:
        """Put the cut into the scope of the request that begins."""
        super().on_message_begin()
        scope: Any = self.scope
        scope["extensions"] = {CUT: self.transport.abort}


def run(host: str, port: int, on_bound: Callable[[int], None], **setup: Unpack[Setup]) -> None:
    """Serve until interrupted; SandboxError when the address cannot be had.

    `on_bound` is told the port, as soon as it is ours.
    """
    listener = bind(host, port)
    on_bound(listener.getsockname()[1])
    with suppress(KeyboardInterrupt), asyncio.Runner(loop_factory=loop_factory()) as runner:
        runner.run(build(World(**setup)).serve(sockets=[listener]))


async def serve(host: str, port: int, **setup: Unpack[Setup]) -> None:
    """Serve inside a running loop until cancelled or interrupted."""
    listener = bind(host, port)
    await build(World(**setup)).serve(sockets=[listener])


def bind(host: str, port: int) -> socket.socket:
    """Open the listening socket; a loopback address only, for there is no door to the control."""
    if host not in LOOPBACK:
        raise SandboxError(f"the sandbox listens on loopback only, not on {host}")
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family, backlog=1024)
    except OSError as exc:
        raise SandboxError(
            f"cannot listen on {host} port {port}: {os.strerror(exc.errno or 0)};"
            " is another sandbox running?"
        ) from exc


def build(world: World) -> uvicorn.Server:
    """Make the server of a world; it says nothing itself and configures no logging."""
    config = uvicorn.Config(
        create_app(world),
        http=CuttableProtocol,
        ws="none",
        lifespan="on",
        log_config=None,
        log_level="warning",
        access_log=False,
        timeout_graceful_shutdown=1,
    )
    return uvicorn.Server(config)


def loop_factory() -> Any:
    """Return what makes uvicorn's event loop: uvloop where there is one."""
    return uvicorn.Config("", loop="auto", log_config=None).get_loop_factory()
