"""What every contestant's door does first: prove the signature, parse with the same model."""

from __future__ import annotations

import hmac
import os

from pydantic import BaseModel, ConfigDict

from service.amili.webhooks import CaseUpdated

SECRET = os.environ["BENCH_SECRET"].encode()


class Envelope(BaseModel):
    """A delivery, as the product's own model reads its `data`."""

    model_config = ConfigDict(extra="allow")

    id: str
    eventType: str  # noqa: N815 - as Amili writes it
    data: CaseUpdated


def receive(signature: str, body: bytes) -> Envelope | None:
    """Return the event; None when the signature is not Amili's."""
    if not hmac.compare_digest(hmac.digest(SECRET, body, "sha256").hex(), signature):
        return None
    return Envelope.model_validate_json(body)
