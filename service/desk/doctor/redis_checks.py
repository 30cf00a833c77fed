"""Checks of Redis: is it there, does it keep what it was given, what time has it?"""

from __future__ import annotations

import asyncio

from service.desk.doctor import clocks
from service.desk.doctor.findings import Check, bounded, in_thread, skipped
from service.inbox import examining
from service.redis import Client, connect, described, has_sentinels
from service.settings import Settings

NAMES = ["Redis durability", "Redis eviction", "clock of Redis"]
DO = "Start Redis, or correct AMILI_REDIS_URL; until then deliveries go to the SQL spool."
REPLICAS = "replicas of Redis"
BOUND = "Set `min-replicas-to-write 1` and `min-replicas-max-lag 2` on each server."
DURABLE = "Set `appendonly yes` and `appendfsync always` there, or AMILI_ACK_DURABILITY=memory."


async def check_redis(settings: Settings) -> list[Check]:
    """Look at Redis; where it is away, the rest is skipped."""
    first = await bounded("Redis", reachable(settings), DO)
    if first.result == "failed":
        return [first, *skipped(NAMES, "Redis does not answer.")]
    client = connect(settings.redis_url)
    try:
        asked = [
            bounded(NAMES[0], durability(settings), DURABLE),
            bounded(NAMES[1], in_thread(lambda: eviction(client)), DO),
            bounded(NAMES[2], in_thread(lambda: clock(client)), DO),
        ]
        if has_sentinels(settings.redis_url):
            asked.append(bounded(REPLICAS, in_thread(lambda: replicas(client)), BOUND))
        return [first, *await asyncio.gather(*asked)]
    finally:
        client.close()


async def reachable(settings: Settings) -> Check:
    """Redis answers."""
    client = connect(settings.redis_url)  # ConfigError for what is no URL
    try:
        await in_thread(client.ping)
    finally:
        client.close()
    how = described(settings.redis_url)
    return Check("Redis", "ok", f"It answers: {how}." if how else "It answers.")


async def durability(settings: Settings) -> Check:
    """Redis keeps what the door answered for, as AMILI_ACK_DURABILITY asks."""
    name, demand = NAMES[0], settings.ack_durability
    found = await examining.durability(settings.redis_url, demand)
    if found == "too weak":
        said = f"It is weaker than AMILI_ACK_DURABILITY={demand} asks for."
        return Check(name, "failed", f"{said} Deliveries go to the SQL spool.", DURABLE)
    if found == "unverified":
        do = "Allow this user CONFIG GET, or look at the server's configuration yourself."
        return Check(name, "warning", "Redis does not let us read its configuration.", do)
    return Check(name, "ok", f"It is as AMILI_ACK_DURABILITY={demand} asks for.")


def eviction(client: Client) -> Check:
    """A full Redis refuses, it does not throw away."""
    policy = examining.eviction(client)
    if policy == "noeviction":
        return Check(NAMES[1], "ok", "maxmemory-policy is noeviction.")
    if not policy:
        return Check(NAMES[1], "warning", "Redis does not tell its maxmemory-policy.", "")
    said = f"maxmemory-policy is {policy}: a full Redis would throw deliveries or bells away."
    return Check(NAMES[1], "failed", said, "Set `maxmemory-policy noeviction` there.")


def replicas(client: Client) -> Check:
    """A master that no replica follows takes no deliveries: a fail-over would lose them."""
    least = examining.least_replicas(client)
    if least:
        return Check(REPLICAS, "ok", f"A write needs {least}: min-replicas-to-write.")
    if least is None:
        return Check(REPLICAS, "warning", "Redis does not tell its min-replicas-to-write.", BOUND)
    said = "min-replicas-to-write is 0: what no replica has yet is lost in a fail-over."
    return Check(REPLICAS, "warning", said, BOUND)


def clock(client: Client) -> Check:
    """Redis' clock is ours."""
    at, asked_at, answered_at = examining.server_time(client)
    return clocks.judge(NAMES[2], "Redis", clocks.skew((at, at), (asked_at, answered_at)))
