"""Batches: taken with 202, worked through later, item by item, then told of.

[assumed]: the members of failed[], the batch types PAYMENT and CORRECTION, and that a positive
correction makes the claim smaller.
"""

from __future__ import annotations

from typing import Any

from service.sandbox import cases, moves
from service.sandbox.asking import Ask, Told
from service.sandbox.errors import ItemFailed, SandboxError
from service.sandbox.items import REGISTRARS, Registered
from service.sandbox.outbox import BATCH_COMPLETED
from service.sandbox.wire import Record, moment
from service.sandbox.world import ORGANIZATION_ID, World, new_id

QUEUED, SUCCESS, PARTIAL, FAILED = "QUEUED", "SUCCESS", "PARTIAL", "FAILED"


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
    }
    batch_id: str = batch["batchId"]
    if world.batches.now(batch_id) is not None:
        raise SandboxError(f"batch {batch_id} exists already")
    world.batches.add(batch_id, at, batch)
    if items is not None:
        world.items_of_batch[batch_id] = items
        due = at + world.behaviour.batch_delay_seconds
        world.agenda.add(due, lambda when: work_through(world, batch_id, when))
    return batch


def taken(world: World, ask: Ask, batch_id: str, at: float) -> Told:
    """Answer that a batch was queued."""
    return Told(
        202,
        {"batchId": batch_id, "batchUrl": f"{ask.base}/batches/{batch_id}"},
        effect="queued",
        effect_at=at + world.behaviour.batch_delay_seconds,
        target=batch_id,
    )


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
    done: list[Registered] = []
    failed: list[Record] = []
    for item in world.items_of_batch.get(batch_id, []):
        try:
            done.append(_register(world, batch, item, at))
        except ItemFailed as exc:
            failed.append(_failed(item, exc))
    finish(world, batch_id, {"succeeded": [one.shown for one in done], "failed": failed}, at)
    if batch["type"] == "INVOICE":
        _say_cases(world, done, before, at)
    else:
        _move_amounts(world, done, at)


def finish(world: World, batch_id: str, result: Record, at: float) -> None:
    """Give a batch its result and say BATCH_COMPLETED."""
    status = result.get("status") or _status(result["succeeded"], result["failed"])
    ended = {**result, "status": status, "finishedAt": moment(at)}
    world.items_of_batch.pop(batch_id, None)
    batch = world.batches.change(batch_id, at, ended)
    told = {member: batch[member] for member in ("batchId", "organizationId", "status")}
    world.say(BATCH_COMPLETED, told, at)


def show(batch: Record) -> Record:
    """Show a batch as its endpoint does."""
    return {k: v for k, v in batch.items() if not k.startswith("_")}


def _register(world: World, batch: Record, item: Any, at: float) -> Registered:
    if world.happens(world.behaviour.item_failure_rate):
        raise ItemFailed("REFUSED", "refused by chance", "")
    return REGISTRARS[batch["type"]](world, batch, item, at)


def _say_cases(world: World, done: list[Registered], before: int, at: float) -> None:
    opened = {key for _, key in world.cases.walk(before - 1)}
    for case_id in dict.fromkeys(one.shown["caseId"] for one in done):
        if case_id in opened:
            cases.say_created(world, case_id, at)
        else:
            cases.close_when_paid(world, case_id, at)


def _move_amounts(world: World, done: list[Registered], at: float) -> None:
    promised = [one.move for one in done if one.move]
    world.agenda.add(
        at + world.behaviour.amount_delay_seconds, lambda when: moves.keep(world, promised, when)
    )


def _status(succeeded: list[Record], failed: list[Record]) -> str:
    if not failed:
        return SUCCESS
    return PARTIAL if succeeded else FAILED


def _failed(item: Any, exc: ItemFailed) -> Record:
    named = item if isinstance(item, dict) else {}
    members = ("invoiceId", "invoiceNumber", "uniqueSourceInvoiceId")
    return {m: named[m] for m in members if m in named} | {"errors": [exc.error]}
