"""The door as a process, over raw sockets: whole requests, and what is none."""

from __future__ import annotations

import contextlib
import http.client
import json
import socket
from random import Random

from hypothesis import HealthCheck, Phase, given, seed, settings

from service.store.refused import quarantine
from tests.doors import DoorProcess, eventually, opened_database
from tests.fuzz.judging import Said, Stream, judge
from tests.fuzz.report import Part
from tests.fuzz.shapes import BODIES, CANARY, CHANCES, EACH, NO_METHODS, Shot, shots_of
from tests.fuzz.stage import ENTRIES, MEGABYTES, Stores, door_of

PATIENCE_SECONDS = 30.0
ROUND = 200
#: What the door may say to what is no whole request; 400 is the server's own word.
DOCUMENTED = frozenset({100, 200, 202, 400, 401, 404, 405, 408, 413, 415})
LENGTHS = ("-1", "0", "00", "+5", "5, 6", "1e3", "0x10", "99999999999999999999", "\xb2", "", " ")
CODINGS = (
    "chunked",
    "Chunked",
    "gzip, chunked",
    "identity",
    "chunked, chunked",
    "x",
    "\x0bchunked",
)
BREAKS = (b"\r\n", b"\r\n", b"\r\n", b"\n", b"\r", b"\r\n ", b"\0\r\n")
PREFACES = (
    b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n",
    b"GET /livez\r\n\r\n",
    b"\r\n\r\n\r\n",
    b"PROXY TCP4 192.0.2.1 192.0.2.2 1 2\r\n",
)


class Line:
    """A connection that is kept, and opened again when the door closes it."""

    def __init__(self, door: DoorProcess) -> None:
        self._door = door
        self._socket: socket.socket | None = None

    def ask(self, shot: Shot) -> Said:
        """Make one whole request."""
        if self._socket is None:
            self._socket = connected(self._door)
        self._socket.sendall(written(shot))
        answer = http.client.HTTPResponse(self._socket, method=shot.method)
        answer.begin()
        said = Said(answer.status, answer.headers.get("content-type", ""), answer.read())
        if answer.will_close:
            self.close()
        return said

    def close(self) -> None:
        """Hang up."""
        if self._socket is not None:
            self._socket.close()
        self._socket = None


def connected(door: DoorProcess) -> socket.socket:
    """Open a connection."""
    return socket.create_connection(("127.0.0.1", door.port), timeout=PATIENCE_SECONDS)


def written(shot: Shot) -> bytes:
    """Write a request as HTTP/1.1 wants it."""
    head = [f"{shot.method} {shot.path} HTTP/1.1", "Host: door"]
    head += [f"{name}: {value}" for name, value in shot.headers]
    head += [f"Content-Length: {len(shot.body)}"]
    return "\r\n".join(head).encode("latin-1") + b"\r\n\r\n" + shot.body


# --- what is no whole request ---------------------------------------------------


def broken(chance: Random, shot: Shot) -> bytes:
    """Write a request as HTTP does not want it."""
    if chance.random() < 0.05:
        return chance.choice(PREFACES) + chance.randbytes(chance.randrange(40))
    odd = [
        ("Content-Length", chance.choice(LENGTHS)),
        ("Transfer-Encoding", chance.choice(CODINGS)),
        ("Content-Length", str(len(shot.body) + chance.randrange(-5, 6))),
        ("Expect", "100-continue"),
        ("Connection", chance.choice(["close", "keep-alive, Upgrade", "\xff"])),
        ("Upgrade", chance.choice(["websocket", "h2c"])),
        ("X-Long", CANARY * chance.choice([1, 1, 5_000])),
    ]
    headers = [*shot.headers, *chance.sample(odd, chance.randrange(1, 4))]
    head = [f"{shot.method} {shot.path} HTTP/{chance.choice(['1.1', '1.1', '1.0', '0.9', '3.0'])}"]
    head += [f"{name}: {value}" for name, value in headers]
    lines = [line.encode("latin-1") + chance.choice(BREAKS) for line in head]
    body = shot.body if chance.random() < 0.5 else in_chunks(chance, shot.body)
    whole = b"".join(lines) + b"\r\n" + body
    return whole * 2 if chance.random() < 0.1 else whole


