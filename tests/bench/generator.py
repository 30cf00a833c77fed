"""A load generator with a constant rate, free of coordinated omission; a program of its own.

    python -m tests.bench.generator PORT FILE --connections 32 --rate 4000 --seconds 10

Request n is due n ÷ rate seconds after the start, whatever became of those before it, and its
latency counts from that moment: a door that stalls is charged for everybody who waited meanwhile.
A request waits for a free connection when all are busy; that wait counts too. With rate 0 each
connection sends its next request when it has its answer (a closed loop, as wrk does).

`select` waits with the precision of microseconds, where epoll and event loops round to
milliseconds. What this program costs stands in its answer, as CPU microseconds a request.
"""

from __future__ import annotations

import argparse
import gc
import json
import select
import socket
import sys
import time
from collections import Counter, deque
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path

from tests.bench import bodies
from tests.bench.figures import percentile

#: Who waits longer for an answer than this will not get one.
ANSWER_SECONDS = 15.0
END_OF_HEAD = b"\r\n\r\n"
LENGTH = b"content-length:"


@dataclass
class Run:
    """What is sent, and what came of it."""

    requests: deque[bytes]
    rate: float
    seconds: float
    sent: int = 0
    due: float = 0.0
    began: float = 0.0
    ended: float = 0.0
    codes: Counter[str] = field(default_factory=Counter)
    latencies: list[float] = field(default_factory=list)

    def next_due(self, now: float) -> float | None:
        """Say when the next request is to leave; None: never."""
        if not self.requests:
            return None
        due = self.began + self.sent / self.rate if self.rate else now
        return due if due < self.began + self.seconds else None


class Line:
    """One connection, kept open; made again when the door closes it."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.due = 0.0
        self._buffer = b""
        self.socket = self._connect()

    def _connect(self) -> socket.socket:
        made = socket.create_connection(("127.0.0.1", self.port), timeout=ANSWER_SECONDS)
        made.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return made

    def send(self, request: bytes, due: float) -> None:
        """Send one request."""
        self.due = due
        self.socket.sendall(request)

    def receive(self) -> str | None:
        """Read what is there; return the status once the answer is complete."""
        try:
            data = self.socket.recv(65536)
        except OSError:
            data = b""
        if not data:
            return self._again("closed")
        self._buffer += data
        head, found, rest = self._buffer.partition(END_OF_HEAD)
        if not found or len(rest) < body_length(head):
            return None
        code = head[9:12].decode("latin-1")
        self._buffer = b""
        if b"connection: close" in head.lower():
            return self._again(code)
        return code

    def _again(self, code: str) -> str:
        self.socket.close()
        self._buffer = b""
        self.socket = self._connect()
        return code


def body_length(head: bytes) -> int:
    """Read how long the body is."""
    lowered = head.lower()
    at = lowered.find(LENGTH)
    return int(lowered[at + len(LENGTH) :].split(b"\r\n", 1)[0]) if at >= 0 else 0


def drive(run: Run, port: int, connections: int) -> None:
    """Send everything that comes due, and wait for the last answers."""
    lines = [Line(port) for _ in range(connections)]
    free, busy = list(lines), dict[socket.socket, Line]()
    run.began = run.ended = time.perf_counter()
    give_up = run.began + run.seconds + ANSWER_SECONDS
    while True:
        now = time.perf_counter()
        due = run.next_due(now)
        while free and due is not None and due <= now:
            line = free.pop()
            line.send(run.requests.popleft(), due)
            busy[line.socket] = line
            run.sent += 1
            due = run.next_due(now)
        if (due is None and not busy) or now > give_up:
            break
        wait = max(0.0, due - now) if free and due is not None else 0.25
        for ready in select.select([*busy], [], [], wait)[0]:
            line = busy[ready]
            code = line.receive()
            if code is not None:
                run.ended = time.perf_counter()
                run.codes[code] += 1
                run.latencies.append(run.ended - line.due)
                del busy[ready]
                free.append(line)
    run.codes["unanswered"] += len(busy)
    for line in lines:
        line.socket.close()


def report(run: Run, cpu: float) -> dict[str, object]:
    """Write down what came of it."""
    ordered = sorted(run.latencies)
    good = sum(count for code, count in run.codes.items() if code.startswith("2"))
    return {
        "requests": run.sent,
        "good": good,
        "codes": {code: count for code, count in run.codes.items() if count},
        "seconds": run.ended - run.began,
        "rate": good / max(run.ended - run.began, 1e-9),
        "p50_ms": 1000 * percentile(ordered, 0.50),
        "p99_ms": 1000 * percentile(ordered, 0.99),
        "worst_ms": 1000 * (ordered[-1] if ordered else 0.0),
        "generator_us": 1e6 * cpu / max(run.sent, 1),
        "exhausted": not run.requests,
    }


def main(words: list[str]) -> None:
    """Read the requests, drive, report as one line of JSON."""
    parser = argparse.ArgumentParser(prog="generator")
    parser.add_argument("port", type=int)
    parser.add_argument("file", type=Path)
    parser.add_argument("--connections", type=int, default=32)
    parser.add_argument("--rate", type=float, default=0.0)
    parser.add_argument("--seconds", type=float, default=10.0)
    parser.add_argument("--skip", type=int, default=0, help="requests that were sent before")
    asked = parser.parse_args(words)
    requests = deque(islice(bodies.read(asked.file), asked.skip, None))
    run = Run(requests, asked.rate, min(asked.seconds, 600.0))
    gc.disable()  # nothing here is circular, and a pause would be taken for the door's
    before = time.process_time()
    drive(run, asked.port, asked.connections)
    print(json.dumps(report(run, time.process_time() - before)))  # noqa: T201 - its answer


if __name__ == "__main__":
    main(sys.argv[1:])
