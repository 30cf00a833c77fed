"""The model of Redis answers as a real server does, whatever it is asked in whatever order."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

import pytest
import redis
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    rule,
    run_state_machine_as_test,
)
from redis.exceptions import ResponseError

from service.inbox import epoch, keys, stream
from service.inbox.appending import APPEND
from service.redis import connect
from tests.simulation.redis_model import Pipeline, RedisModel

#: The server's clock runs by itself: times to live are never reached here, and idle times are
#: set by hand, on both sides alike.
LONG_MS = 10**12
HOUR_MS = 3_600_000
LONG = bool(os.environ.get("AMILI_TEST_LONG"))

digests = st.integers(0, 4).map(lambda number: bytes([number]) * 32)
consumers = st.sampled_from(("one", "two"))
epochs = st.sampled_from(("", "a", "b"))
counts = st.integers(1, 3)


class Twins(RuleBasedStateMachine):
    """The same commands on the model and on the server."""

    server: redis.Redis

    @initialize()
    def begin(self) -> None:
        """Begin empty."""
        self.server.flushdb()
        self.now = 1_000_000.0
        self.model = RedisModel(lambda: self.now)
        #: The server's id of an entry → its place; the model's likewise.
        self.ids: tuple[dict[bytes, int], dict[bytes, int]] = ({}, {})

    @rule(bodies=st.lists(digests, min_size=1, max_size=3, unique=True))
    def append(self, bodies: list[bytes]) -> None:
        """The door's script."""
        names = [keys.STREAM, keys.BELL, *(keys.seen(each) for each in bodies)]
        values: list[Any] = [LONG_MS, LONG_MS]
        for each in bodies:
            values += [each, "{}", "2026-01-01T00:00:00+00:00"]
        self.both(lambda client: client.eval(APPEND, len(names), *names, *values))

    @rule(digest=digests, state=st.sampled_from(("stored", "settled")), mine=epochs)
    def mark(self, digest: bytes, state: str, mine: str) -> None:
        """The drain's script."""
        names = [keys.EPOCH, keys.WITNESSES, keys.SPACED_WITNESSES, keys.SPACE, keys.seen(digest)]
        values = (state, LONG_MS, mine, digest, keys.CLEARING, 3, LONG_MS, 2)
        self.both(lambda client: client.eval(stream.MARK, len(names), *names, *values))

    @rule()
    def pass_an_hour(self) -> None:
        """Let the hour's witness be forgotten, as its time to live does."""
        self.both(lambda client: client.delete(keys.SPACE))

    @rule(mine=st.sampled_from(("a", "b")), clearing=st.booleans())
    def epoch(self, mine: str, clearing: bool) -> None:
        """What keeps the epoch: adopt, clear, finish."""
        if clearing:
            self.both(lambda client: client.set(keys.EPOCH, f"{keys.CLEARING}{mine}"))
            self.both(lambda c: c.delete(keys.WITNESSES, keys.SPACED_WITNESSES, keys.SPACE))
            found = self.both(lambda c: sorted(c.scan(0, match=keys.SEEN_PATTERN, count=1000)[1]))
            if found:
                self.both(lambda client: client.delete(*[each.decode() for each in found]))
        self.both(lambda client: client.set(keys.EPOCH, mine, nx=True))
        self.both(lambda client: client.eval(epoch.FINISH, 1, keys.EPOCH, mine))

    @rule()
    def make_group(self) -> None:
        """XGROUP CREATE."""
        self.both(lambda c: c.xgroup_create(keys.STREAM, keys.GROUP, id="0", mkstream=True))

    @rule()
    def lose_group(self) -> None:
        """XGROUP DESTROY, where there is a stream."""
        if self.server.exists(keys.STREAM):
            self.both(lambda client: client.xgroup_destroy(keys.STREAM, keys.GROUP))

    @rule(consumer=consumers, since=st.sampled_from((">", "0")), count=counts)
    def read(self, consumer: str, since: str, count: int) -> None:
        """XREADGROUP."""
        self.both(
            lambda client: plain(
                client.xreadgroup(keys.GROUP, consumer, {keys.STREAM: since}, count=count)
            )
        )

    @rule(consumer=consumers, idle=st.sampled_from((0, HOUR_MS)), count=counts)
    def claim(self, consumer: str, idle: int, count: int) -> None:
        """XAUTOCLAIM of what is idle for so long."""
        self.both(
            lambda client: client.xautoclaim(keys.STREAM, keys.GROUP, consumer, idle, count=count)[
                1:
            ]
        )

    @rule(places=st.sets(st.integers(0, 8), min_size=1, max_size=3), how=st.integers(0, 2))
    def let_go(self, places: set[int], how: int) -> None:
        """XACK, XDEL, or both in one MULTI, as the drain does."""
        first, second = (
            [each for each, place in ids.items() if place in places] for ids in self.ids
        )
        if not first:
            return

        def work(client: Any) -> Any:
            ids = second if client is self.model else first
            pipe = self.pipeline(client)
            with pipe:
                if how in (0, 2):
                    pipe.xack(keys.STREAM, keys.GROUP, *ids)
                if how in (1, 2):
                    pipe.xdel(keys.STREAM, *ids)
                return pipe.execute()

        self.both(work)

    @rule()
    def age(self) -> None:
        """Let an hour pass for every entry that somebody holds."""
        self.now += HOUR_MS
        try:
            pending: Any = self.server.xpending_range(keys.STREAM, keys.GROUP, "-", "+", 100)
        except ResponseError:
            return
        for each in pending:
            idle = each["time_since_delivered"] // HOUR_MS * HOUR_MS + HOUR_MS + 1
            self.server.xclaim(
                keys.STREAM,
                keys.GROUP,
                each["consumer"],
                0,
                [each["message_id"]],
                idle=idle,
                justid=True,
                force=False,
            )

    @rule()
    def forget(self) -> None:
        """The script that deletes consumers; those that hold something stay."""
        self.both(lambda c: c.eval(stream.FORGET, 1, keys.STREAM, keys.GROUP, -1))

    @rule(count=counts)
    def range(self, count: int) -> None:
        """XRANGE and XLEN."""
        self.both(lambda client: client.xrange(keys.STREAM, count=count))
        self.both(lambda client: client.xlen(keys.STREAM))

    @rule()
    def silence(self) -> None:
        """Take down the bell's flag."""
        self.both(lambda client: client.delete(keys.BELL))

    @invariant()
    def same(self) -> None:
        """Both keep the same."""
        if not hasattr(self, "model"):
            return
        self.both(self.kept)
        self.both(self.held)

    def kept(self, client: Any) -> Any:
        """Return everything that is kept, in one round trip."""
        names = [keys.seen(bytes([number]) * 32) for number in range(5)]
        pipe = self.pipeline(client)
        with pipe:
            for name in (keys.EPOCH, *names):
                pipe.get(name)
            pipe.lrange(keys.WITNESSES, 0, keys.MOST_WITNESSES)
            pipe.lrange(keys.SPACED_WITNESSES, 0, keys.MOST_SPACED)
            pipe.get(keys.SPACE)
            pipe.xrange(keys.STREAM)
            return pipe.execute()

    def pipeline(self, client: Any) -> Any:
        """Begin a MULTI."""
        if client is self.model:
            return Pipeline(lambda run: run(), self.model)
        return client.pipeline(transaction=True)

    def held(self, client: Any) -> Any:
        """Say who holds what."""
        if client is self.model:
            return [[each, who.encode()] for each, who in client.pending(keys.STREAM, keys.GROUP)]
        pending = client.xpending_range(keys.STREAM, keys.GROUP, "-", "+", 100)
        return [[each["message_id"], each["consumer"]] for each in pending]

    def both(self, work: Callable[[Any], Any]) -> Any:
        """Do it on both, and compare what is answered."""
        real = self.named(0, attempt(work, self.server))
        assert self.named(1, attempt(work, self.model)) == real
        return real

    def named(self, side: int, answer: Any) -> Any:
        """Put an entry's place where its id stands: the two clocks differ."""
        ids = self.ids[side]
        if isinstance(answer, bytes) and b"-" in answer and answer[:1].isdigit():
            return f"entry {ids.setdefault(answer, len(ids))}" if answer != b"0-0" else "none"
        if isinstance(answer, dict):
            return {
                name: self.named(side, value) for name, value in answer.items() if name != b"at"
            }
        if isinstance(answer, list | tuple):
            return [self.named(side, each) for each in answer]
        return answer


