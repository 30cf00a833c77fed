"""Group commit: few writes for many senders, in order, and nobody pays for another's failure."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from service.domain.deliveries import Delivery, digest_of
from service.errors import NothingDurable
from service.intake import group
from service.intake.group import GroupCommit

AT = datetime(2026, 3, 1, tzinfo=UTC)


def delivery(number: int, size: int = 0) -> Delivery:
    """Make a delivery with this number in its body."""
    body = b"%d" % number + b" " * size
    return Delivery(digest_of(body), body, {}, AT)


def number_of(one: Delivery) -> int:
    """Read back its number."""
    return int(one.body)


class Journal:
    """A store that notes what was written; it fails, hangs or answers short when told to."""

    def __init__(self) -> None:
        self.groups: list[list[int]] = []
        self.failing: set[int] = set()
        self.error: BaseException = NothingDurable()
        self.short = False
        self.gate = asyncio.Event()
        self.gate.set()

    async def write(self, deliveries: Sequence[Delivery]) -> Sequence[str]:
        """Note a group, once the gate is open."""
        numbers = [number_of(each) for each in deliveries]
        self.groups.append(numbers)
        await asyncio.sleep(0)
        await self.gate.wait()
        if self.failing & set(numbers):
            raise self.error
        return [f"state-{number}" for number in numbers[: len(numbers) - self.short]]


def senders(commit: GroupCommit, numbers: Sequence[int]) -> list[asyncio.Task[str]]:
    """Start one sender for each number."""
    return [asyncio.create_task(commit.put(delivery(number))) for number in numbers]


def test_many_travel_together() -> None:
    """200 concurrent senders need at most three writes, in their order, each with its own state."""

    async def run() -> tuple[list[str], list[list[int]]]:
        journal = Journal()
        done = await asyncio.gather(*senders(GroupCommit(journal.write), range(200)))
        return done, journal.groups

    states, groups = asyncio.run(run())
    assert states == [f"state-{number}" for number in range(200)]
    assert len(groups) <= 3
    assert [number for some in groups for number in some] == list(range(200))
    assert all(len(some) <= group.GROUP for some in groups)


def test_lone_sender_waits_for_nobody() -> None:
    """One sender's group goes at once, and a later one starts anew."""

    async def run() -> list[list[int]]:
        journal = Journal()
        commit = GroupCommit(journal.write)
        for number in range(3):
            assert await commit.put(delivery(number)) == f"state-{number}"
        return journal.groups

    assert asyncio.run(run()) == [[0], [1], [2]]


@pytest.mark.parametrize("error", [NothingDurable(), RuntimeError("boom"), ValueError()])
def test_failing_group_fails_alone(error: BaseException) -> None:
    """Whatever a write raises, its own group hears NothingDurable and the next is written."""

    async def run() -> tuple[list[str | BaseException], list[list[int]]]:
        journal = Journal()
        journal.failing, journal.error = {0}, error
        commit = GroupCommit(journal.write)
        first = senders(commit, [0])
        while not journal.groups:
            await asyncio.sleep(0)
        later = senders(commit, [1, 2])
        found = await asyncio.gather(*first, *later, return_exceptions=True)
        return found, journal.groups

    found, groups = asyncio.run(run())
    assert isinstance(found[0], NothingDurable)
    assert found[1:] == ["state-1", "state-2"]
    assert groups == [[0], [1, 2]]


def test_short_answer_is_no_answer() -> None:
    """A write that answers for fewer than it was given has written nothing, for anybody in it."""

    async def run() -> list[str | BaseException]:
        journal = Journal()
        journal.short = True
        commit = GroupCommit(journal.write)
        async with asyncio.timeout(10):
            return await asyncio.gather(*senders(commit, range(5)), return_exceptions=True)

    assert all(isinstance(each, NothingDurable) for each in asyncio.run(run()))


def test_sender_that_hangs_up() -> None:
    """Cancelled senders are left out if they still wait, and break nobody if they are under way."""

    async def run() -> tuple[list[str | BaseException], list[list[int]]]:
        journal = Journal()
        journal.gate.clear()
        commit = GroupCommit(journal.write)
        under_way = senders(commit, [0, 1])
        await asyncio.sleep(0.01)
        waiting = senders(commit, [2, 3, 4])
        await asyncio.sleep(0.01)
        under_way[0].cancel()
        waiting[1].cancel()
        await asyncio.sleep(0)
        journal.gate.set()
        found = await asyncio.gather(*under_way, *waiting, return_exceptions=True)
        return found, journal.groups

    found, groups = asyncio.run(run())
    assert isinstance(found[0], asyncio.CancelledError)
    assert isinstance(found[3], asyncio.CancelledError)
    assert [found[1], found[2], found[4]] == ["state-1", "state-2", "state-4"]
    assert groups == [[0, 1], [2, 4]]


