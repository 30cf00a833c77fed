"""A private authority, and a front that speaks TLS for a server which does not.

The wheel's server is built without TLS: a `Front` before it speaks TLS to those who begin with
a handshake, and lets others through as they are (a Sentinel looks at its servers without TLS).
"""

from __future__ import annotations

import asyncio
import contextlib
import datetime
import ipaddress
import socket
import ssl
import threading
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

HANDSHAKE = b"\x16"
PIECE = 65536


@dataclass(frozen=True)
class Pair:
    """Files of a certificate and its key."""

    certificate: Path
    key: Path


class Authority:
    """Signs certificates; `file` is its own."""

    def __init__(self, folder: Path, name: str = "authority") -> None:
        self._folder, self._name = folder, name
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        is_authority = x509.BasicConstraints(ca=True, path_length=None)
        made = self._builder(self._subject, self._key).add_extension(is_authority, critical=True)
        self.file = folder / f"{name}.pem"
        self.file.write_bytes(pem(made.sign(self._key, hashes.SHA256())))

    def issue(self, host: str) -> Pair:
        """Make a certificate for one host name or address."""
        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, host)])
        named = x509.SubjectAlternativeName([general_name(host)])
        made = self._builder(subject, key).add_extension(named, critical=False)
        pair = Pair(self._folder / f"{self._name}-{host}.crt", self._folder / f"{host}.key")
        pair.certificate.write_bytes(pem(made.sign(self._key, hashes.SHA256())))
        pair.key.write_bytes(
            key.private_bytes(
                serialization.Encoding.PEM,
                serialization.PrivateFormat.PKCS8,
                serialization.NoEncryption(),
            )
        )
        return pair

    def _builder(
        self, subject: x509.Name, key: ec.EllipticCurvePrivateKey
    ) -> x509.CertificateBuilder:
        now = datetime.datetime.now(datetime.UTC)
        return (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self._subject)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - datetime.timedelta(hours=1))
            .not_valid_after(now + datetime.timedelta(days=1))
        )


def general_name(host: str) -> x509.GeneralName:
    """Write a host as certificates do."""
    with contextlib.suppress(ValueError):
        return x509.IPAddress(ipaddress.ip_address(host))
    return x509.DNSName(host)


def pem(certificate: x509.Certificate) -> bytes:
    """Write a certificate as text."""
    return certificate.public_bytes(serialization.Encoding.PEM)


class Front:
    """Listens on a port of loopback for the server behind another; a context manager."""

    def __init__(self, to_port: int, pair: Pair, *, clients_of: Path | None = None) -> None:
        self._to_port = to_port
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._context.load_cert_chain(pair.certificate, pair.key)
        if clients_of is not None:  # whoever comes must bring a certificate of this authority
            self._context.load_verify_locations(clients_of)
            self._context.verify_mode = ssl.CERT_REQUIRED
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._listener.setblocking(False)
        self.port: int = self._listener.getsockname()[1]
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run, name="front", daemon=True)

    def __enter__(self) -> Front:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._loop.call_soon_threadsafe(self._stop)
        self._thread.join()
        self._listener.close()

    def _stop(self) -> None:
        for task in asyncio.all_tasks(self._loop):
            task.cancel()

    def _run(self) -> None:
        with contextlib.suppress(asyncio.CancelledError):
            self._loop.run_until_complete(self._accept())
        self._loop.run_until_complete(self._loop.shutdown_default_executor())
        self._loop.close()

    async def _accept(self) -> None:
        async with asyncio.TaskGroup() as group:
            while True:
                found, _ = await self._loop.sock_accept(self._listener)
                group.create_task(self._serve(found))

    async def _serve(self, client: socket.socket) -> None:
        with contextlib.suppress(OSError):
            readable = asyncio.Event()
            self._loop.add_reader(client, readable.set)
            try:
                await readable.wait()
            finally:
                self._loop.remove_reader(client)
            is_tls = client.recv(1, socket.MSG_PEEK) == HANDSHAKE
            reader = asyncio.StreamReader()
            transport, protocol = await self._loop.connect_accepted_socket(
                lambda: asyncio.StreamReaderProtocol(reader),
                client,
                ssl=self._context if is_tls else None,
            )
            writer = asyncio.StreamWriter(transport, protocol, reader, self._loop)
            server = await asyncio.open_connection("127.0.0.1", self._to_port)
            pumps = [
                asyncio.create_task(pump(reader, server[1])),
                asyncio.create_task(pump(server[0], writer)),
            ]
            try:
                await asyncio.wait(pumps, return_when=asyncio.FIRST_COMPLETED)
            finally:
                for each in pumps:
                    each.cancel()
                for end in (writer, server[1]):
                    end.transport.abort()


async def pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Hand on what comes until one side ends."""
    with contextlib.suppress(OSError):
        while piece := await reader.read(PIECE):
            writer.write(piece)
            await writer.drain()
