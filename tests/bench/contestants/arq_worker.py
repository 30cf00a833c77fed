"""arq: one event loop, 32 jobs at once, aiohttp and an asynchronous pool of sessions.

arq tests.bench.contestants.arq_worker.WorkerSettings
"""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import Iterable
from typing import Any

import aiohttp
from arq import create_pool
from arq.connections import RedisSettings
from psycopg_pool import AsyncConnectionPool

API = os.environ["BENCH_API_URL"]
DATABASE = os.environ["BENCH_DATABASE_URL"]
ORGANIZATION = os.environ["BENCH_ORGANIZATION"]
REDIS = RedisSettings.from_dsn(os.environ["BENCH_REDIS_URL"])
TOGETHER = 32
#: The same statement as in `settling`, which this environment cannot import.
UPSERT = """
INSERT INTO cases (case_id, case_number, status, type, raw, read_at)
VALUES (%s, %s, %s, %s, %s, now())
ON CONFLICT (case_id) DO UPDATE SET
    case_number = excluded.case_number, status = excluded.status, type = excluded.type,
    raw = excluded.raw, read_at = excluded.read_at
"""


async def settle(context: dict[str, Any], case_number: str) -> None:
    """Fetch one case and save it."""
    url = f"{API}/orgs/{ORGANIZATION}/cases?CaseNumber={case_number}"
    async with context["http"].get(url) as answer:
        case = json.loads(await answer.read())["data"][0]
    row = (case["caseId"], case_number, case["status"], case["type"], json.dumps(case))
    async with context["sql"].connection() as session:
        await session.execute(UPSERT, row)


async def start(context: dict[str, Any]) -> None:
    """Open what all jobs of this process share."""
    connector = aiohttp.TCPConnector(limit=TOGETHER)
    headers = {"Authorization": "Bearer token"}
    context["http"] = aiohttp.ClientSession(connector=connector, headers=headers)
    context["sql"] = AsyncConnectionPool(
        DATABASE, min_size=4, max_size=TOGETHER, kwargs={"autocommit": True}, open=False
    )
    await context["sql"].open(wait=True)
    print("ready", flush=True)  # noqa: T201 - the harness reads it in the log


async def stop(context: dict[str, Any]) -> None:
    """Close it."""
    await context["http"].close()
    await context["sql"].close()


class WorkerSettings:
    """arq's own way of configuration."""

    functions = (settle,)
    redis_settings = REDIS
    on_startup = start
    on_shutdown = stop
    max_jobs = TOGETHER
    keep_result = 0  # nobody reads them
    poll_delay = 0.05  # ten times as often as it does by itself
    queue_read_limit = 200


def fill(numbers: Iterable[int]) -> None:
    """Queue jobs, a hundred at once."""
    asyncio.run(filling([*numbers]))


async def filling(numbers: list[int]) -> None:
    """Queue jobs."""
    redis = await create_pool(REDIS)
    for at in range(0, len(numbers), 100):
        some = numbers[at : at + 100]
        await asyncio.gather(*(redis.enqueue_job("settle", str(number)) for number in some))
    await redis.aclose()
