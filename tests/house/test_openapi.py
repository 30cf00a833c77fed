"""Stays red until the document at `/openapi.json` tells what the mounted API does, and no more."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote

import pytest
from jsonschema import Draft202012Validator, FormatChecker
from starlette.datastructures import Headers, QueryParams
from starlette.requests import Request
from starlette.routing import Mount, Route

from service.amili.contract import Contract
from service.errors import StoreUnavailable
from service.store.database import Database
from service.telemetry.metrics import Metrics
from service.web.api import asked, submissions
from service.web.api.describing import named, operation_id
from service.web.app import create_app
from tests.doors import TOKEN, DoorThread, Reply, eventually
from tests.fuzz.seeding import CORRECTION, INVOICE, PAYMENT
from tests.fuzz.stage import ORGANIZATION, Stores, furnish, stores

#: A body for each operation that wants one: add a new operation's here.
BODIES: dict[str, Any] = {
    "postCasesCaseIdHolds": {"reason": "dispute"},
    "postCasesCaseIdPause": {"reason": "dispute", "until": "2099-01-01T00:00:00Z"},
    "postCasesCaseIdWithdraw": {"reason": "paid", "confirm": True},
    "postEventsReplay": {"type": "CASE_UPDATED"},
    "postInvoices": {"invoices": [INVOICE]},
    "postPayments": [PAYMENT],
    "postCorrections": {"corrections": [CORRECTION]},
}
#: Records of the furnished door: what each operation does something about.
IDS = {
    "eventId": "with/a slash",
    "caseId": "case-1",
    "holdId": "hold-1",
    "actionId": "action-1",
    "batchId": "batch-1",
    "invoiceId": "inv-1",
    "settlementId": "set-1",
}
OTHERS = {
    "postActionsActionIdCancel": {"actionId": "action-0"},
    "postCasesCaseIdWithdraw": {"caseId": "case-2"},
    "postEventsEventIdReplay": {"eventId": "event-0"},
}
#: Each of these is made to happen below; 422 depends on the state of things.
PROVOKED = {400, 401, 404, 413, 415, 503}
ITSELF = "/openapi.json"
#: What is asked of a request that is no parameter of the operation.
EVERYWHERE = {"authorization", "content-type"}
Operation = tuple[str, str, dict[str, Any]]


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stores]:
    """Start stores for all tests of this file."""
    with stores(tmp_path_factory.mktemp("openapi") / "stores") as opened:
        yield opened


@pytest.fixture(scope="module")
def door(place: Stores) -> Iterator[DoorThread]:
    """Open a door with a record of each kind."""
    with DoorThread(place.settings) as opened:
        furnish(place, opened)
        reply = opened.post("/payments", [PAYMENT | {"invoiceId": "inv-9"}])
        IDS["submissionId"] = reply.json["submissionId"]
        refused = eventually(lambda: opened.get("/quarantine").json["data"])
        IDS["quarantineId"] = refused[0]["quarantineId"]
        yield opened


@pytest.fixture(scope="module")
def document(door: DoorThread) -> dict[str, Any]:
    """Read the document as a stranger would."""
    found: dict[str, Any] = door.get("/openapi.json").json
    return found


def operations(document: dict[str, Any]) -> Iterator[Operation]:
    """Walk what is documented: method, path, operation."""
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            yield method.upper(), path, operation


def parameters(operation: dict[str, Any], where: str) -> set[str]:
    """Name the parameters of a kind."""
    return {each["name"] for each in operation["parameters"] if each["in"] == where}


def request(door: DoorThread, found: Operation, **changed: Any) -> Reply:
    """Ask as the document says, but for what is changed."""
    method, path, operation = found
    ids = IDS | OTHERS.get(operation["operationId"], {})
    ids |= {"caseId": "case-2"} if operation["operationId"].endswith("Reject") else {}
    ids |= changed.get("ids", {})
    filled = re.sub(r"\{(\w+)\}", lambda name: quote(ids[name[1]], safe=""), path)
    body = changed.get("body", BODIES.get(operation["operationId"]))
    raw = body if isinstance(body, bytes) else b"" if body is None else json.dumps(body).encode()
    # With a key: what was done by another test of this file is answered alike.
    headers = {"Authorization": f"Bearer {TOKEN}", "Idempotency-Key": operation["operationId"]}
    headers |= changed.get("headers", {})
    return door.ask(method, f"/api/v1{filled}{changed.get('query', '')}", raw, headers)


def statuses(operation: dict[str, Any]) -> set[int]:
    """List the documented statuses."""
    return {int(status) for status in operation["responses"]}


# --- the document itself --------------------------------------------------------


def test_every_route_is_documented(place: Stores, document: dict[str, Any]) -> None:
    """Each mounted route and method stands in the document, and nothing else does."""
    app = create_app(place.settings, Contract(), Metrics())
    (mounted,) = (each for each in app.routes if isinstance(each, Mount))
    there = {
        (method, named(route.path))
        for route in mounted.routes
        if isinstance(route, Route)
        for method in (route.methods or set()) - {"HEAD"}
    }
    assert all(isinstance(route, Route) for route in mounted.routes)
    assert {(method, path) for method, path, _ in operations(document)} == there
    assert document["servers"] == [{"url": mounted.path}]


def test_it_is_whole(document: dict[str, Any]) -> None:
    """It is OpenAPI 3.1 with a token for all, its schemas are schemas, its references lead on."""
    assert document["openapi"].startswith("3.1.")
    assert document["security"] == [{"token": []}]
    schemas = document["components"]["schemas"]
    for schema in schemas.values():
        # Patterns are those of ECMA 262, as JSON Schema says, and not Python's.
        Draft202012Validator.check_schema(schema, format_checker=FormatChecker(()))
    referred = set(re.findall(r'"#/components/schemas/(\w+)"', json.dumps(document)))
    assert referred == set(schemas)
    ids = [operation["operationId"] for _, _, operation in operations(document)]
    assert len(set(ids)) == len(ids)
    assert operation_id("POST", "/cases/{id}/holds") in ids


def test_members_are_in_camel_case(document: dict[str, Any]) -> None:
    """No member of any answer or body is written otherwise."""
    for schema in document["components"]["schemas"].values():
        for name in schema.get("properties", {}):
            assert re.fullmatch(r"[a-z][a-zA-Z]*", name), name


def test_nobody_reads_it_without_a_token(door: DoorThread) -> None:
    """It is behind a token like everything else."""
    assert door.ask("GET", "/api/v1/openapi.json").status == 401


# --- what is documented, and what is done ---------------------------------------


class Reads:
    """Notes which parameters and headers an endpoint asks for."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.query: set[str] = set()
        self.headers: set[str] = set()
        query, headers = self.query, self.headers

        class Query(QueryParams):
            def get(self, key: Any, default: Any = None) -> Any:
                query.add(key)
                return super().get(key, default)

        class Fields(Headers):
            def get(self, key: str, default: Any = None) -> Any:
                headers.add(key)
                return super().get(key, default)

        made = property(lambda self: Query(self.scope["query_string"]))
        monkeypatch.setattr(Request, "query_params", made)
        monkeypatch.setattr(Request, "headers", property(lambda self: Fields(scope=self.scope)))


