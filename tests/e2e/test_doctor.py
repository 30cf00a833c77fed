"""`doctor` in a house that works: workers are seen, and what happened confirms assumptions."""

from __future__ import annotations

import json

from service.embedded import EmbeddedRedis
from service.sandbox.harness import SandboxServer
from tests.doors import command
from tests.e2e.conftest import RaiseHouse, on
from tests.e2e.house import CLIENT_ID, CLIENT_SECRET, SECRET, TOKEN


@on("sqlite")
def test_a_working_house_confirms(
    raise_house: RaiseHouse,
    amili: SandboxServer,
    own_redis: EmbeddedRedis,
    database_url: str,
) -> None:
    """After a webhook, a pause and a resume nothing is amiss, and what they show is confirmed."""
    house = raise_house(database_url, amili, redis_url=own_redis.url, read_lag_seconds="1")
    house.start()
    amili.control.set_webhook(url=f"http://127.0.0.1:{house.port}/webhooks/amili")
    case = amili.control.create_case()
    house.until(lambda: house.knows(case["caseId"]))
    hold = house.hold(case["caseId"])
    house.until_confirmed(case["caseId"], "pauseCase")
    house.release(case["caseId"], hold)
    house.until_confirmed(case["caseId"], "resumeCase")
    house.until_settled(1)
    done = command(
        *("doctor", "--json"),
        AMILI_REDIS_URL=own_redis.url,
        AMILI_DATABASE_URL=database_url,
        AMILI_DATA_DIR=house.data_dir,
        AMILI_WEBHOOK_SECRETS=SECRET,
        AMILI_API_TOKENS=TOKEN,
        AMILI_CLIENT_ID=CLIENT_ID,
        AMILI_CLIENT_SECRET=CLIENT_SECRET,
        AMILI_API_BASE_URL=amili.base_url,
        AMILI_TOKEN_URL=amili.token_url,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    found = json.loads(done.stdout)
    results = {each["name"]: each["result"] for each in found["checks"]}
    assert results["workers"] == results["store epoch"] == results["GetSettlements"] == "ok"
    verdicts = {each["name"]: each["verdict"] for each in found["assumptions"]}
    confirmed = ("signature_scheme", "path_pause_case", "path_resume_case", "case_answer")
    assert {verdicts[name] for name in confirmed} == {"confirmed"}
    assert verdicts["path_withdraw_case"] == "not seen"
