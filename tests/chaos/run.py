"""One chaos run from the first case to the verdict, and the table that tells of it."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from service.domain.deliveries import digest_of
from service.errors import StoreError
from service.inbox import keys
from service.redis import RedisError, connect
from service.store.database import Database
from tests.chaos.load import Load, Said, Size
from tests.chaos.mischief import Mischief
from tests.chaos.oracle import Judge, Verdict
from tests.chaos.recovery import Recovery, Times
from tests.chaos.stage import Stage, spoil
from tests.e2e.house import Json, Webhook

UNFINISHED = "SELECT count(*) FROM events WHERE state IN ('received', 'retrying')"
LEVELS = "SELECT count(*) FROM actions WHERE kind IN ('pauseCase', 'resumeCase') AND state IN "
OPEN_LEVELS = LEVELS + "('planned', 'sent', 'answered')"
UNCERTAIN_LEVELS = LEVELS + "('uncertain')"
OPEN_CHUNKS = (
    "SELECT count(*) FROM actions WHERE kind = 'createInvoices' AND state IN ('planned', 'sent')"
)
UNDER_WAY = """
    SELECT kind, target, cause, state, attempts, is_ours, not_before, sent_at, ended_at, holder,
    lease_until, error FROM actions WHERE state IN ('planned', 'sent', 'answered', 'uncertain')
