"""The operations of the API that change something."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from service.sandbox import batches, cases, steps
from service.sandbox.asking import Ask, Told
from service.sandbox.errors import Refused, SandboxError
from service.sandbox.wire import Record
from service.sandbox.world import World

Perform = Callable[[World, Ask], Told]


def submit(member: str, kind: str) -> Perform:
    """Make the operation that takes `{member: [...]}` as a batch of this type."""

    def perform(world: World, ask: Ask) -> Told:
        items = _object(ask).get(member)
        if not isinstance(items, list) or not items:
            raise Refused(400, f"{member} must be a list that is not empty")
        now = world.clock()
        given = {"type": kind, "organizationId": ask.organization, "_key": ask.key}
        batch_id = batches.queue(world, given, items, now)["batchId"]
        return Told(
            202,
            {"batchId": batch_id, "batchUrl": f"{ask.base}/batches/{batch_id}"},
            effect="queued",
            effect_at=now + world.behaviour.batch_delay_seconds,
            target=batch_id,
        )

    return perform


def step(name: str) -> Perform:
    """Make the operation that takes one step of a case: 202 without a body [assumed]."""
    asked = steps.STEPS[name]

    def perform(world: World, ask: Ask) -> Told:
        case = _case(world, ask)
        if ask.raw:
            _check_reason(_object(ask))
        due = steps.take(world, case["caseId"], asked, world.clock())
        return Told(202, effect=asked.effect, effect_at=due)

    return perform


def _case(world: World, ask: Ask) -> Record:
    try:
        case = cases.must(world, ask.target or "")
    except SandboxError as exc:
        raise Refused(404, "not found") from exc
    if case["organizationId"] != ask.organization:
        raise Refused(404, "not found")
    return case


def _check_reason(body: Record) -> None:
    for member in ("reason", "comment"):
        if not isinstance(body.get(member, ""), str | None):
            raise Refused(400, f"{member} must be a string")


def _object(ask: Ask) -> dict[str, Any]:
    if not isinstance(ask.body, dict):
        raise Refused(400, "the body must be a JSON object")
    return ask.body
