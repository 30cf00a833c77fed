"""The laws of the policy hold_on_reported_payment, over whatever may happen to one invoice."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from service.domain.holds import Hold
from service.domain.reports import Report, stands_for
from service.domain.submissions import ItemState
from service.policies.hold_on_reported_payment import on_case
from tests.unit.policies.reported import (
    FAILED,
    NOON,
    OPEN,
    TAKEN,
    hold,
    report,
    situation,
)

AMOUNTS = st.decimals("0.01", "999.99", places=2)


@dataclass
class World:
    """One invoice at Amili, and what is known of it here."""

    mirror: Decimal
    now: datetime = NOON
    booked: Decimal = Decimal(0)
    known: list[Report] = field(default_factory=list)
    holds: dict[str, Hold] = field(default_factory=dict)
    unbooked: set[int] = field(default_factory=set)

    def __post_init__(self) -> None:
        self.begin = self.mirror

    def report(self, amount: Decimal) -> None:
        """Report a payment; what stands here is its beginning."""
        number = len(self.known)
        new = report(number, str(amount), before=str(self.mirror), state=OPEN, at=self.now)
        self.known.append(new)
        self.unbooked.add(number)

    def take(self, which: int) -> None:
        """Let the batch of an open one take it."""
        self.end(which, TAKEN)

    def fail(self, which: int) -> None:
        """Let the batch of an open one refuse it."""
        self.end(which, FAILED)

    def wait(self, seconds: int) -> None:
        """Let time pass."""
        self.now += timedelta(seconds=seconds)

    def end(self, which: int, state: ItemState) -> None:
        """Let the batch of an open one end."""
        found = [each for each in self.known if each.state is OPEN]
        if found:
            chosen = found[which % len(found)]
            self.known[chosen.position] = replace(chosen, state=state, ended_at=self.now)
            if state is FAILED:
                self.unbooked.discard(chosen.position)

    def book(self, which: int) -> None:
        """Move the amount of one that the batch took, in any order."""
        taken = sorted(n for n in self.unbooked if self.known[n].state is TAKEN)
        if taken:
            number = taken[which % len(taken)]
            self.unbooked.discard(number)
            self.booked += self.known[number].amount

    def look(self) -> None:
        """Read the amounts, and do what the policy wishes."""
        self.mirror = self.begin + self.booked
        seen = tuple(replace(each, reached=self.mirror) for each in self.known)
        wishes = on_case(situation(*seen, holds=tuple(self.holds.values()), now=self.now))
        assert not {each.key for each in wishes.place} & set(self.holds)
        for place in wishes.place:
            self.holds[place.key] = hold(place.key)
        by_id = {each.hold_id: key for key, each in self.holds.items()}
        for release in wishes.release:
            self.holds[by_id[release.hold_id]] = hold(by_id[release.hold_id], release.by, self.now)
        self.check()

    def check(self) -> None:
        """What does not hold the case is not more than what Amili booked, and all of it taken."""
        free = [each for each in self.known if each.position not in self.held()]
        taken = [each for each in free if each.state is not FAILED]
        assert sum((each.amount for each in taken), Decimal(0)) <= self.booked
        assert all(each.state is TAKEN for each in taken)
        assert each_has_its_own([each for each in free if each.state is FAILED], taken)

    def held(self) -> set[int]:
        """Say which reports hold the case."""
        active = {key for key, each in self.holds.items() if each.released_by is None}
        return {each.position for each in self.known if each.key in active}


def each_has_its_own(failed: list[Report], taken: list[Report]) -> bool:
    """Whether each failed report was made again by another taken one."""
    if not failed:
        return True
    return any(
        each_has_its_own(failed[1:], [other for other in taken if other is not each])
        for each in taken
        if stands_for(each, failed[0])
    )


STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("report"), AMOUNTS),
        st.tuples(st.just("take"), st.integers(0, 9)),
        st.tuples(st.just("fail"), st.integers(0, 9)),
        st.tuples(st.just("book"), st.integers(0, 9)),
        st.tuples(st.just("wait"), st.sampled_from([1, 59, 61, 3600])),
        st.tuples(st.just("look"), st.just(0)),
    ),
    max_size=40,
)


def play(world: World, steps: list[tuple[str, Any]], *, looks: bool = True) -> None:
    """Let these things happen, with or without the looks in between."""
    for name, detail in steps:
        if name != "look":
            getattr(world, name)(detail)
        # The handover has the case looked at, too.
        if looks and name in ("look", "report"):
            world.look()


def finish(world: World) -> None:
    """Let everything end at Amili, and look once more."""
    for each in list(world.known):
        if each.state is OPEN:
            world.known[each.position] = replace(each, state=TAKEN, ended_at=world.now)
    while world.unbooked:
        world.book(0)
    world.look()


@given(begin=st.decimals("0", "5000", places=2), steps=STEPS)
def test_never_released_before_covered_and_always_in_the_end(
    begin: Decimal, steps: list[tuple[str, Any]]
) -> None:
    """Whatever the order of reports, batches, bookings and looks, money decides to the øre."""
    world = World(begin)
    play(world, steps)
    finish(world)
    failed = {each.position: each for each in world.known if each.state is FAILED}
    assert world.held() <= failed.keys()
    for position, first in failed.items():
        made_again = any(stands_for(each, first) for each in world.known if each.state is TAKEN)
        assert made_again or position in world.held()


def taken_and_held(world: World) -> set[int]:
    """Say which reports hold the case though Amili took them."""
    return {each.position for each in world.known if each.is_taken} & world.held()


@given(begin=st.decimals("0", "5000", places=2), steps=STEPS)
def test_looks_in_between_change_nothing_in_the_end(
    begin: Decimal, steps: list[tuple[str, Any]]
) -> None:
    """The policy sees a level, not edges: what Amili took is free in the end, seen often or not."""
    often, seldom = World(begin), World(begin)
    play(often, steps)
    play(seldom, steps, looks=False)
    finish(often)
    finish(seldom)
    assert taken_and_held(often) == taken_and_held(seldom) == set()


@given(
    amounts=st.lists(AMOUNTS, min_size=1, max_size=6),
    part=st.decimals("0", "6000", places=2),
)
def test_first_in_first_out(amounts: list[Decimal], part: Decimal) -> None:
    """So many of the oldest are released as the grown amount covers, to the last øre."""
    some = [report(n, str(amount), reached=str(part)) for n, amount in enumerate(amounts)]
    wishes = on_case(situation(*some, holds=tuple(map(hold, some))))
    covered = [n for n in range(len(some)) if sum(amounts[: n + 1], Decimal(0)) <= part]
    assert [each.hold_id for each in wishes.release] == [hold(some[n]).hold_id for n in covered]