"""
#: A resume whose fate is unknown, or a pause that is no longer wanted, is judged after 300 s.
UNCERTAIN_SECONDS = 400.0


#: A webhook that is under way arrives within this.
TOLD_SECONDS = 1.0


@dataclass
class Outcome:
    """What a run brought."""

    said: Said
    verdict: Verdict
    times: Times
    harms: Mapping[str, int]
    log: Sequence[tuple[float, str]]
    kills: int
    resets: int
    drained_seconds: float
    seconds: float
    calls: int
    spoiled: int


def play(stage: Stage, size: Size, *, kills: int, patience: float, is_long: bool) -> Outcome:
    """Run it: prepare, break everything under load, calm down, drain, judge."""
    began = time.monotonic()
    stage.begin()
    cases = open_cases(stage, size.cases)
    stage.amili.control.set_webhook(url=f"http://127.0.0.1:{stage.house.port}/webhooks/amili")
    spoil(stage.amili)
    load = Load(stage.amili.control, stage.house.port, cases, size)
    with Recovery(stage.house.sql_url, stage.redis.url) as recovery:
        mischief = Mischief(stage, recovery, size.seed)
        thread = threading.Thread(target=load.run, name="load", daemon=True)
        thread.start()
        every = size.deliveries / size.rate / kills * 0.8
        mischief.run(lambda: load.is_sent, every=every, kills=kills)
        stage.calm()
        stage.until(lambda: not thread.is_alive(), seconds=patience)
        calm = time.monotonic()
        drain(stage, patience)
        drained = time.monotonic() - calm
        quiet(stage, patience, is_long=is_long)
    acknowledge_told(stage, load.said)
    database = Database(stage.house.sql_url, pool=1)
    judge = Judge(database, stage.amili, load.said)
    database.close()
    calls = stage.amili.control.calls()
    return Outcome(
        said=load.said,
        verdict=judge.verdict(),
        times=recovery.times(judge.settled_of_entities(), judge.settled_at),
        harms=mischief.done,
        log=mischief.log,
        kills=mischief.kills,
        resets=sum(link.resets for link in stage.links.values()),
        drained_seconds=drained,
        seconds=time.monotonic() - began,
        calls=len(calls),
        spoiled=sum(call["fault"] is not None for call in calls),
    )


def open_cases(stage: Stage, count: int) -> list[Json]:
    """Open cases and have them known before anything breaks."""
    made = [stage.amili.control.create_case() for _ in range(count)]
    told = stage.amili.control.deliveries("CASE")
    stage.house.deliver([Webhook.of(str(each["body"]).encode()) for each in told])
    stage.house.until_settled(count)
    return made


def drain(stage: Stage, patience: float) -> None:
    """Wait until nothing waits: stream, spool, events."""
    client = connect(stage.redis.url)

    def is_empty() -> bool:
        with contextlib.suppress(StoreError, RedisError):
            in_redis = client.xlen(keys.STREAM)
            in_sql = stage.house.rows("SELECT count(*) FROM spool")[0][0]
            return not in_redis and not in_sql and not count(stage, UNFINISHED)
        return False

    stage.until(is_empty, seconds=patience)
    client.connection_pool.disconnect()


def quiet(stage: Stage, patience: float, *, is_long: bool) -> None:
    """Wait until no call is under way, and nothing is leased.

    What is uncertain may stay so in the short form: a call for five minutes, an invoice for ten.
    """
    try:
        stage.until(lambda: not count(stage, OPEN_LEVELS, OPEN_CHUNKS), seconds=patience)
    except AssertionError as exc:
        raise AssertionError(f"under way: {stage.house.rows(UNDER_WAY)}\n{exc}") from None
    if is_long:
        stage.until(lambda: not count(stage, UNCERTAIN_LEVELS), seconds=UNCERTAIN_SECONDS)
        stage.until(lambda: not count(stage, OPEN_LEVELS), seconds=patience)
    stage.amili.control.set_webhook(url=None)  # what it still had to tell is told, or never
    time.sleep(TOLD_SECONDS)
    drain(stage, patience)
    held = "SELECT count(*) FROM entities WHERE holder IS NOT NULL"
    stage.until(lambda: not count(stage, held), seconds=patience)


def count(stage: Stage, *queries: str) -> int:
    """Add up what these count; something, while the database does not answer."""
    with contextlib.suppress(StoreError):
        return sum(int(stage.house.rows(query)[0][0]) for query in queries)
    return 1


def acknowledge_told(stage: Stage, said: Said) -> None:
    """Add what Amili itself has sent and got a 2xx for."""
    for told in stage.amili.control.deliveries():
        taken = [each["at"] for each in told["attempts"] if each["status"] in (200, 202)]
        if taken:
            digest = digest_of(str(told["body"]).encode())
            said.acknowledged.setdefault(digest, taken[0])


def percentile(values: list[float], share: float) -> float:
    """Return the value below which this share lies; 0 of nothing."""
    return values[min(len(values) - 1, int(share * len(values)))] if values else 0.0


def table(title: str, outcome: Outcome) -> str:
    """Write the table."""
    found, times, said = outcome.verdict, outcome.times, outcome.said
    statuses = sorted(said.door.items(), key=str)
    asked = sorted(said.api.items(), key=str)
    rows: list[tuple[str, Any]] = [
        ("acknowledged", f"{found.acknowledged} bodies (2xx), {found.stored} events in SQL"),
        ("lost", len(found.lost)),
        ("processed twice", len(found.twice)),
        ("dead, with cause", dict(found.dead) or 0),
        (
            "effective calls per cause, max",
            f"{found.effective} (calls of any outcome: {found.calls})",
        ),
        ("called again after its effect", len(found.repeated)),
        ("resumes while held", f"{len(found.resumed_while_held)}"),
        ("holds placed, released", f"{said.holds}, {said.releases}"),
        (
            "cases wrong, stale at the end",
            f"{len(found.wrong)}, {len(found.stale)} of {found.cases}",
        ),
        (
            "invoices submitted",
            f"{found.submitted}: missing {len(found.missing)}, uncertain {found.uncertain}",
        ),
        ("kills (SIGKILL, SIGTERM, SIGSTOP)", outcome.kills),
        ("connections reset", outcome.resets),
        ("calls of Amili, with a fault", f"{outcome.calls}, {outcome.spoiled}"),
        ("taken up after a kill, s", spread(times.taken_up)),
        ("the same, less the outages, s", spread(times.stricter)),
        ("the same, outages included, s", spread(times.in_all)),
        ("around the slowest", around(outcome)),
        ("settled after a kill, s", spread(times.settled)),
        ("drained after calm, s", f"{outcome.drained_seconds:.1f}"),
        ("the door's answers", ", ".join(f"{status}: {n}" for status, n in statuses)),
        ("the API's answers", ", ".join(f"{status}: {n}" for status, n in asked)),
        ("strange answers", dict(said.strange) or 0),
        ("seconds in all", f"{outcome.seconds:.0f}"),
    ]
    harms = ", ".join(f"{name} {n}" for name, n in sorted(outcome.harms.items()))
    return table_of(title, [*rows, ("harms", harms)])


def table_of(title: str, rows: Sequence[tuple[str, Any]]) -> str:
    """Write named values below a title."""
    width = max(len(name) for name, _ in rows)
    return "\n".join(["", title, "-" * len(title), *(f"{n:<{width}}  {v}" for n, v in rows)])


def around(outcome: Outcome) -> str:
    """Tell what was done while the work that waited longest did so; seconds from its kill."""
    _, killed, taken = outcome.times.slowest
    told = [f"{at - killed:+.0f} {name}" for at, name in outcome.log if killed - 14 < at < taken]
    return ", ".join([*told, f"{taken - killed:+.0f} taken up"]) if killed else "nothing"


def spread(values: list[float]) -> str:
    """Tell p95, the maximum and how many there are."""
    if not values:
        return "nothing was held"
    return f"p95 {percentile(values, 0.95):.1f}, max {values[-1]:.1f} (n = {len(values)})"
