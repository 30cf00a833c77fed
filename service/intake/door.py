"""What the door does with one delivery. The whole story is `Door.accept`.

`Door.replay` takes what was refused once more, when a secret or our reading was mended: the
same proof, the same reading, the same durable write. Only its age is ignored. That is safe:
age matters only once a signature has proved the delivery, an operator asks and no stranger,
a body that was ever stored is a duplicate for ever, and a webhook is a hint: it has an entity
read at Amili as it is now.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Protocol

import structlog

from service.amili import signing, webhooks
from service.amili.contract import Contract
from service.amili.webhooks import Envelope
from service.domain.deliveries import Delivery, digest_of
from service.domain.quarantine import Headers
from service.errors import IntakeError, NotJson, SignatureError, StaleDelivery
from service.intake.group import GroupCommit
from service.telemetry.metrics import Metrics

log = structlog.get_logger()

LONGEST_HEADER = 200


class Keeper(Protocol):
    """Keeps refused deliveries for a look; never slow, and raises nothing."""

    def keep(self, headers: Headers, body: bytes, reason: str, source: str) -> None:
        """Keep one, or not: the answer is the same."""

    def close(self) -> None:
        """Write what waits."""


@dataclass(frozen=True, slots=True)
class Accepted:
    """The answer to a delivery that is ours now."""

    event_id: str
    label: str
    #: It was settled before: nothing will be done.
    is_duplicate: bool


class Door:
    """Verifies, reads and stores deliveries."""

    def __init__(
        self,
        *,
        secrets: tuple[str, ...],
        contract: Contract,
        commit: GroupCommit,
        keeper: Keeper,
        metrics: Metrics,
    ) -> None:
        self._verifier = signing.Verifier(secrets, contract)
        self._kept = kept_names(contract)
        self._event_header = contract.event_header.lower()
        self._commit = commit
        self._keeper = keeper
        self._metrics = metrics

    async def accept(self, headers: Headers, body: bytes, source: str = "") -> Accepted:
        """Answer once the delivery is durable; raises IntakeError with the reason why not."""
        named = dict(headers)
        try:
            self._prove(headers, body)
            opened = self._open(named, body)
        except IntakeError as exc:
            self._refuse(headers, body, exc, source)
            raise
        return await self._store(named, body, opened)

    async def replay(self, headers: Headers, body: bytes) -> Accepted:
        """Take a delivery that was refused, whatever its age; raises IntakeError as `accept`."""
        # The age is looked at last: only an authentic delivery is stale.
        with suppress(StaleDelivery):
            self._prove(headers, body)
        named = dict(headers)
        return await self._store(named, body, self._open(named, body))

    def _prove(self, headers: Headers, body: bytes) -> None:
        self._verifier.verify(headers, body, time.time())

    def _open(self, named: Mapping[str, str], body: bytes) -> Envelope:
        """Open the envelope; the data in it is read by the workers, who refuse nothing for it."""
        return webhooks.envelope(body, named.get(self._event_header))

    async def _store(self, named: Mapping[str, str], body: bytes, opened: Envelope) -> Accepted:
        picked = kept(named, self._kept)
        delivery = Delivery(digest_of(body), body, picked, datetime.now(UTC))
        state = await self._commit.put(delivery)
        return Accepted(opened.event_id, opened.label, state == "settled")

    def _refuse(self, headers: Headers, body: bytes, exc: IntakeError, source: str) -> None:
        reason = reason_of(exc)
        if isinstance(exc, SignatureError):
            self._metrics.signature_failures.labels(reason).inc()
        log.warning("delivery_refused", outcome=exc.outcome, reason=reason, bytes=len(body))
        self._keeper.keep(headers, body, reason, source)


def reason_of(exc: IntakeError) -> str:
    """Say in one word of a small set why a delivery is refused."""
    return exc.reason if isinstance(exc, SignatureError) else exc.outcome


def demand_json(content_type: str | None) -> None:
    """Raise NotJson unless the content type says JSON."""
    kind = (content_type or "").partition(";")[0].strip().lower()
    if kind != "application/json" and not (
        kind.startswith("application/") and kind.endswith("+json")
    ):
        raise NotJson


def kept_names(contract: Contract) -> dict[str, str]:
    """Name the headers that are stored: our name, and theirs in small letters.

    They are stored under our names, whatever Amili calls them; everything else may hold
    what we should not keep.
    """
    names = {
        "x-amili-event": contract.event_header,
        "idempotencykey": contract.idempotency_header,
        "x-amili-request-id": contract.request_id_header,
        "content-type": "content-type",
        "user-agent": "user-agent",
    }
    return {ours: theirs.lower() for ours, theirs in names.items()}


def kept(named: Mapping[str, str], names: Mapping[str, str]) -> dict[str, str]:
    """Pick the headers of these names, cut and cleaned so that any database can keep them."""
    return {ours: clean(named[theirs]) for ours, theirs in names.items() if theirs in named}


def clean(value: str) -> str:
    """Replace what does not print, and cut."""
    cut = value[:LONGEST_HEADER]
    return cut if cut.isprintable() else "".join(c if c.isprintable() else "?" for c in cut)


def lowered(raw: Iterable[tuple[bytes, bytes]]) -> list[tuple[str, str]]:
    """Decode ASGI headers; names are lower-case already."""
    return [(name.decode("latin-1"), value.decode("latin-1")) for name, value in raw]
