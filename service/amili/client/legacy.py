"""The legacy operations, of which little but the names is known.

Amili calls them Batch, Attachment and Ping; the methods are named by what they do. Known are
`GET` and `POST` of Batch with `senderid` and its content type [seed, doc] and `GET` of Ping
[seed]; all else is [assumed]: that Attachment is a GET, that they stand below the API's base and
take its token. Their answers are given back as they came.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from service.amili.client.calling import NO_PARAMS, Calls, Sent
from service.amili.client.envelopes import read_anything
from service.amili.client.purposes import Purpose
from service.amili.operations import (
    CREATE_LEGACY_BATCH,
    GET_LEGACY_BATCH,
    LEGACY_ATTACHMENT,
    LEGACY_PING,
    Operation,
)
from service.amili.resources import Unread
from service.amili.texts import encode

JSON_PATCH = "application/json-patch+json"


class LegacyCalls(Calls):
    """Calls what was there before; parameters that nobody has read of are sent as given."""

    async def get_legacy_batch(self, params: Mapping[str, str] = NO_PARAMS) -> Unread:
        """GET of Batch [seed, doc]."""
        return await self._read(GET_LEGACY_BATCH, params)

    async def create_legacy_batch(
        self,
        sender_id: str,
        document: Any,
        *,
        idempotency_key: str,
        not_after: float | None = None,
    ) -> Unread:
        """POST of Batch [seed, doc]; `document` is JSON, its amounts Decimal; its form is unknown.

        `not_after`: a moment of `time.monotonic()` after which it is not sent any more.
        """
        sent = Sent(
            body=encode(document).encode(),
            idempotency_key=idempotency_key,
            purpose=Purpose.SUBMISSION,
            not_after=not_after,
            content_type=JSON_PATCH,
            params={CREATE_LEGACY_BATCH.parameter("sender_id"): sender_id},
        )
        return read_anything(await self._post(CREATE_LEGACY_BATCH, {}, sent))

    async def legacy_attachment(self, params: Mapping[str, str] = NO_PARAMS) -> Unread:
        """GET of Attachment [seed: the name; assumed: the method]."""
        return await self._read(LEGACY_ATTACHMENT, params)

    async def legacy_ping(self) -> Unread:
        """GET of Ping [seed]."""
        return await self._read(LEGACY_PING, NO_PARAMS)

    async def _read(self, operation: Operation, params: Mapping[str, str]) -> Unread:
        return read_anything(await self._get(operation, {}, params))
