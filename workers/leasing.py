"""Renews the leases of a run while it works, whatever the work is waiting for.

A thread of its own, so that neither a slow call nor a long transaction lets a lease end.
When this process is stopped the thread stops too: then the lease does end, somebody else
takes over with a higher fencing number, and our writes are refused.
"""

from __future__ import annotations

import threading
from types import TracebackType

import structlog

from service.errors import StoreError
from service.store import entities, ledger
from service.store.database import Tx
from workers.parts import Parts

log = structlog.get_logger()


class LeaseKeeper:
    """Keeps every lease of `parts.holder`, entities and actions, until it is closed."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="leases", daemon=True)

    def __enter__(self) -> LeaseKeeper:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stop.set()
        self._thread.join(timeout=5)

    def _run(self) -> None:
        while not self._stop.wait(self._parts.settings.lease_renew_seconds):
            try:
                self._parts.database.run(self._renew)
            except StoreError as exc:
                log.warning("leases_not_renewed", error=type(exc).__name__)

    def _renew(self, tx: Tx) -> None:
        entities.renew(tx, self._parts.holder, self._parts.lease)
        ledger.renew(tx, self._parts.holder, self._parts.lease)
