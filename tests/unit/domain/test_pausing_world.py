"""The level of a case in a world with lagging reads, lost calls and somebody else's hands.

`AMILI_TEST_LONG=1` runs many more examples.
"""

from __future__ import annotations

import os

from hypothesis import HealthCheck, given, note, settings
from hypothesis import strategies as st

from service.domain.actions import ActionKind, ActionState
from tests.unit.domain.amili_model import LAG_AND_EFFECT, Terms, World

LONG = bool(os.environ.get("AMILI_TEST_LONG"))
EXAMPLES = settings(
    max_examples=4000 if LONG else 600,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
)
TWENTY_MINUTES = 1200.0

gaps = st.one_of(st.floats(0, 3), st.floats(0, 10), st.floats(10, 100))
ours = st.one_of(
    st.just("place"),
    st.just("release"),
    st.just("look"),
    st.tuples(st.just("place"), st.one_of(st.floats(0.1, 10), st.floats(10, 120))),
)
theirs = st.sampled_from(["they pause", "they resume"])
seeds = st.integers(0, 2**32)
chances = st.sampled_from([0.0, 0.0, 0.2, 0.5])
Happening = tuple[float, str | tuple[str, float]]


def play(world: World, happenings: list[Happening]) -> None:
    """Let things happen, then let everything come to rest."""
    world.want(0.0)
    at = 1.0
    for gap, what in happenings:
        at += gap
        world.run(at)
        happen(world, what)
    world.stopped = True
    world.run(at + TWENTY_MINUTES)
    if world.interfered:  # contradictions in a row are answered ever more slowly
        world.run(at + 100 * TWENTY_MINUTES)


def happen(world: World, what: str | tuple[str, float]) -> None:
    """Let one thing happen."""
    if isinstance(what, tuple):
        world.place(what[1])
    elif what == "place":
        world.place(None)
    elif what == "release":
        world.release()
    elif what == "look":
        world.want(0.0)
    else:
        world.interfere(what == "they pause")


def tell(world: World) -> None:
    """Show the course of events beside a failure."""
    note("\n".join(world.trace))


def at_rest(world: World) -> None:
    """Assert that the case stands at Amili as the holds ask for, and that nothing is open."""
    assert world.is_quiet, "something goes on for ever"
    assert not any(action.is_open for action in world.actions), "an action stays open"
    not_ours = any(not action.is_ours for action in world.actions)
    if world.is_held:
        respected = not world.terms.enforce and any(not p for _, p in world.interfered)
        assert world.is_paused or respected or not_ours, "held, and yet it runs"
    else:
        # Where others had paused it too, whose pause stands now is in doubt: it is left alone.
        excused = not_ours or any(paused for _, paused in world.interfered)
        assert not world.is_paused or excused, "nothing holds it, and yet it stays paused"


@given(
    st.lists(st.tuples(gaps, ours), min_size=1, max_size=12),
    st.builds(Terms, seed=seeds, jumpy=st.booleans(), webhooks=st.booleans()),
)
@EXAMPLES
def test_undisturbed(happenings: list[Happening], terms: Terms) -> None:
    """With lagging reads only, the case always ends as its holds ask, and no call is wasted."""
    world = World(terms)
    try:
        play(world, happenings)
        at_rest(world)
        pauses, resumes = count(world)
        assert resumes <= pauses <= resumes + 1
        assert pauses == resumes + world.is_held
        assert pauses <= sum(what not in ("release", "look") for _, what in happenings)
        assert all(a.state in (ActionState.CONFIRMED, ActionState.CANCELLED) for a in world.actions)
    finally:
        tell(world)


@given(
    st.lists(st.tuples(st.floats(90, 200), st.floats(90, 200)), min_size=1, max_size=5),
    st.builds(Terms, seed=seeds, jumpy=st.booleans(), webhooks=st.booleans()),
)
@EXAMPLES
def test_one_pause_and_one_resume_for_each_hold(
    pairs: list[tuple[float, float]], terms: Terms
) -> None:
    """A hold that lasts, followed by a pause that lasts, is exactly one call each way."""
    world = World(terms)
    try:
        happenings: list[Happening] = []
        for before, lasting in pairs:
            happenings += [(before, "place"), (lasting, "release")]
        play(world, happenings)
        at_rest(world)
        assert count(world) == (len(pairs), len(pairs))
    finally:
        tell(world)


@given(
    st.lists(st.tuples(gaps, ours), min_size=1, max_size=12),
    st.builds(
        Terms,
        seed=seeds,
        lost=chances,
        answer_lost=chances,
        busy=chances,
        conflicts=st.booleans(),
        honours_keys=st.booleans(),
        jumpy=st.booleans(),
        webhooks=st.booleans(),
        failing_reads=chances,
        enforce=st.booleans(),
    ),
)
@EXAMPLES
def test_calls_and_answers_are_lost(happenings: list[Happening], terms: Terms) -> None:
    """Calls that never arrive, answers that never come: the case still ends as its holds ask."""
    world = World(terms)
    try:
        play(world, happenings)
        at_rest(world)
    finally:
        tell(world)


@given(
    st.lists(st.tuples(gaps, st.one_of(ours, theirs)), min_size=1, max_size=12),
    st.builds(
        Terms,
        seed=seeds,
        lost=chances,
        answer_lost=chances,
        busy=chances,
        conflicts=st.booleans(),
        jumpy=st.booleans(),
        webhooks=st.booleans(),
        failing_reads=chances,
        enforce=st.booleans(),
    ),
)
@EXAMPLES
def test_somebody_else_has_a_hand_in_it(happenings: list[Happening], terms: Terms) -> None:
    """Whatever others do by hand, what they paused is never resumed, and a hold is kept up."""
    world = World(terms)
    try:
        play(world, happenings)
        at_rest(world)
    finally:
        tell(world)


@given(
    st.lists(st.tuples(gaps, ours), min_size=1, max_size=10),
    st.builds(Terms, seed=seeds, lost=chances, answer_lost=chances, enforce=st.booleans()),
)
@EXAMPLES
def test_paused_by_somebody_else_long_before(happenings: list[Happening], terms: Terms) -> None:
    """A case that others had paused in good time is never touched."""
    world = World(terms)
    try:
        play(world, [(0.0, "they pause"), (LAG_AND_EFFECT + 5, "look"), *happenings])
        assert world.calls == []
        assert world.is_paused
    finally:
        tell(world)


def count(world: World) -> tuple[int, int]:
    """Count the calls that were made."""
    kinds = [kind for _, kind, _ in world.calls]
    return kinds.count(ActionKind.PAUSE_CASE), kinds.count(ActionKind.RESUME_CASE)
