"""What the door does with one delivery. The whole story is `Door.accept`."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

import structlog

from service.amili import signing, webhooks
from service.amili.contract import Contract
from service.domain.deliveries import Delivery, digest_of
from service.errors import IntakeError, NotJson, SignatureError
from service.intake.capture import Capture
from service.intake.group import GroupCommit
from service.telemetry.metrics import Metrics

log = structlog.get_logger()

LONGEST_HEADER = 200

Headers = Sequence[tuple[str, str]]


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
        secrets: Sequence[str],
        contract: Contract,
        commit: GroupCommit,
        capture: Capture,
        metrics: Metrics,
    ) -> None:
        self._secrets = secrets
        self._contract = contract
        self._commit = commit
        self._capture = capture
        self._metrics = metrics

    async def accept(self, headers: Headers, body: bytes) -> Accepted:
        """Answer once the delivery is durable; raises IntakeError with the reason why not."""
        try:
            signing.verify(headers, body, self._secrets, contract=self._contract, now=time.time())
            named = dict(headers)
            event = webhooks.read(body, named.get(self._contract.event_header.lower()))
        except IntakeError as exc:
            self._refuse(headers, body, exc)
            raise
        state = await self._commit.put(
            Delivery(digest_of(body), body, kept(named, self._contract), datetime.now(UTC))
        )
        return Accepted(event.event_id, event.label, state == "settled")

    def _refuse(self, headers: Headers, body: bytes, exc: IntakeError) -> None:
        reason = exc.reason if isinstance(exc, SignatureError) else exc.outcome
        if isinstance(exc, SignatureError):
            self._metrics.signature_failures.labels(reason).inc()
        log.warning("delivery_refused", outcome=exc.outcome, reason=reason, bytes=len(body))
        self._capture.keep(headers, body, reason)


def demand_json(content_type: str | None) -> None:
    """Raise NotJson unless the content type says JSON."""
    kind = (content_type or "").partition(";")[0].strip().lower()
    if kind != "application/json" and not (
        kind.startswith("application/") and kind.endswith("+json")
    ):
        raise NotJson


def kept(named: Mapping[str, str], contract: Contract) -> dict[str, str]:
    """Pick the headers that are stored, cut and cleaned so that any database can keep them.

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
    found = {ours: named.get(theirs.lower()) for ours, theirs in names.items()}
    return {ours: clean(value) for ours, value in found.items() if value is not None}


def clean(value: str) -> str:
    """Replace what does not print, and cut."""
    return "".join(c if c.isprintable() else "?" for c in value[:LONGEST_HEADER])


def lowered(raw: Iterable[tuple[bytes, bytes]]) -> list[tuple[str, str]]:
    """Decode ASGI headers; names are lower-case already."""
    return [(name.decode("latin-1"), value.decode("latin-1")) for name, value in raw]