def in_chunks(chance: Random, body: bytes) -> bytes:
    """Write a body in chunks, some with a wrong size."""
    size = chance.choice([1, 7, 60_000]) if len(body) < 5_000 else 60_000
    parts = [body[at : at + size] for at in range(0, len(body), size)]
    sizes = [f"{len(part) + (chance.random() < 0.02):x}".encode() for part in parts]
    ends = chance.choice([b"0\r\n\r\n", b"0\r\n\r\n", b"0\r\nX: y\r\n\r\n", b"", b"zz\r\n"])
    pairs = zip(sizes, parts, strict=True)
    return b"".join(b"%b\r\n%b\r\n" % pair for pair in pairs) + ends


def statuses_of(door: DoorProcess, request: bytes) -> list[int]:
    """Send bytes, hang up our half, and read every status that is said until the door does."""
    with connected(door) as line:
        with contextlib.suppress(OSError):  # it may have hung up already
            line.sendall(request)
            line.shutdown(socket.SHUT_WR)
        told = b""
        with contextlib.suppress(ConnectionError):
            while some := line.recv(65_536):
                told += some
    starts = [part[:3] for part in told.split(b"HTTP/1.1 ")[1:]]
    return [int(status) for status in starts if status.isdigit()]


# --- the run --------------------------------------------------------------------


def run(place: Stores, inputs: int, number: int) -> Part:
    """Ask a door so many times; a quarter of it is no whole request."""
    with door_of(place) as door:
        part = Part("door, over sockets", door.process.pid)
        stream, line = Stream(place.redis_url), Line(door)
        for at, start in enumerate(range(0, inputs, ROUND * EACH)):
            wanted = -(-min(ROUND * EACH, inputs - start) // EACH)

            @seed(number + at)
            @settings(
                max_examples=wanted,
                database=None,
                deadline=None,
                phases=[Phase.generate],
                suppress_health_check=list(HealthCheck),
                print_blob=False,
            )
            @given(BODIES, CHANCES)
            def ask(body: bytes, chance: int) -> None:
                whole(part, line, stream, body, chance)
                junk(part, door, body, chance)
                stream.grown()

            try:
                ask()
            except Exception as exc:
                part.fault(number + at, exc)
                line.close()
            if not at:
                part.warm()
        line.close()
        stream.close()
        part.end()
        part.faults += aftermath(place, door)
    return part


def whole(part: Part, line: Line, stream: Stream, body: bytes, chance: int) -> None:
    """Send three quarters of the requests as they should be."""
    for shot in list(shots_of(body, chance))[: EACH * 3 // 4]:
        said = line.ask(shot)
        part.inputs += 1
        part.statuses[str(said.status)] += 1
        if shot.method in NO_METHODS:
            assert said.status == 400, said
        else:
            judge(shot, said, stream)


def junk(part: Part, door: DoorProcess, body: bytes, chance: int) -> None:
    """Send the rest as it should not be: anything but a fault of ours may be the answer."""
    dice = Random(chance)
    for shot in list(shots_of(body, chance))[EACH * 3 // 4 :]:
        request = broken(dice, shot)
        said = statuses_of(door, request)
        part.inputs += 1
        part.statuses.update([str(status) for status in said] or ["none"])
        assert set(said) <= DOCUMENTED, (said, request[:2000])


def aftermath(place: Stores, door: DoorProcess) -> list[str]:
    """Look at what is left: a living door, a silent log, a quarantine within its caps."""
    found = []
    if door.process.poll() is not None or door.ready()[0] != 200:
        found.append("the door is not ready any more")
    said = door.said
    if CANARY in said:
        found.append("the log repeats a body or a header")
    if "Traceback" in said:
        found.append("the log has a traceback")
    ours = [text for text in said.splitlines() if text.startswith("{")]
    found += [f"no JSON in the log: {text[:200]}" for text in ours if not is_json(text)][:3]
    eventually(lambda: kept(place)[0] > 0)
    entries, size = kept(place)
    if entries > ENTRIES or size > MEGABYTES * 1024 * 1024:
        found.append(f"the quarantine has {entries} entries of {size} bytes")
    return found


def is_json(line: str) -> bool:
    """Say whether a line of the log can be read."""
    try:
        return isinstance(json.loads(line), dict)
    except ValueError:
        return False


def kept(place: Stores) -> tuple[int, int]:
    """Count the entries of the quarantine, and their bytes."""
    with opened_database(place.settings) as database, database.read() as tx:
        rows = tx.execute(quarantine.select()).all()
    return len(rows), sum(len(row.sealed) for row in rows)
