"""Runs the door under uvicorn: one process, or several that share one socket."""

from __future__ import annotations

import socket
import ssl

import uvicorn
from starlette.applications import Starlette
from uvicorn.supervisors import Multiprocess

from service.amili import contract as amili_contract
from service.errors import ConfigError
from service.settings import Settings, load
from service.telemetry import logs, slots
from service.telemetry.metrics import Metrics
from service.web.app import create_app

#: Connections may stay open for this long after SIGTERM.
GRACE_SECONDS = 20
#: Longer than senders and load balancers keep a connection that rests (60 seconds is usual). Who
#: closes first must be the sender: a delivery that meets our close is refused without an answer.
KEEP_ALIVE_SECONDS = 75


def application() -> Starlette:
    """Build the application of this process; uvicorn calls it in each of its processes."""
    settings, contract = load(), amili_contract.load()
    logs.configure(settings.log_level)
    directory = settings.data_dir / "metrics"
    return create_app(settings, contract, Metrics(directory, slots.take(directory, "door")))


def serve(settings: Settings) -> None:
    """Serve until SIGTERM. Raises ConfigError for what would keep the door shut."""
    check(settings)
    listener = listen(settings.host, settings.port)
    config = uvicorn.Config(
        "service.web.serving:application",
        factory=True,
        workers=settings.door_processes,
        loop="uvloop",
        http="service.web.one_write:OneWriteProtocol",
        access_log=False,
        log_level="warning",
        server_header=False,
        timeout_keep_alive=KEEP_ALIVE_SECONDS,
        timeout_graceful_shutdown=GRACE_SECONDS,
        ssl_certfile=settings.tls_cert_file,
        ssl_keyfile=settings.tls_key_file,
        # Deliveries are counted by the door itself; a proxy's headers are believed only
        # where FORWARDED_ALLOW_IPS says so, which is uvicorn's own setting.
    )
    if settings.door_processes > 1:
        Multiprocess(config, [listener]).run()
    else:
        uvicorn.Server(config).run(sockets=[listener])


def check(settings: Settings) -> None:
    """Raise ConfigError for what would end each process of the door at its start."""
    try:
        (settings.data_dir / "metrics").mkdir(parents=True, exist_ok=True)
    except OSError as exc:
        raise ConfigError(
            f"AMILI_DATA_DIR: {settings.data_dir} cannot be written ({exc.strerror})"
        ) from exc
    create_app(settings, amili_contract.load(), Metrics())
    if settings.tls_cert_file and settings.tls_key_file:
        try:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(settings.tls_cert_file, settings.tls_key_file)
        except OSError as exc:  # what OpenSSL refuses is one of these too
            raise ConfigError(
                "AMILI_TLS_CERT_FILE/AMILI_TLS_KEY_FILE: these are no certificate and its key "
                f"({exc.strerror or type(exc).__name__})"
            ) from exc


def listen(host: str, port: int) -> socket.socket:
    """Open the listening socket. Raises ConfigError when the port is taken."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
    except OSError as exc:
        listener.close()
        raise ConfigError(
            f"AMILI_HOST/AMILI_PORT: {host}:{port} cannot be used ({exc.strerror}); "
            "another program may listen there already: set AMILI_PORT to a free one."
        ) from exc
    listener.listen(2048)
    listener.set_inheritable(True)
    return listener
