"""The operations of the API that change something."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from service.sandbox import batches, cases, steps
from service.sandbox.asking import Ask, Told
from service.sandbox.errors import ItemFailed, Refused, SandboxError
from service.sandbox.items import READERS
from service.sandbox.journal import NO_EFFECT
from service.sandbox.wire import Record
from service.sandbox.world import World

Perform = Callable[[World, Ask], Told]


def submit(member: str, kind: str) -> Perform:
    """Make the operation that takes `{member: [...]}` as a batch of this type."""

    def perform(world: World, ask: Ask) -> Told:
        items = _object(ask).get(member)
        if not isinstance(items, list) or not items:
            raise Refused(400, f"{member} must be a list that is not empty")
        if world.behaviour.refuses_invalid_submissions:
            _refuse_unreadable(member, kind, items)
        now = world.clock()
        given = {"type": kind, "organizationId": ask.organization, "_key": ask.key}
        batch_id = batches.queue(world, given, items, now)["batchId"]
        return batches.taken(world, ask, batch_id, now)

    return perform


def step(name: str) -> Perform:
    """Make the operation that takes one step of a case: 202 without a body [assumed]."""
    asked = steps.STEPS[name]

    def perform(world: World, ask: Ask) -> Told:
        case = _case(world, ask)
        if ask.raw:
            _check_reason(_object(ask))
        due = steps.take(world, case["caseId"], asked, world.clock())
        return Told(202, effect=NO_EFFECT if due is None else asked.effect, effect_at=due)

    return perform


def _refuse_unreadable(member: str, kind: str, items: list[Any]) -> None:
    wrong = []
    for number, item in enumerate(items):
        try:
            READERS[kind](item)
        except ItemFailed as exc:
            field = f"{member}[{number}].{exc.error['field']}".rstrip(".")
            wrong.append({**exc.error, "field": field})
    if wrong:
        raise Refused(422, f"{member} cannot be read", wrong)


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
