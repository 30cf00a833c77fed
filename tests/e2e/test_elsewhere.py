"""Nothing but the environment says where Redis, PostgreSQL and Amili are, and what is ours."""

from __future__ import annotations

from service.embedded import EmbeddedRedis
from tests.e2e.conftest import RaiseHouse
from tests.e2e.house import Webhook, envelope
from tests.e2e.other_amili import ORGANIZATION, OtherAmili
from tests.servers import PostgresServer, fresh_database


def test_another_redis_postgresql_and_amili_by_environment_only(
    own_redis: EmbeddedRedis, own_postgres: PostgresServer, raise_house: RaiseHouse
) -> None:
    """Pointed elsewhere by variables alone it works unchanged, and leaves foreigners' events be."""
    with OtherAmili() as amili, fresh_database(own_postgres.url) as url:
        house = raise_house(
            url, amili, redis_url=own_redis.url, organization_ids=ORGANIZATION, read_lag_seconds="1"
        )
        house.start()
        case = {"orgId": ORGANIZATION, "caseId": "case.å-1", "caseNumber": "4711"}
        ours = [
            envelope("CASE", {**case, "status": "OPEN", "invoices": ["INV:1"]}, "eventType"),
            envelope("BATCH_COMPLETED", {"batchId": "B-1", "organizationId": ORGANIZATION}),
            envelope(
                "SETTLEMENT_CREATED",
                {"settlementId": "S:1", "organizationId": ORGANIZATION, "caseNumber": "4711"},
            ),
        ]
        foreign = [
            envelope("CASE", {**case, "orgId": "org-99", "caseId": "theirs"}, "eventType"),
            envelope("BATCH_COMPLETED", {"batchId": "B-2", "organizationId": "org-99"}),
        ]
        said = house.deliver([Webhook.of(each) for each in (*ours, *foreign)])
        assert said == {202: 5}
        house.until_settled(5)
        outcomes = {event["eventId"]: event["outcome"] for event in house.events()}
        assert [outcomes[each["id"]] for each in ours] == ["applied"] * 3
        assert [outcomes[each["id"]] for each in foreign] == ["foreign"] * 2
        assert not [path for _, path in amili.calls if "org-99" in path or "theirs" in path]

        shown = house.until(lambda: house.get("/cases/case.%C3%A5-1"))
        assert (shown["status"], shown["caseNumber"]) == ("OPEN", "4711")
        house.until(lambda: house.get("/invoices/INV:1")["status"] == "OPEN")
        assert house.get("/invoices/INV:1")["remainingAmount"] == "1234.50"
        assert house.get("/batches/B-1")["failed"][0]["invoiceNumber"] == "never seen"
        assert house.get("/settlements/S:1")["record"]["net"] == "1.5"

        hold = house.hold("case.%C3%A5-1")
        house.until_confirmed("case.%C3%A5-1", "pauseCase")
        assert amili.status == "PAUSED"
        house.release("case.%C3%A5-1", hold)
        house.until_confirmed("case.%C3%A5-1", "resumeCase")
        assert amili.status == "OPEN"
        steps = [path for method, path in amili.calls if method == "POST" and path != "token"]
        assert steps == [
            f"/orgs/{ORGANIZATION}/cases/case.å-1/{step}" for step in ("pause", "resume")
        ]
        assert [path for method, path in amili.calls if path == "token"] == ["token"]