def attempt(work: Callable[[Any], Any], client: Any) -> Any:
    """Return the answer, or the first word of the error."""
    try:
        return work(client)
    except ResponseError as exc:
        return "error " + ("NOGROUP" if missing(exc) else str(exc).split()[0])


def missing(exc: ResponseError) -> bool:
    """Say whether it is because the stream or the group is not there; scripts say it otherwise."""
    return any(word in str(exc) for word in ("NOGROUP", "no such key"))


def plain(said: Any) -> Any:
    """Even out the shapes in which a read is answered."""
    if isinstance(said, dict):
        said = [[name, [e for chunk in chunks for e in chunk]] for name, chunks in said.items()]
    return [[entry, fields or {}] for _, found in said or () for entry, fields in found]


def test_model_is_as_a_server(redis_url: str) -> None:
    """Any sequence of the inbox's commands is answered alike by the model and by a real server."""
    client = connect(redis_url)
    machine = type("Pair", (Twins,), {"server": client})
    try:
        run_state_machine_as_test(
            machine,
            settings=settings(
                max_examples=400 if LONG else 60,
                stateful_step_count=30,
                deadline=None,
                suppress_health_check=list(HealthCheck),
            ),
        )
    finally:
        client.close()


def test_scripts_are_known() -> None:
    """The model knows each script of the inbox that the simulation runs, by its very text."""
    model = RedisModel(lambda: 0.0)
    assert set(model.scripts()) == {APPEND, stream.MARK, stream.FORGET, epoch.FINISH}
    with pytest.raises(KeyError):
        model.eval("return 1", 0)
