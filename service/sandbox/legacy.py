"""The legacy operations: method and path of Batch are known, of the other two only the names.

Everything else is [assumed]: that they stand below the API's base and answer in its envelope;
that a posted batch, whose body nobody has read about, is kept as a batch of type NONE without
items; that Attachment and Ping are GETs and answer an empty list and an empty object.
"""

from __future__ import annotations

from service.sandbox import batches, pages
from service.sandbox.asking import Ask, Told
from service.sandbox.errors import Refused
from service.sandbox.wire import Record
from service.sandbox.world import World

JSON_PATCH = "application/json-patch+json"
NO_TYPE = "NONE"


def list_batches(world: World, ask: Ask) -> Told:
    """List the batches that came the legacy way."""
    horizon = world.horizon()

    def show(key: str) -> Record | None:
        batch = world.batches.seen(key, horizon)
        return batches.show(batch) if batch and "_sender" in batch else None

    return pages.page(world, ask, world.batches.walk(pages.after(ask)), show)


def create_batch(world: World, ask: Ask) -> Told:
    """Take a batch of a sender: any JSON of the one documented content type."""
    if ask.content_type != JSON_PATCH:
        raise Refused(400, f"the content type is {JSON_PATCH}")
    if not ask.query.get("senderid"):
        raise Refused(400, "senderid is missing")
    if ask.body is None:
        raise Refused(400, "the body is empty")
    now = world.clock()
    given = {"type": NO_TYPE, "_sender": ask.query["senderid"], "_key": ask.key}
    batch_id = batches.queue(world, given, [], now)["batchId"]
    return batches.taken(world, ask, batch_id, now)


def list_attachments(_world: World, _ask: Ask) -> Told:
    """Answer that there is no attachment."""
    return Told(data=[])


def ping(_world: World, _ask: Ask) -> Told:
    """Answer that somebody is there."""
    return Told(data={})
