"""The tester's other hand: behaviour, faults, webhooks, and what was received and sent.

Functions of the same form as in `control`.
"""

from __future__ import annotations

import dataclasses
from typing import Any

from service.sandbox.errors import SandboxError
from service.sandbox.faults import ANY, from_json
from service.sandbox.operations import NAMES
from service.sandbox.outbox import Target
from service.sandbox.wire import Record
from service.sandbox.world import World


def get_behaviour(world: World, _given: Record) -> Record:
    """Show the knobs."""
    return dataclasses.asdict(world.behaviour)


def set_behaviour(world: World, given: Record) -> Record:
    """Turn some knobs; the others stay."""
    world.turn(world.behaviour.changed(given))
    return get_behaviour(world, given)


def list_faults(world: World, _given: Record) -> list[Record]:
    """List the faults that can still strike."""
    return world.faults.waiting()


def add_fault(world: World, given: Record) -> list[Record]:
    """Order a fault (members of `faults.Fault`); list what waits."""
    fault = from_json(given)
    if fault.operation not in {ANY, *NAMES}:
        raise SandboxError(f"no operation {fault.operation}; known: {', '.join(sorted(NAMES))}")
    world.faults.add(fault)
    return world.faults.waiting()


def clear_faults(world: World, _given: Record) -> list[Record]:
    """Drop all faults."""
    world.faults.clear()
    return []


def calls(world: World, given: Record) -> list[Any]:
    """List the calls received, all or of an `operation` and on a `target`."""
    return list(world.journal.calls(given.get("operation"), given.get("target")))


def deliveries(world: World, given: Record) -> list[Record]:
    """List the webhooks, all or those of one `event` word."""
    return world.outbox.deliveries(given.get("event"))


def resend(world: World, given: Record) -> Record:
    """Send one webhook's very body again."""
    return world.outbox.resend(given["deliveryId"])


def say(world: World, given: Record) -> Record:
    """Publish a webhook of any `event` with any `data`, true or not."""
    return {"eventId": world.say(given["event"], given.get("data", {}), world.clock())}


def set_webhook(world: World, given: Record) -> Record:
    """Set `url`, `secret` and `prefix`; what is not given stays, a null URL only records."""
    try:
        world.outbox.target = dataclasses.replace(world.outbox.target, **given)
    except TypeError as exc:
        raise SandboxError(f"a webhook target has url, secret and prefix: {exc}") from exc
    return shown_target(world.outbox.target)


def shown_target(target: Target) -> Record:
    """Show a target without its secret."""
    return {"url": target.url, "prefix": target.prefix, "hasSecret": target.secret is not None}


def expire_tokens(world: World, _given: Record) -> Record:
    """Let every token given so far be worthless."""
    world.tokens.expire()
    return {}


def reset(world: World, _given: Record) -> Record:
    """Forget everything but tokens and the webhook target."""
    world.reset()
    return {}


def health(world: World, _given: Record) -> Record:
    """Say that the sandbox is there, and how much it holds."""
    held = ("cases", "invoices", "batches", "settlements")
    counts = {name: len(getattr(world, name)) for name in held}
    target = shown_target(world.outbox.target)
    forgotten = {
        "calls": world.journal.forgotten_calls,
        "bodies": world.journal.forgotten_bodies,
        "deliveries": world.outbox.forgotten,
    }
    said = {"status": "ok", "now": world.clock(), "webhook": target, "forgotten": forgotten}
    return said | counts
