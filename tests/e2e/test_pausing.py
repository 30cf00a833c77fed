"""Pausing is a level: judged from what an Amili whose reads lag and whose effects come late saw.

Many cases at once, each with a script of its own. The judge is the record of the imitation: a
pause of a case that is paused, or soon will be, is a failure even though it answers 409.
"""

from __future__ import annotations

import itertools
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

import pytest

from service.sandbox.harness import SandboxServer
from service.sandbox.journal import Call
from tests.e2e.conftest import RaiseHouse, sandbox
from tests.e2e.house import House, Json

DISTANCES = (0.0, 0.2, 0.5, 1.0, 2.0, 3.0, 5.0, 7.0, 10.0)
READ_LAG = 5.0
#: Once all scripts are over and nothing is open, nothing more may come within this.
QUIET_SECONDS = 12.0


def after(seconds: float) -> str:
    """Name a moment to come."""
    return (datetime.now(UTC) + timedelta(seconds=seconds)).isoformat()


@dataclass
class Scene:
    """One case at one house, and what its script says must come of it."""

    house: House
    amili: SandboxServer
    case_id: str
    name: str = ""
    ends: str = "OPEN"
    #: A resume of a case that somebody resumed before may meet a case that runs.
    may_meet_running: bool = False
    may_pause: bool = True
    may_resume: bool = True
    errors: list[str] = field(default_factory=list)

    def hold(self, seconds: float | None = None) -> str:
        """Place a hold, for so many seconds or for good."""
        if seconds is None:
            return self.house.hold(self.case_id)
        try:
            return self.house.hold(self.case_id, until=after(seconds))
        except AssertionError:
            # On a busy machine its end was past before it arrived: such a hold is refused.
            return self.house.hold(self.case_id, until=after(seconds + 10))

    def release(self, hold_id: str) -> None:
        """Release a hold."""
        self.house.release(self.case_id, hold_id)

    def status(self) -> str:
        """Tell what the case really is at Amili."""
        return str(self.amili.control.get_case(self.case_id)["case"]["status"])

    def until_status(self, status: str) -> None:
        """Wait until the case really is so."""
        self.house.until(lambda: self.status() == status)

    def until_confirmed(self, kind: str) -> None:
        """Wait until the house has seen the effect of its newest action."""
        self.house.until_confirmed(self.case_id, kind)


Script = Callable[[Scene], None]


def wait(seconds: float) -> None:
    """Let time pass: it is what these scripts are about."""
    time.sleep(seconds)


# --- scripts ----------------------------------------------------------------


def once(distance: float) -> Script:
    """Hold, and release after a while."""

    def script(scene: Scene) -> None:
        hold = scene.hold()
        wait(distance)
        scene.release(hold)

    return script


def again(first: float, second: float, *, and_release: float | None = None) -> Script:
    """Hold, release, hold again; release that one, too, or not."""

    def script(scene: Scene) -> None:
        once(first)(scene)
        wait(second)
        hold = scene.hold()
        scene.ends = "PAUSED"
        if and_release is not None:
            wait(and_release)
            scene.release(hold)
            scene.ends = "OPEN"

    return script


def flutter(distance: float, times: int) -> Script:
    """Hold and release in quick succession."""

    def script(scene: Scene) -> None:
        for _ in range(times):
            once(distance)(scene)
            wait(distance)

    return script


def two(distance: float, order: int, *, keep: bool = False) -> Script:
    """Place two holds that overlap, and release them in either order, or one of them only."""

    def script(scene: Scene) -> None:
        holds = [scene.hold()]
        wait(distance)
        holds.append(scene.hold())
        wait(distance)
        first, last = holds[:: 1 if order == 0 else -1]
        scene.release(first)
        wait(distance)
        scene.ends = "PAUSED"
        if not keep:
            scene.release(last)
            scene.ends = "OPEN"

    return script


def expiring(seconds: float, *, second: float | None = None) -> Script:
    """Place a hold that ends by itself, perhaps under a second one that is released later."""

    def script(scene: Scene) -> None:
        scene.hold(seconds)
        if second is not None:
            hold = scene.hold()
            wait(second)
            scene.release(hold)

    return script


