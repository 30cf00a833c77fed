"""A worker's own page: `/metrics` and `/livez` on AMILI_METRICS_PORT.

Served by the supervisor, which never forks a worker's child itself, so its threads harm
nobody.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from socketserver import ThreadingMixIn
from typing import Any
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

from service.amili.gate_key import gate_key
from service.errors import ConfigError
from service.inbox.counting import with_backlog, with_gate
from service.inbox.stream import Stream
from service.redis import connect
from service.settings import Settings
from service.store.counting import Counter
from service.store.database import Database
from service.telemetry.metrics import CONTENT_TYPE, Metrics, Snapshot
from workers.supervisor import Supervisor

Start = Callable[[str, list[tuple[str, str]]], Any]


class Quiet(WSGIRequestHandler):
    """Says nothing of each request."""

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing."""


class Server(ThreadingMixIn, WSGIServer):
    """Answers a scrape while another one waits."""

    daemon_threads = True


def serve_page(settings: Settings, supervisor: Supervisor) -> None:
    """Serve in the background. Raises ConfigError when the port is taken."""
    metrics = Metrics(settings.data_dir / "metrics", "supervisor")
    counter = Counter(Database(settings.sql_url, pool=1))
    client, key = connect(settings.redis_url), gate_key(settings)
    stream = Stream(client, "page")

    def gauges() -> Snapshot:
        return with_gate(with_backlog(counter.snapshot(), stream), client, key)

    def page(environ: dict[str, Any], start: Start) -> Iterable[bytes]:
        if environ["PATH_INFO"] == "/metrics":
            start("200 OK", [("Content-Type", CONTENT_TYPE)])
            return [metrics.page(gauges)]
        if environ["PATH_INFO"] == "/livez":
            status = "200 OK" if supervisor.is_alive else "503 Service Unavailable"
            start(status, [("Content-Type", "text/plain")])
            return [status.encode() + b"\n"]
        start("404 Not Found", [("Content-Type", "text/plain")])
        return [b"/metrics and /livez\n"]

    try:
        server = make_server(
            settings.host, settings.metrics_port, page, server_class=Server, handler_class=Quiet
        )
    except OSError as exc:
        raise ConfigError(
            f"AMILI_METRICS_PORT: {settings.host}:{settings.metrics_port} is not free"
        ) from exc
    threading.Thread(target=server.serve_forever, name="page", daemon=True).start()