def test_all_hang_up() -> None:
    """When all who wait have gone nothing is written, and the next sender is served."""

    async def run() -> list[list[int]]:
        journal = Journal()
        journal.gate.clear()
        commit = GroupCommit(journal.write)
        first = senders(commit, [0])
        await asyncio.sleep(0.01)
        gone = senders(commit, [1, 2])
        await asyncio.sleep(0.01)
        for each in gone:
            each.cancel()
        journal.gate.set()
        await asyncio.gather(*first, *gone, return_exceptions=True)
        assert await commit.put(delivery(3)) == "state-3"
        return [some for some in journal.groups if some]

    assert asyncio.run(run()) == [[0], [3]]


def test_too_many_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    """Who comes when enough wait is told at once, and there is room again afterwards."""
    monkeypatch.setattr(group, "MOST_WAITING", 3)

    async def run() -> None:
        journal = Journal()
        journal.gate.clear()
        commit = GroupCommit(journal.write)
        first = senders(commit, [0])
        await asyncio.sleep(0.01)
        waiting = senders(commit, [1, 2, 3])
        await asyncio.sleep(0.01)
        with pytest.raises(NothingDurable):
            await commit.put(delivery(4))
        journal.gate.set()
        assert len(await asyncio.gather(*first, *waiting)) == 4
        assert await commit.put(delivery(5)) == "state-5"

    asyncio.run(run())


def test_too_many_bytes_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    """Bytes are bounded as well as senders, and are given back when they were written or failed."""
    monkeypatch.setattr(group, "MOST_WAITING_BYTES", 1000)

    async def run() -> None:
        journal = Journal()
        commit = GroupCommit(journal.write)
        journal.failing = {1}
        for number in range(10):
            journal.gate.clear()
            first = asyncio.create_task(commit.put(delivery(number, 900)))
            await asyncio.sleep(0.001)
            second = asyncio.create_task(commit.put(delivery(number, 900)))
            await asyncio.sleep(0.001)
            with pytest.raises(NothingDurable):
                await commit.put(delivery(number, 900))
            journal.gate.set()
            await asyncio.gather(first, second, return_exceptions=True)

    asyncio.run(run())


def test_groups_are_bounded_in_bytes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Large bodies travel in smaller groups."""
    monkeypatch.setattr(group, "GROUP_BYTES", 1000)

    async def run() -> list[list[int]]:
        journal = Journal()
        commit = GroupCommit(journal.write)
        tasks = [asyncio.create_task(commit.put(delivery(n, 400))) for n in range(9)]
        await asyncio.gather(*tasks)
        return journal.groups

    groups = asyncio.run(run())
    assert [number for some in groups for number in some] == list(range(9))
    assert max(map(len, groups)) <= 3


def test_shutdown_answers_everybody() -> None:
    """When the writing task is cancelled, all who wait hear that nothing is stored."""

    async def run() -> list[str | BaseException]:
        journal = Journal()
        journal.gate.clear()
        commit = GroupCommit(journal.write)
        tasks = senders(commit, [0])
        await asyncio.sleep(0.01)
        tasks += senders(commit, [1, 2])
        await asyncio.sleep(0.01)
        writing = next(t for t in asyncio.all_tasks() if "_run" in repr(t.get_coro()))
        writing.cancel()
        async with asyncio.timeout(10):
            return await asyncio.gather(*tasks, return_exceptions=True)

    assert all(isinstance(each, NothingDurable) for each in asyncio.run(run()))


steps = st.lists(
    st.tuples(st.sampled_from(["put", "put", "cancel", "open", "shut", "rest"]), st.booleans()),
    max_size=40,
)


async def play(story: list[tuple[str, bool]]) -> tuple[Journal, list[str | BaseException]]:
    """Act a story out; return what was written and what each sender heard."""
    journal = Journal()
    commit = GroupCommit(journal.write)
    tasks: list[asyncio.Task[str]] = []
    for step, bad in story:
        if step == "put":
            if bad:
                journal.failing.add(len(tasks))
            tasks += senders(commit, [len(tasks)])
        elif step == "cancel" and tasks:
            tasks[-1].cancel()
        elif step == "rest":
            await asyncio.sleep(0)
        elif step in ("open", "shut"):
            (journal.gate.set if step == "open" else journal.gate.clear)()
    journal.gate.set()
    async with asyncio.timeout(10):
        return journal, await asyncio.gather(*tasks, return_exceptions=True)


@settings(max_examples=150, deadline=None, database=None)
@given(steps)
def test_every_sender_is_answered_once_and_in_order(story: list[tuple[str, bool]]) -> None:
    """In whatever story, each sender has its own state, a failure of its own group, or has left."""
    journal, found = asyncio.run(play(story))
    written = [number for some in journal.groups for number in some]
    assert written == sorted(set(written))
    spoilt = {n for some in journal.groups if journal.failing & set(some) for n in some}
    for number, each in enumerate(found):
        if isinstance(each, asyncio.CancelledError):
            continue
        assert number in written
        if number in spoilt:
            assert isinstance(each, NothingDurable)
        else:
            assert each == f"state-{number}"