def paused_by_hand(distance: float) -> Script:
    """Somebody at Amili paused the case long before: it is never ours to resume."""

    def script(scene: Scene) -> None:
        scene.ends = "PAUSED"
        scene.may_pause = scene.may_resume = False
        scene.amili.control.pause_by_hand(scene.case_id)
        wait(READ_LAG + 7)
        once(distance)(scene)

    return script


def resumed_by_hand_under_a_hold(scene: Scene) -> None:
    """Somebody at Amili resumes what a hold holds: it is paused once more."""
    scene.ends = "PAUSED"
    scene.hold()
    scene.until_confirmed("pauseCase")
    scene.amili.control.resume_by_hand(scene.case_id)
    scene.until_status("PAUSED")


def resumed_by_hand_and_released(scene: Scene) -> None:
    """Somebody at Amili resumes a held case, and a while later its hold ends."""
    hold = scene.hold()
    scene.until_confirmed("pauseCase")
    scene.amili.control.resume_by_hand(scene.case_id)
    scene.may_meet_running = True
    scene.release(hold)


def taken_over_by_hand(scene: Scene) -> None:
    """Somebody at Amili resumes what we paused and pauses it again: that pause is not ours."""
    hold = scene.hold()
    scene.until_confirmed("pauseCase")
    scene.release(hold)
    scene.until_confirmed("resumeCase")
    scene.amili.control.pause_by_hand(scene.case_id)
    scene.ends = "PAUSED"
    wait(READ_LAG + 7)
    once(1)(scene)


def freed_by_hand(scene: Scene) -> None:
    """Somebody paused the case before the hold and resumes it under the hold: now we pause it."""
    scene.amili.control.pause_by_hand(scene.case_id)
    wait(READ_LAG + 7)
    hold = scene.hold()
    wait(1)
    scene.amili.control.resume_by_hand(scene.case_id)
    scene.until_confirmed("pauseCase")
    scene.release(hold)


def untouched(scene: Scene) -> None:
    """Somebody pauses and resumes a case that nobody holds: none of our business."""
    scene.may_pause = scene.may_resume = False
    scene.amili.control.pause_by_hand(scene.case_id)
    wait(6)
    scene.amili.control.resume_by_hand(scene.case_id)


def scripts() -> Iterator[tuple[str, Script]]:
    """Name every script."""
    for each in DISTANCES:
        yield f"once {each}", once(each)
        yield f"hand {each}", paused_by_hand(each)
        yield f"two {each}", two(each / 2, int(each * 10) % 2)
    for first, second in itertools.product((0.0, 0.5, 2.0, 7.0), (0.0, 0.2, 1.0, 3.0, 10.0)):
        yield f"again {first} {second}", again(first, second)
    for first, second, third in ((0, 0, 0), (1, 2, 3), (7, 0, 7), (7, 3, 0.2), (10, 5, 10)):
        yield f"again {first} {second} {third}", again(first, second, and_release=third)
    for each in (0.0, 0.2, 0.7):
        yield f"flutter {each}", flutter(each, 8)
    for each in (0.2, 3.0):
        yield f"two, one kept {each}", two(each, 0, keep=True)
        yield f"two, the other kept {each}", two(each, 1, keep=True)
    for each in (1.0, 3.0, 7.0, 10.0):
        yield f"expiring {each}", expiring(each)
    yield "expiring under another", expiring(2, second=5)
    yield "expiring over another", expiring(7, second=2)
    for named in (
        resumed_by_hand_under_a_hold,
        resumed_by_hand_and_released,
        taken_over_by_hand,
        freed_by_hand,
        untouched,
    ):
        yield named.__name__, named


# --- the judge ----------------------------------------------------------------


