"""The oracle sees each fault that is put into the real code on purpose.

`AMILI_TEST_LONG=1` looks for the first seed that finds a mutant, from seed 0 on; otherwise the
seed that is written down here is played, with and without the mutant.
"""

from __future__ import annotations

import os
from collections.abc import Callable

import pytest

from tests.simulation.mutants import MUTANTS, Mutant
from tests.simulation.patches import exchanged
from tests.simulation.play import Verdict, play
from tests.simulation.sql import Memory

LONG = bool(os.environ.get("AMILI_TEST_LONG"))
MOST_SEEDS = 5000
#: The first seed that finds each.
FOUND_AT: dict[str, int] = {
    "acknowledge_before_commit": 0,
    "ledger_after_call": 7,
    "dedup_before_append": 17,
    "lost_answer_is_a_no": 24,
    "lost_answer_is_repeated": 7,
    "new_key_for_each_try": 9,
    "sweeper_forgets_sent": 4,
    "sweeper_forgets_the_stream": 180,
    "hold_without_nudge": 9,
    "any_batch_will_do": 67,
    "reads_never_lag": 1,
    "lost_chunk_is_sent_again": 11,
    "failed_try_gives_up": 143,
}


def found(mutant: Mutant, seeds: range) -> Verdict | None:
    """Return the first verdict that sees the mutant."""
    memory = Memory()
    with exchanged(), pytest.MonkeyPatch.context() as patch:
        mutant.put_in(patch)
        for seed in seeds:
            verdict = play(seed, memory)
            if verdict.wrong:
                return verdict
    return None


@pytest.mark.timeout(3600 if LONG else 300)
@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda each: each.name)
def test_mutant_is_found(mutant: Mutant, record_property: Callable[[str, object], None]) -> None:
    """The simulation finds this fault within 5,000 seeds, and none of it without the fault."""
    seed = FOUND_AT[mutant.name]
    verdict = found(mutant, range(MOST_SEEDS) if LONG else range(seed, seed + 1))
    assert verdict is not None, "no seed finds it"
    assert verdict.seed == seed, "write the new seed down in FOUND_AT"
    record_property("mutant", (mutant.name, verdict.seed, verdict.wrong[0]))
    with exchanged():
        assert not play(seed, Memory()).wrong


def test_there_are_enough() -> None:
    """At least ten different faults are tried, and each has its seed."""
    assert len(MUTANTS) >= 10
    assert {each.name for each in MUTANTS} == set(FOUND_AT)
