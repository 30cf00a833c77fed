"""What the gate and its bucket say to each other: turns, verdicts, grants. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from service.amili.client.purposes import Purpose

#: The purposes, the most urgent first: lists of numbers below are in this order.
ORDER = tuple(Purpose)


@dataclass(frozen=True, slots=True)
class Rules:
    """The numbers of the gate; times are seconds. All of them are ours to choose.

    `limit` is calls a second, 0 is none of ours.
    """

    limit: float = 0.0
    #: What may leave at once after a quiet time: so many seconds of the rate, at least `least`.
    burst_seconds: float = 0.5
    least_burst: float = 5.0
    #: The share of the bucket that each purpose leaves to those above it.
    reserve: float = 0.1
    #: After a 429 the rate grows by a part of the limit each second (without a limit: by one),
    #: and without a limit it is free again after `quiet`.
    grow_seconds: float = 20.0
    quiet_seconds: float = 60.0
    #: Without a limit, and while all is well, a process asks only so often.
    free_seconds: float = 0.1
    #: So many failures in a row open the breaker, first for `open_seconds`, then twice as long.
    failures: int = 5
    open_seconds: float = 1.0
    longest_open_seconds: float = 15.0
    #: Whoever tries an open breaker and says nothing for so long is taken for dead.
    probe_seconds: float = 31.0
    #: Ranks in `ORDER` by which it is tried, if there is a choice: a read that fails is only
    #: repeated, a follow-up that fails is in doubt, a submission in doubt waits for a human.
    probe_ranks: tuple[int, ...] = (2, 3, 4, 0, 1)
    #: A request that is refused again within so many seconds speaks for itself alone: Amili may
    #: refuse one case for ever, and nobody else is to wait for that. So many are remembered.
    repeat_seconds: float = 300.0
    repeats: int = 64
    #: No host is left alone for longer than this, whatever it said.
    longest_told_seconds: float = 3600.0
    #: While somebody tries, nobody else is told to wait for longer than this.
    retry_seconds: float = 1.0


class Verdict(StrEnum):
    """What a call showed about the host."""

    #: It answers.
    ALIVE = "alive"
    #: It answers that we call too often: 429.
    THROTTLED = "throttled"
    #: No connection, no answer in time, or a server error.
    FAILED = "failed"
    #: Nothing: it was sent, and its caller gave up waiting.
    GIVEN_UP = "given_up"
    #: Nothing: it was never sent, and its permit is free.
    UNTRIED = "untried"


@dataclass(frozen=True, slots=True)
class Permit:
    """The leave to make one call: when it was given, and its name if it tries an open breaker."""

    purpose: Purpose
    given_at: float
    probe: str = ""


@dataclass(frozen=True, slots=True)
class Told:
    """What became of a permit that is worth telling everybody."""

    verdict: Verdict
    given_at: float
    probe: str = ""
    #: Seconds for which the host wants to be left alone; 0: it did not say.
    wait: float = 0.0
    #: A digest of the request; empty: it did not even arrive.
    about: str = ""


@dataclass(frozen=True, slots=True)
class Turn:
    """What one process says and wants at one moment."""

    #: Permits wanted, for each purpose in `ORDER`.
    wants: tuple[int, ...]
    told: tuple[Told, ...] = ()
    #: Calls that left since the last turn without asking, as `Grant.free` allows.
    used: int = 0
    #: Permits that nobody needed in the end.
    returned: int = 0
    #: The name for a probe, should one be given, and a number in [0, 1) for the jitter.
    probe: str = ""
    chance: float = 0.0


@dataclass(frozen=True, slots=True)
class Grant:
    """The answer to a turn; times are seconds from now."""

    given: tuple[int, ...]
    #: On the bucket's clock.
    given_at: float
    #: When it is worth asking again for what was not given.
    wait: float = 0.0
    #: For how long nobody calls because the host asked so; 0: it did not.
    told_left: float = 0.0
    #: For how long nobody calls because the breaker is open; 0: it is not.
    open_left: float = 0.0
    #: The one permit given tries an open breaker.
    is_probe: bool = False
    #: For how long this process need not ask.
    free: float = 0.0
    #: Some call failed lately: a success is worth telling.
    is_failing: bool = False
    #: What this turn did to the breaker.
    opened: bool = False
    closed: bool = False