def judge(scene: Scene) -> list[str]:
    """Name every way in which a case was not treated as the laws demand."""
    calls = [
        call
        for call in scene.amili.control.calls(target=scene.case_id)
        if call["operation"] in ("PauseCase", "ResumeCase")
    ]
    actions = {action["actionId"]: action for action in scene.house.actions(scene.case_id)}
    levels = Counter((c["operation"], actions[str(c["idempotencyKey"])]["cause"]) for c in calls)
    wrong = [*scene.errors]
    wrong += [f"{count} calls for {level}" for level, count in levels.items() if count > 1]
    for call in calls:
        wrong += judge_call(scene, call, str(actions[str(call["idempotencyKey"])]["sentAt"]))
    if scene.status() != scene.ends:
        wrong.append(f"ends as {scene.status()}, not as {scene.ends}")
    wrong += [f"still open: {each}" for each in actions.values() if each["state"] not in FINAL]
    return [f"{scene.name}: {each}" for each in wrong]


def judge_call(scene: Scene, call: Call, sent_at: str) -> list[str]:
    """Name what is wrong with one call."""
    is_pause = call["operation"] == "PauseCase"
    wrong = []
    if call["status"] != 202 and (is_pause or not scene.may_meet_running):
        wrong.append(f"{call['operation']} answered {call['status']}")
    if not (scene.may_pause if is_pause else scene.may_resume):
        wrong.append(f"{call['operation']} of a case that is none of our business")
    if not is_pause:
        holds = scene.house.get(f"/cases/{scene.case_id}")["holds"]
        wrong += [
            f"resumed under hold {hold['holdId']}"
            for hold in holds
            if hold["placedAt"] <= sent_at < end_of(hold)
        ]
    return wrong


FINAL = ("confirmed", "cancelled", "contradicted", "refused")


def end_of(hold: Json) -> str:
    """Tell when a hold stopped being in force."""
    return min(hold["releasedAt"] or "9", hold["until"] or "9")


@pytest.mark.timeout(240)
def test_one_pause_for_each_level_and_no_resume_in_doubt(
    sqlite_url: str, postgres_url: str, raise_house: RaiseHouse
) -> None:
    """Each level pauses once, nothing held or paused by others is resumed, on both databases."""
    scenes: list[tuple[Scene, Script]] = []
    with sandbox() as first, sandbox() as second:
        for amili, url in ((first, sqlite_url), (second, postgres_url)):
            house = raise_house(url, amili)
            amili.control.set_behaviour(
                read_lag_seconds=READ_LAG,
                effect_delay_seconds=1.0 if amili is first else 2.0,
                duplicates=2,
                reorder=True,
            )
            amili.control.set_webhook(url=f"http://127.0.0.1:{house.port}/webhooks/amili")
            house.start()
            for name, script in scripts():
                case_id = amili.control.create_case()["caseId"]
                where = "SQLite" if amili is first else "PostgreSQL"
                scenes.append((Scene(house, amili, case_id, f"{where}, {name}"), script))
        play(scenes)
        wrong = [each for scene, _ in scenes for each in judge(scene)]
        counted: dict[str, int] = defaultdict(int)
        for amili in (first, second):
            for call in amili.control.calls():
                counted[call["operation"]] += 1
        print(len(scenes), "cases", dict(counted))  # noqa: T201 - the figures of the run
    assert not wrong, "\n".join(wrong)


def play(scenes: list[tuple[Scene, Script]]) -> None:
    """Play every script at once, and wait until nothing more comes of them."""

    def run(scene: Scene, script: Script) -> None:
        try:
            scene.house.until(lambda: scene.house.knows(scene.case_id))
            script(scene)
        except Exception as exc:
            scene.errors.append(f"{type(exc).__name__}: {exc}"[:300])

    with ThreadPoolExecutor(len(scenes)) as pool:
        list(pool.map(lambda each: run(*each), scenes))
    until_quiet([scene for scene, _ in scenes])


def until_quiet(scenes: list[Scene]) -> None:
    """Wait until Amili has been left alone for a while: what never comes cannot be waited for."""
    places = {id(scene.house): (scene.house, scene.amili) for scene in scenes}.values()

    def changes() -> int:
        return sum(
            call["method"] == "POST" for _, amili in places for call in amili.control.calls()
        )

    seen, since = changes(), time.monotonic()

    def is_quiet() -> bool:
        nonlocal seen, since
        if changes() != seen or any(house.open_actions() for house, _ in places):
            seen, since = changes(), time.monotonic()
        return time.monotonic() - since > QUIET_SECONDS

    scenes[0].house.until(is_quiet, seconds=120)
