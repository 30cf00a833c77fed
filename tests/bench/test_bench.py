"""The benchmark's own parts work. Nothing here says how fast anything is."""

from __future__ import annotations

import dataclasses
import hmac
import json
import re
import time
from collections import deque
from hashlib import sha256
from pathlib import Path

import pytest
from rich.console import Console

from tests.bench import (
    bodies,
    door,
    doors,
    generator,
    markdown,
    options,
    plan,
    profile,
    stub_amili,
    table,
)
from tests.bench.figures import Spread, Target, percentile, ratios
from tests.bench.results import Line, Results
from tests.bench.stage import PYTHON, Broken, Stage, until
from tests.bench.watching import Watch


def test_percentiles_are_values_that_occurred() -> None:
    """A percentile is one of the measured values, also of few, and 0 of none."""
    ordered = [float(n) for n in range(1, 101)]
    assert percentile(ordered, 0.99) == 99.0
    assert percentile(ordered, 0.5) == 50.0
    assert percentile([7.0], 0.99) == 7.0
    assert percentile([], 0.99) == 0.0


def test_a_target_says_by_how_much_it_is_missed() -> None:
    """Reached from either side, or missed by a share of the bound."""
    assert Target(7, at_least=True).verdict(7.0) == "reached"
    assert Target(7, at_least=True).verdict(3.5) == "missed by 50%"
    assert Target(3, at_least=False).verdict(4.5) == "missed by 50%"
    assert Target(3, at_least=False).told() == "≤ 3"


def test_rounds_are_compared_with_their_neighbours() -> None:
    """Ratios go round by round; where a round is missing the medians are divided."""
    assert ratios([10.0, 20.0], [5.0, 5.0]) == [2.0, 4.0]
    assert ratios([10.0, 20.0, 30.0], [5.0, 5.0]) == [4.0]
    assert ratios([10.0], []) == []
    assert Spread.of([3.0, 1.0, 2.0]) == Spread(2.0, 1.0, 3.0, 3)
    with pytest.raises(ValueError, match="no round"):
        Spread.of([])


def test_bodies_are_unique_and_signed_as_the_contract_says(tmp_path: Path) -> None:
    """400 bytes of JSON each, never two alike, signed by hand, and read back as written."""
    made = [bodies.case_updated(seed, n, 7) for seed in (1, 2) for n in range(50)]
    assert {len(body) for body in made} == {bodies.BODY_BYTES}
    assert len(set(made)) == len(made)
    assert all(json.loads(body)["data"]["caseNumber"] == "7" for body in made)
    requests = [doors.AMILI.request(body) for body in made]
    assert bodies.write(tmp_path / "requests", requests) == len(made)
    assert list(bodies.read(tmp_path / "requests")) == requests
    head, _, body = requests[0].partition(b"\r\n\r\n")
    signature = re.search(rb"X-Webhook-Signature: (\w+)", head)
    assert signature is not None
    expected = hmac.new(bodies.SECRET.encode(), body, sha256).hexdigest()
    assert signature[1].decode() == expected


def test_the_generator_keeps_to_its_schedule_whatever_is_answered() -> None:
    """Request n is due n ÷ rate after the start, and none after the end."""
    run = generator.Run(deque([b"a", b"b", b"c"]), rate=10.0, seconds=0.15, began=100.0)
    assert run.next_due(now=500.0) == 100.0
    run.sent = 1
    assert run.next_due(now=500.0) == pytest.approx(100.1)
    run.sent = 2
    assert run.next_due(now=500.0) is None


def test_the_table_tells_figures_targets_and_what_broke() -> None:
    """A line without a figure is left out by name; what broke is printed."""
    results = Results()
    results.add("door", "ours", webhooks_a_second=1000.0)
    results.line(Line("reached line", Target(1, at_least=True), [2.0, 3.0]))
    results.line(Line("empty line", Target(1, at_least=True), []))
    results.fail("door: other", "no answers")
    console = Console(width=200, record=True, quiet=True)
    table.show(results, {}, console)
    shown = table.surroundings(results.as_json({}))
    assert "cores" in shown
    told = results.as_json({"rounds": 1})
    assert told["lines"][0]["verdict"] == "reached"
    assert told["skipped"][0].startswith("empty line")
    assert told["broken"] == ["door: other: no answers"]
    assert json.loads(json.dumps(told)) == told
    page = markdown.page(results, {})
    assert "| reached line | ≥ 1 | 2.50 (2.00 to 3.00) | reached |  |" in page
    assert "- door: other: no answers" in page
    assert told["machine"]["cores"] > 0
    assert told["date"].startswith("20")


