"""Faults put into the real code on purpose: the oracle must see each of them.

Each mutant exchanges a function or two, and undoes what somebody once took care to do.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import timedelta
from types import SimpleNamespace
from typing import Any

import pytest
from sqlalchemy import update

from service.desk import writing as desk
from service.domain import pausing
from service.domain.actions import Action, ActionState
from service.domain.deliveries import Delivery
from service.domain.entities import Claim
from service.domain.receiving import receive
from service.errors import ProviderError
from service.inbox import keys
from service.inbox.appending import Appended
from service.inbox.stream import Stream
from service.store import entities, epoch, events, ledger, schema
from service.store.database import Tx
from tests.simulation.house import House
from tests.simulation.redis_client import ModelAppender
from workers import acting, drain, looking_up, submitting
from workers.parts import Parts

Patch = pytest.MonkeyPatch


@dataclass(frozen=True)
class Mutant:
    """A fault, in words, and how it is put in."""

    name: str
    put_in: Callable[[Patch], None]


def acknowledge_before_commit(patch: Patch) -> None:
    """The drain lets go of entries before they are in SQL."""

    def drain_stream(parts: Parts) -> int:
        entries = parts.stream.take(drain.GROUP)
        if not entries:
            return 0
        parts.stream.done(entries, ())
        found = [receive(each.delivery, ()) for each in entries if each.delivery is not None]
        parts.stream.epoch, _ = parts.database.run(
            lambda tx: (epoch.ensure(tx), events.store(tx, found))
        )
        return len(entries)

    patch.setattr(drain, "drain_stream", drain_stream)


class Undone(Exception):
    """Take a transaction back."""


def ledger_after_call(patch: Patch) -> None:
    """The row says `sent` only once the answer is there."""
    finish_in = acting.finish_in

    def begin(parts: Parts, action_id: str, case_id: str) -> Any:
        made: list[Any] = []

        def work(tx: Tx) -> None:
            made.append(acting.begin_in(tx, parts, action_id, case_id))
            if made[-1][0] is not None:
                raise Undone

        with suppress(Undone):
            parts.database.run(work)
        return made[-1]

    def late(tx: Tx, parts: Parts, action: Action, wait: timedelta) -> Any:
        sent = replace(action, state=ActionState.SENT)
        ledger.send(tx, sent, parts.holder, parts.lease)
        return finish_in(tx, parts, action, wait)

    patch.setattr(acting, "begin", begin)
    patch.setattr(acting, "finish_in", late)


def dedup_before_append(patch: Patch) -> None:
    """The door notes a body as seen, then appends it, in two steps."""

    async def append(self: ModelAppender, group: Sequence[Delivery]) -> Appended:
        states = []
        client: Any = self._redis
        for each in group:
            is_new = client._model.set(keys.seen(each.digest), "seen", nx=True)
            states.append("new" if is_new else "seen")
        fresh = [each for each, state in zip(group, states, strict=True) if state == "new"]
        if not fresh:
            return Appended(tuple(states), ring=False)
        names = [keys.STREAM, keys.BELL, *(f"x:{each.digest.hex()}" for each in fresh)]
        values: list[Any] = [keys.SEEN_MS, keys.BELL_MS]
        for each in fresh:
            values += [each.body, "{}", each.received_at.isoformat()]
        await client.execute("EVALSHA", "", len(names), *names, *values)
        return Appended(tuple(states), ring=True)

    patch.setattr(ModelAppender, "append", append)


def lost_answer_is_a_no(patch: Patch) -> None:
    """An answer that never came counts as a refusal."""

    def judge(action: Action, error: ProviderError) -> Action:
        if error.retryable and not error.may_have_happened:
            return acting.not_sent(action, error)
        return replace(action, state=ActionState.REFUSED, error=str(error))

    patch.setattr(acting, "judge", judge)


def lost_answer_is_repeated(patch: Patch) -> None:
    """An answer that never came counts as a call that was not made."""

    def judge(action: Action, error: ProviderError) -> Action:
        if error.retryable or error.may_have_happened:
            return acting.not_sent(action, error)
        return replace(action, state=ActionState.REFUSED, error=str(error))

    patch.setattr(acting, "judge", judge)


def new_key_for_each_try(patch: Patch) -> None:
    """A repeated call carries another idempotency key."""
    request = acting.request

    async def mutated(client: Any, call: acting.Call, parts: Parts) -> None:
        if call.action.attempts > 1:
            call = replace(call, action=replace(call.action, action_id=str(uuid.uuid4())))
        await request(client, call, parts)

    patch.setattr(acting, "request", mutated)


def sweeper_forgets_sent(patch: Patch) -> None:
    """Nobody looks for calls whose maker is gone."""
    patch.setattr(ledger, "abandoned", lambda tx, limit=200: [])


def sweeper_forgets_the_stream(patch: Patch) -> None:
    """Nobody rings for entries whose bell was lost."""
    patch.setattr(Stream, "backlog", lambda self: (0, 0.0))


def hold_without_nudge(patch: Patch) -> None:
    """A hold is placed, and nobody is told to look."""
    patch.setattr(desk, "entities", SimpleNamespace(nudge=lambda tx, nudges: None))


def any_batch_will_do(patch: Patch) -> None:
    """A lost chunk is taken to be whatever batch comes first."""

    async def find_batch(client: Any, sought: looking_up.Lost) -> Any:
        async for each in client.get_batches_by_organization(sought.action.organization_id or ""):
            return each.value
        return None

    patch.setattr(looking_up, "find_batch", find_batch)


def reads_never_lag(patch: Patch) -> None:
    """Every read is taken for the present."""
    made = House.__init__

    def mutated(self: House, *given: Any) -> None:
        made(self, *given)
        self.rules = pausing.Rules(timedelta())

    patch.setattr(House, "__init__", mutated)


def lost_chunk_is_sent_again(patch: Patch) -> None:
    """A chunk whose answer was lost goes out once more."""
    judge = submitting.judge

    def mutated(action: Action, error: ProviderError, wait: timedelta) -> submitting.Ended:
        ended = judge(action, error, wait)
        if ended.action.state is ActionState.UNCERTAIN:
            again = replace(ended.action, state=ActionState.PLANNED)
            return submitting.Ended(again, wait=timedelta(seconds=1))
        return ended

    patch.setattr(submitting, "judge", mutated)


def failed_try_gives_up(patch: Patch) -> None:
    """A look that failed is not put off, but done with."""

    def put_off(tx: Tx, claim: Claim, **named: Any) -> None:
        changed = {"done": claim.wanted, "holder": None, "lease_until": None}
        tx.execute(
            update(schema.entities)
            .where(schema.entities.c.entity == str(claim.key))
            .values(**changed)
        )

    patch.setattr(entities, "put_off", put_off)


MUTANTS: tuple[Mutant, ...] = tuple(
    Mutant(each.__name__, each)
    for each in (
        acknowledge_before_commit,
        ledger_after_call,
        dedup_before_append,
        lost_answer_is_a_no,
        lost_answer_is_repeated,
        new_key_for_each_try,
        sweeper_forgets_sent,
        sweeper_forgets_the_stream,
        hold_without_nudge,
        any_batch_will_do,
        reads_never_lag,
        lost_chunk_is_sent_again,
        failed_try_gives_up,
    )
)