def test_every_parameter_is_documented(
    door: DoorThread, document: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """What an endpoint reads from query and headers is what its operation lists."""
    reads = Reads(monkeypatch)
    for found in operations(document):
        reads.query.clear()
        reads.headers.clear()
        request(door, found, headers={"Content-Type": "application/json"})
        assert reads.query == parameters(found[2], "query"), found[1]
        keys = {name.lower() for name in parameters(found[2], "header")}
        assert reads.headers - EVERYWHERE == keys, found[1]


def test_lists_know_no_other_parameters(door: DoorThread, document: dict[str, Any]) -> None:
    """What a list says it knows is what its operation lists."""
    for found in operations(document):
        if "limit" in parameters(found[2], "query"):
            said = request(door, found, query="?never=1").json["detail"]
            assert set(re.findall(r"`(\w+)`", said)) == parameters(found[2], "query"), found[1]


def refusals(door: DoorThread, found: Operation) -> Iterator[tuple[int, Reply]]:
    """Ask wrongly in every way that the operation lets one; say what must come of it."""
    _, path, operation = found
    query = parameters(operation, "query")
    yield 401, request(door, found, headers={"Authorization": "Bearer no"})
    for name in sorted(query):
        if name in ("limit", "since", "kind", "all", "adrift", "dryRun"):
            yield 400, request(door, found, query=f"?{name}=%00")
    if parameters(operation, "header"):
        yield 400, request(door, found, headers={"Idempotency-Key": "x" * 201})
    if "{" in path:
        yield 404, request(door, found, ids=dict.fromkeys(IDS, "nobody"))
    if path == "/submissions":
        yield 404, request(door, found, query="?after=nobody")
    if "requestBody" in operation:
        large = submissions.LARGEST_BODY if "dryRun" in query else asked.LARGEST_BODY
        yield 413, request(door, found, body=b" " * (large + 1))
        yield 422, request(door, found, body=b"{")
    if "dryRun" in query:
        yield 415, request(door, found, headers={"Content-Type": "text/plain"})


def test_every_refusal_is_documented(door: DoorThread, document: dict[str, Any]) -> None:
    """Each way to ask wrongly has its status in the document, and each status is met."""
    for found in operations(document):
        met = set() if found[1] == ITSELF else {503}  # see below
        for status, reply in refusals(door, found):
            assert (found[1], reply.status) == (found[1], status)
            assert reply.is_problem
            met.add(status)
        documented = {status for status in statuses(found[2]) if status >= 400}
        assert met | {422} == documented | {422}, found[1]
        assert documented <= PROVOKED | {422}


def test_a_store_that_is_away_is_documented(
    door: DoorThread, document: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without its database every operation answers 503, but for this document."""

    def away(*args: Any) -> None:
        raise StoreUnavailable

    monkeypatch.setattr(Database, "read", away)
    monkeypatch.setattr(Database, "run", away)
    for found in operations(document):
        status = request(door, found, query=owner(found)).status
        assert status == (200 if found[1] == ITSELF else 503), found[1]
        assert status in statuses(found[2])


def strict(schema: Any) -> Any:
    """Let no member pass that is not documented."""
    if isinstance(schema, list):
        return [strict(each) for each in schema]
    if not isinstance(schema, dict):
        return schema
    made = {name: strict(each) for name, each in schema.items()}
    if made.get("type") == "object" and "properties" in made:
        made.setdefault("additionalProperties", False)
    return made


def test_every_answer_is_as_documented(door: DoorThread, document: dict[str, Any]) -> None:
    """Each operation, asked rightly, answers a documented status with exactly these members."""
    schemas = strict(document["components"])
    for found in sorted(operations(document), key=lambda each: each[0], reverse=True):
        reply = request(door, found, query=owner(found))
        assert reply.status in statuses(found[2]), (found[1], reply.body)
        shown = found[2]["responses"][str(reply.status)].get("content")
        if reply.status == 204:
            assert (shown, reply.body) == (None, b"")
            continue
        ((kind, media),) = shown.items()
        assert reply.headers["content-type"] == kind
        validator = Draft202012Validator(strict(media["schema"]) | {"components": schemas})
        assert not [error.message for error in validator.iter_errors(reply.json)], found[1]
        if found[1] not in ("/actions/{actionId}/resend", "/submissions/{submissionId}/resend"):
            refused = found[1].startswith("/quarantine/") or found[0] == "DELETE"
            assert reply.status < 400 or refused, (found[1], reply.body)


def owner(found: Operation) -> str:
    """Say whose a submission is."""
    asks = "organizationId" in parameters(found[2], "query")
    return f"?organizationId={ORGANIZATION}" if asks else ""
