"""Over a real wire a door that gathers its writes answers as uvicorn's own protocol does."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Iterator
from typing import Any

import pytest
import uvicorn
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from service.web.one_write import OneWriteProtocol
from tests.doors import eventually

CHUNK, CHUNKS = 300_000, 30
CLOSE = "Connection: close\r\n"
UPGRADE = (
    "Connection: Upgrade\r\nUpgrade: websocket\r\n"
    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n"
)


async def app(scope: Any, receive: Any, send: Any) -> None:
    """Answer with what came, at length, or by half; over a web socket with three texts."""
    if scope["type"] == "websocket":
        await receive()
        await send({"type": "websocket.accept"})
        for text in ("a", "b" * 100_000, "c"):
            await send({"type": "websocket.send", "text": text})
        await send({"type": "websocket.close", "code": 1000})
        return
    body, more = b"", scope["path"] != "/early"
    while more:
        message = await receive()
        body, more = body + message["body"], message["more_body"]
    pieces = [f"{scope['method']} {scope['path']} ".encode(), body]
    if scope["path"] == "/long":
        pieces = [bytes([65 + number % 26]) * CHUNK for number in range(CHUNKS)]
    size = sum(map(len, pieces)) + (scope["path"] == "/half")
    headers = [(b"content-length", b"%d" % size)] if scope["path"] != "/chunked" else []
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    for piece in pieces:
        await send({"type": "http.response.body", "body": piece, "more_body": True})
    if scope["path"] == "/half":
        raise RuntimeError
    await send({"type": "http.response.body", "body": b""})


@contextlib.contextmanager
def serving(protocol: Any, loop: Any) -> Iterator[tuple[uvicorn.Server, Any]]:
    """Serve `app` in a thread; give the server and its address."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        config = uvicorn.Config(
            app, http=protocol, loop=loop, lifespan="off", log_config=None, date_header=False
        )
        server = uvicorn.Server(config)
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
        thread.start()
        try:
            eventually(lambda: server.started)
            yield server, listener.getsockname()
        finally:
            server.should_exit = True
            thread.join()


def asked(path: str, more: str = CLOSE, method: str = "GET") -> bytes:
    """Write a request's head."""
    return f"{method} {path} HTTP/1.1\r\nHost: door\r\n{more}\r\n".encode()


def said(address: Any, sent: bytes, *, is_over: bool = False) -> bytes:
    """Send this in one piece, and what begins with a bar when asked to go on; return the answer."""
    now, _, later = sent.partition(b"|")
    with socket.create_connection(address, timeout=30) as wire:
        wire.sendall(now)
        if is_over:
            wire.shutdown(socket.SHUT_WR)
        answer = b""
        while data := wire.recv(1 << 16):
            answer += data
            if later and b"100 Continue" in answer:
                wire.sendall(later)
                later = b""
            if answer.endswith(b"\x88\x02\x03\xe8"):  # a web socket that says good-bye
                break
        return answer


CASES = {
    "pipelined": b"".join(asked(f"/{n}", "") for n in range(9)) + asked("/last"),
    "pipelined bodies": asked("/a", "Content-Length: 3\r\n", "POST") + b"abc" + asked("/b"),
    "long, pipelined": asked("/long", "") + asked("/chunked", "") + asked("/last"),
    "head": asked("/a", "", "HEAD") + asked("/b", method="HEAD"),
    "goes on": asked("/a", f"Content-Length: 3\r\nExpect: 100-continue\r\n{CLOSE}", "POST")
    + b"|abc",
    "need not": asked("/early", f"Content-Length: 3\r\nExpect: 100-continue\r\n{CLOSE}", "POST"),
    "old": b"GET /a HTTP/1.0\r\n\r\n",
    "junk": asked("/a", "") + b"\x00\x01\r\n\r\n",
    "half": asked("/half", ""),
    "other upgrade": asked("/a", "Connection: Upgrade, close\r\nUpgrade: h2c\r\n"),
    "web socket": asked("/ws", UPGRADE),
    "web socket, later": asked("/a", "") + asked("/ws", UPGRADE),
}


@pytest.mark.timeout(120)
@pytest.mark.parametrize("loop", ["asyncio", "uvloop"])
def test_same_answers(loop: str) -> None:
    """The same bytes come back, whatever is asked, and on either event loop."""
    answers = []
    for protocol in (HttpToolsProtocol, OneWriteProtocol):
        with serving(protocol, loop) as (_, address):
            answers.append({name: undated(said(address, sent)) for name, sent in CASES.items()})
    assert answers[0] == answers[1]
    assert all(answers[0].values())


def undated(answer: bytes) -> bytes:
    """Take the date out of a web socket's answer."""
    lines = answer.split(b"\r\n")
    return b"\r\n".join(line for line in lines if not line.lower().startswith(b"date:"))


@pytest.mark.timeout(60)
@pytest.mark.parametrize("loop", ["asyncio", "uvloop"])
def test_sender_that_ends_may_read(loop: str) -> None:
    """Who closes its own direction with the request hears the answer that was ready."""
    with serving(OneWriteProtocol, loop) as (_, address):
        for _ in range(20):
            assert said(address, asked("/early", ""), is_over=True).endswith(b"GET /early ")


@pytest.mark.timeout(60)
@pytest.mark.parametrize("loop", ["asyncio", "uvloop"])
def test_nobody_reads(loop: str) -> None:
    """An answer that nobody reads waits; once its reader is gone nothing of it is left."""
    with serving(OneWriteProtocol, loop) as (server, address):
        state = server.server_state
        with socket.socket() as wire:
            wire.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            wire.connect(address)
            wire.sendall(asked("/long"))
            one: Any = eventually(lambda: next(iter(state.connections), None))
            cycle = eventually(lambda: one.cycle)
            eventually(lambda: cycle.flow.write_paused)
            # It holds no more than the transport's own bound, and the piece that broke it.
            assert cycle.transport.get_write_buffer_size() < 2 * CHUNK
        eventually(lambda: not state.connections and not state.tasks)
