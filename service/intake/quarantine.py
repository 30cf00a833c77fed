"""Keeps refused deliveries sealed in SQL, where every door and every command finds them.

The door only puts a reference into a bounded queue; a thread seals and writes, some at a
time and with rests in between. A flood is dropped where it costs least: by source, then by
the queue. What is dropped was refused anyway, and is counted.
"""

from __future__ import annotations

import ipaddress
import threading
import time
import uuid
from collections import Counter, deque
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial

import structlog

from service.domain.quarantine import FORGEABLE, Caps, Headers, Refused, pack
from service.errors import StoreError
from service.intake.limiting import RefusalLimit
from service.sealing import Sealer
from service.store import quarantine
from service.store.database import Database
from service.telemetry.metrics import Metrics

log = structlog.get_logger()

#: Of what anybody may send; what is proven to be Amili's may wait up to twice as much.
MOST_WAITING = 256
MOST_WAITING_BYTES = 8 * 1024 * 1024
GROUP = 32
#: Sealing a MiB holds the processor for some milliseconds.
GROUP_BYTES = 1024 * 1024
#: Between two groups, so that a flood leaves processor and database to others.
REST_SECONDS = 0.25
#: After a failure, doubled each time up to the second.
COOL_OFF_SECONDS = 1.0
LONGEST_COOL_OFF_SECONDS = 30.0
CLOSE_SECONDS = 2.0


@dataclass(frozen=True, slots=True)
class Waiting:
    """One that is to be kept."""

    headers: Headers = field(repr=False)
    body: bytes = field(repr=False)
    reason: str
    source: str
    at: datetime


class Quarantine:
    """The door's side of the quarantine; its thread starts with the first refusal."""

    def __init__(
        self, database: Database, sealer: Sealer, metrics: Metrics, caps: Caps, per_minute: int
    ) -> None:
        self._database = database
        self._sealer = sealer
        self._metrics = metrics
        self._caps = caps
        self._limit = RefusalLimit(per_minute)
        self._queue: deque[Waiting] = deque()
        self._bytes = 0
        self._changed = threading.Condition()
        self._thread: threading.Thread | None = None
        self._is_closing = False
        self._cool_off = 0.0

    def keep(self, headers: Headers, body: bytes, reason: str, source: str) -> None:
        """Have one kept, or drop it: at once, whatever the database does."""
        # What is proven is counted, and may wait, for itself: strangers behind the same proxy, or
        # many of them, do not use up its place.
        share = 1 if reason in FORGEABLE else 2
        if self._limit.exceeded(f"{share} {network_of(source)}"):
            self._drop("rate")
            return
        if len(body) > self._caps.bytes:
            self._drop("too_large")
            return
        one = Waiting(headers, body, reason, source, datetime.now(UTC))
        with self._changed:
            waiting, size = len(self._queue), self._bytes + len(body)
            if waiting >= share * MOST_WAITING or size > share * MOST_WAITING_BYTES:
                self._drop("full")
                return
            self._queue.append(one)
            self._bytes += len(body)
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="quarantine", daemon=True)
                self._thread.start()
            self._changed.notify()

    def close(self) -> None:
        """Write what waits, within two seconds; the rest is dropped."""
        with self._changed:
            self._is_closing = True
            self._changed.notify()
        if self._thread is not None:
            self._thread.join(CLOSE_SECONDS)

    def _drop(self, cause: str, count: int = 1) -> None:
        self._metrics.quarantine_dropped.labels(cause).inc(count)

    def _run(self) -> None:
        while group := self._next():
            try:
                rows = [self._sealed(one) for one in group]
                self._database.run(partial(quarantine.add, found=rows, caps=self._caps))
            except Exception as exc:
                self._failed(exc, len(group))
            else:
                self._cool_off = 0.0
                for reason, count in Counter(one.reason for one in group).items():
                    self._metrics.quarantined.labels(reason).inc(count)
            self._rest(self._cool_off or REST_SECONDS)

    def _next(self) -> list[Waiting]:
        """Wait for some; none when it closes and none is left."""
        with self._changed:
            self._changed.wait_for(lambda: self._queue or self._is_closing)
            group: list[Waiting] = []
            size = 0
            while self._queue and len(group) < GROUP and size < GROUP_BYTES:
                group.append(self._queue.popleft())
                size += len(group[-1].body)
            self._bytes -= size
            return group

    def _failed(self, exc: Exception, count: int) -> None:
        # Whatever it is: the thread lives on, and the door has answered long ago.
        self._drop("store" if isinstance(exc, StoreError) else "fault", count)
        if not self._cool_off:
            log.warning("quarantine_failed", error=type(exc).__name__)
        self._cool_off = min(LONGEST_COOL_OFF_SECONDS, self._cool_off * 2 or COOL_OFF_SECONDS)

    def _rest(self, seconds: float) -> None:
        until = time.monotonic() + seconds
        with self._changed:
            while not self._is_closing and (left := until - time.monotonic()) > 0:
                self._changed.wait(left)

    def _sealed(self, one: Waiting) -> Refused:
        source = self._sealer.name(network_of(one.source).encode()).hex()[:16]
        what = f"{source} {one.reason}\n".encode()
        return Refused(
            quarantine_id=str(uuid.uuid4()),
            name=self._sealer.name(what + one.body),
            reason=one.reason,
            source=source,
            body_bytes=len(one.body),
            at=one.at,
            sealed=self._sealer.seal(pack(one.headers, one.body)),
        )


def network_of(source: str) -> str:
    """Name who sent it: an IPv4 address, or the /64 that one IPv6 host may choose from."""
    if ":" not in source:
        return source
    try:
        address = ipaddress.IPv6Address(source.partition("%")[0])
    except ValueError:
        return source
    if address.ipv4_mapped is not None:
        return str(address.ipv4_mapped)
    return str(ipaddress.IPv6Network((address, 64), strict=False))
