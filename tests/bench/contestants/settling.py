"""The work of one event, as every contestant but ours does it: one fetch, one upsert.

The bearer token is made once, as is everything that may be: a pool of HTTP connections, and
where processes live on, a pool of sessions in PostgreSQL.
"""

from __future__ import annotations

import json
import os
from typing import Any

import urllib3

API = os.environ["BENCH_API_URL"]
DATABASE = os.environ["BENCH_DATABASE_URL"]
ORGANIZATION = os.environ["BENCH_ORGANIZATION"]
HEADERS = {"Authorization": "Bearer token"}
SECONDS = 10.0
#: Calls under way at once in one process, as in the product.
TOGETHER = 32

UPSERT = """
INSERT INTO cases (case_id, case_number, status, type, raw, read_at)
VALUES (%s, %s, %s, %s, %s, now())
ON CONFLICT (case_id) DO UPDATE SET
    case_number = excluded.case_number, status = excluded.status, type = excluded.type,
    raw = excluded.raw, read_at = excluded.read_at
"""

http = urllib3.PoolManager(maxsize=TOGETHER, timeout=SECONDS, retries=2)


def fetch(case_number: str) -> dict[str, Any]:
    """Read the case from Amili."""
    answer = http.request("GET", url_of(case_number), headers=HEADERS)
    return case_in(answer.data)


def url_of(case_number: str) -> str:
    """Name where a case is read."""
    return f"{API}/orgs/{ORGANIZATION}/cases?CaseNumber={case_number}"


def case_in(answer: bytes) -> dict[str, Any]:
    """Take the case out of the answer."""
    case: dict[str, Any] = json.loads(answer)["data"][0]
    return case


def row_of(case: dict[str, Any]) -> tuple[str, str, str, str, str]:
    """Write a case as the upsert takes it."""
    number = str(case["caseNumber"])
    return case["caseId"], number, case["status"], case["type"], json.dumps(case)
