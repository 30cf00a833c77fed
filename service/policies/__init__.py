"""Which follow-up when, and why: one file for each policy, all of them pure.

A policy reads a situation and answers with wishes; the workers save them. To add
one: write its file, add it to `POLICIES`, and give it its switch `policy_<name>` in
`service.settings`. May import `service.domain` and below.
"""

from __future__ import annotations

from service.policies.hold_on_failed_batch import HOLD_ON_FAILED_BATCH
from service.policies.hold_on_reported_payment import HOLD_ON_REPORTED_PAYMENT
from service.policies.release_on_closed import RELEASE_ON_CLOSED
from service.policies.situations import Policy

#: In the order in which they are asked.
POLICIES: tuple[Policy, ...] = (
    HOLD_ON_FAILED_BATCH,
    HOLD_ON_REPORTED_PAYMENT,
    RELEASE_ON_CLOSED,
)


def enabled(switches: dict[str, bool]) -> tuple[Policy, ...]:
    """Return the policies whose switch is on."""
    return tuple(policy for policy in POLICIES if switches.get(policy.name, False))
