"""Batches: taken with 202, worked through later, item by item, then told of.

[assumed]: the members of failed[], the batch types PAYMENT and CORRECTION, and that a positive
correction makes the claim smaller.
"""

from __future__ import annotations

from typing import Any

from service.sandbox import cases
from service.sandbox.errors import ItemFailed, SandboxError
from service.sandbox.items import register_correction, register_invoice, register_payment
from service.sandbox.outbox import BATCH_COMPLETED
from service.sandbox.wire import Record, moment
from service.sandbox.world import ORGANIZATION_ID, World, new_id

QUEUED, SUCCESS, PARTIAL, FAILED = "QUEUED", "SUCCESS", "PARTIAL", "FAILED"
#: Batch type -> how one of its items is registered.
REGISTRARS = {
    "INVOICE": register_invoice,
    "PAYMENT": register_payment,
    "CORRECTION": register_correction,
}


def queue(world: World, given: Record, items: list[Any] | None, at: float) -> Record:
    """Store a batch as QUEUED; with items it is worked through after the batch delay."""
    batch = {
        "type": "INVOICE",
        "organizationId": ORGANIZATION_ID,
        "createdBy": "sandbox",
        **given,
        "batchId": given.get("batchId") or new_id(),
        "status": QUEUED,
        "createdAt": moment(at),
        "finishedAt": None,
        "succeeded": [],
        "failed": [],
        "_items": items,
    }
    batch_id = batch["batchId"]
    if world.batches.now(batch_id) is not None:
        raise SandboxError(f"batch {batch_id} exists already")
    world.batches.add(batch_id, at, batch)
    if items is not None:
        due = at + world.behaviour.batch_delay_seconds
        world.agenda.add(due, lambda when: work_through(world, batch_id, when))
    return batch


def must(world: World, batch_id: str) -> Record:
    """Return the present batch; SandboxError when there is none."""
    batch = world.batches.now(batch_id)
    if batch is None:
        raise SandboxError(f"no batch {batch_id}")
    return batch


def work_through(world: World, batch_id: str, at: float) -> None:
    """Register every item of a queued batch, finish it, and say what became of it."""
    batch = must(world, batch_id)
    if batch["status"] != QUEUED:
        return
    before = len(world.cases)
    succeeded: list[Record] = []
    failed: list[Record] = []
    for item in batch["_items"] or []:
        try:
            succeeded.append(REGISTRARS[batch["type"]](world, batch, item, at))
        except ItemFailed as exc:
            failed.append(_failed(item, exc))
    finish(world, batch_id, {"succeeded": succeeded, "failed": failed}, at)
    opened = {key for _, key in world.cases.walk(before - 1)}
    for case_id in dict.fromkeys(item["caseId"] for item in succeeded):
        if case_id in opened:
            cases.say_created(world, case_id, at)
        else:
            cases.close_when_paid(world, case_id, at)


def finish(world: World, batch_id: str, result: Record, at: float) -> None:
    """Give a batch its result and say BATCH_COMPLETED."""
    status = result.get("status") or _status(result["succeeded"], result["failed"])
    ended = {**result, "status": status, "finishedAt": moment(at)}
    batch = world.batches.change(batch_id, at, ended)
    told = {member: batch[member] for member in ("batchId", "organizationId", "status")}
    world.say(BATCH_COMPLETED, told, at)


def show(batch: Record) -> Record:
    """Show a batch as its endpoint does."""
    return {k: v for k, v in batch.items() if not k.startswith("_")}


def _status(succeeded: list[Record], failed: list[Record]) -> str:
    if not failed:
        return SUCCESS
    return PARTIAL if succeeded else FAILED


def _failed(item: Any, exc: ItemFailed) -> Record:
    named = item if isinstance(item, dict) else {}
    members = ("invoiceId", "invoiceNumber", "uniqueSourceInvoiceId")
    return {m: named[m] for m in members if m in named} | {"errors": [exc.error]}