def test_a_case_costs_everybody_one_call() -> None:
    """Neither event nor case names an invoice: the product alone would fetch that, too."""
    assert json.loads(bodies.case_updated(1, 2, 3))["data"]["invoices"] == []
    assert stub_amili.case(3)["invoices"] == []


def test_a_part_makes_fewer_turns_rather_than_take_more_time() -> None:
    """The first turn is always made; none that would not fit, and no part after the end."""
    asked = options.read(["--minutes", "1", "--rounds", "5"])
    results = Results()
    assert list(plan.turns(results, asked, "door")) == [0, 1, 2, 3, 4]
    assert plan.is_time(results, asked, "door")
    results.began -= 60
    assert not plan.is_time(results, asked, "door")
    assert "minutes are over" in results.skipped[0]
    made = []
    short = dataclasses.replace(asked, minutes=1e-6)
    for turn in plan.turns(results, short, "door"):
        made.append(turn)
        time.sleep(0.001)
    assert made == [0]
    assert results.skipped[-1] == "door: 4 of 5 turns: no time"


def test_samples_are_given_to_the_innermost_function_of_ours() -> None:
    """What a library does is charged to who called it; what py-spy says beside stacks is not."""
    folded = """process 7:"python -m workers";run (workers/jobs.py:9);send (psycopg/x.py:3) 3
process 8:"python" 5
process 7:"python -m workers";main (uvloop/y.py:1) 1
"""
    assert profile.shares(folded, profile.ours_in) == [
        ("run (workers/jobs.py)", 0.75),
        ("outside of our code", 0.25),
    ]
    assert profile.shares(folded, profile.leaf_of)[0] == ("send (psycopg/x.py)", 0.75)


def test_the_peak_of_a_process_is_seen_after_it_has_passed() -> None:
    """Memory that was given back before anybody looked still counts, of a child as well."""
    code = "x = b'x' * 200_000_000; del x; print('ready', flush=True); import time; time.sleep(60)"
    with Stage() as stage:
        running = stage.start("eater", [PYTHON, "-c", code], {})
        until(lambda: "ready" in running.said(), running)
        watch = Watch([running])
        watch.look(shares=True)
    assert watch.peak > 200_000_000
    assert 0 < watch.together < watch.peak


def test_options_are_bounded() -> None:
    """What is not known, or without an end, is refused."""
    assert options.read(["--only", "door,work", "--seconds", "3"]).only == ("door", "work")
    for words in (["--only", "dor"], ["--seconds", "0"], ["--rounds", "1000"]):
        with pytest.raises(SystemExit):
            options.read(words)


def test_a_stage_leaves_no_process_and_no_folder() -> None:
    """What it started is ended, and a program that fails is told with its own words."""
    with Stage() as stage:
        folder = stage.folder
        asleep = stage.start("asleep", [PYTHON, "-c", "import time; time.sleep(600)"], {})
        dying = stage.start("dying", [PYTHON, "-c", "raise SystemExit('no luck')"], {})
        with pytest.raises(Broken, match="no luck"):
            until(lambda: False, dying)
        assert asleep.popen.poll() is None
    assert asleep.popen.poll() is not None
    assert not folder.exists()


def test_the_real_door_takes_what_the_benchmark_sends() -> None:
    """For one second, at a low rate: every request is answered with 2xx."""
    with door.opened(doors.OURS, seed=door.seed()) as it:
        turn = it.steady(rate=50, seconds=1, connections=4)
        assert turn.loaded.is_sound
        it.demand_kept()
        it.taken += 1000  # it would have lost a thousand
        with pytest.raises(Broken, match="and kept 50"):
            it.demand_kept()
    assert turn.loaded.requests == 50
    assert turn.cpu_us > 0
    assert turn.peak > 0
