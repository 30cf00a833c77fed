"""Judges another clock: tokens, signed times and leases compare clocks."""

from __future__ import annotations

from service.desk.doctor.findings import Check, Result

WARN_SECONDS = 2.0
FAIL_SECONDS = 30.0
DO = "Let NTP keep this machine's time (timedatectl), and the other one's."


def skew(at: tuple[float, float], between: tuple[float, float]) -> float:
    """Say by how many seconds another clock is surely ahead, or behind if negative.

    It stood somewhere in `at` at some moment in `between`, both from and to, Unix times.
    """
    ahead, behind = at[0] - between[1], at[1] - between[0]
    if ahead > 0:
        return ahead
    return min(0.0, behind)


def judge(name: str, whose: str, seconds: float) -> Check:
    """Make the check of a skew."""
    off = abs(seconds)
    if off <= WARN_SECONDS:
        return Check(name, "ok", f"{whose} has our time.")
    side = "ahead of" if seconds > 0 else "behind"
    result: Result = "failed" if off > FAIL_SECONDS else "warning"
    return Check(name, result, f"{whose} is {off:.0f} s {side} this machine's clock.", DO)
