"""Makes the OpenAPI 3.1 document of the API from its routes, its models and `described`.

It is served at `/api/v1/openapi.json`, behind a token like everything below `/api/v1`: one
rule without exceptions, and every tool that reads such documents can send a header.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from http import HTTPStatus
from typing import Any

from pydantic import BaseModel
from pydantic.json_schema import JsonSchemaMode, models_json_schema
from starlette.routing import Route

from service.errors import ConfigError
from service.version import own_version
from service.web.api import answers
from service.web.api.asked import KEY, WORD
from service.web.api.described import OPERATIONS, Described

PREFIX = "/api/v1"
REFERENCE = "#/components/schemas/{model}"
PROBLEM = answers.ProblemDetails
#: What a path calls an id, by what stands before it.
IDS: Mapping[str, str] = {
    "events": "eventId",
    "batches": "batchId",
    "invoices": "invoiceId",
    "settlements": "settlementId",
    "cases": "caseId",
    "holds": "holdId",
    "actions": "actionId",
    "submissions": "submissionId",
    "quarantine": "quarantineId",
}
PARAMETER = re.compile(r"(?<=/)(\w+)/\{\w+(?::path)?\}")
DETAILS: Mapping[int, str] = {
    400: "A parameter or header is malformed.",
    401: "No token, or none that is known.",
    404: "There is no such record.",
    413: "The body is too large.",
    415: "The body is not JSON.",
    422: "The body is unfit, or this is not possible now.",
    503: "A store is away: come again after Retry-After seconds.",
}
Document = dict[str, Any]


def document(routes: Sequence[Route]) -> Document:
    """Describe these routes. Raises ConfigError for one that `described` does not know."""
    known = list(operations(routes))
    schemas, references = components(described for _, _, described in known)
    paths: dict[str, Document] = {}
    for method, path, described in known:
        shown = operation(method, path, described, references)
        paths.setdefault(named(path), {})[method.lower()] = shown
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "amili-events",
            "version": own_version(),
            "description": "The operator's API. Where a path is shown as GET, HEAD is answered.",
        },
        "servers": [{"url": PREFIX}],
        "security": [{"token": []}],
        "paths": paths,
        "components": {
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
            "schemas": schemas,
        },
    }


def operations(routes: Iterable[Route]) -> Iterator[tuple[str, str, Described]]:
    """Walk the operations of routes: method, path as the route writes it, and what it is."""
    for route in routes:
        for method in sorted((route.methods or set()) - {"HEAD"}):
            described = OPERATIONS.get(f"{method} {route.path}")
            if described is None:
                raise ConfigError(f"{method} {route.path} stands in no row of `described`.")
            yield method, route.path, described


def named(path: str) -> str:
    """Write a route's path with the ids' names: `/cases/{id}` as `/cases/{caseId}`."""
    return PARAMETER.sub(lambda found: f"{found[1]}/{{{IDS[found[1]]}}}", path)


# --- schemas --------------------------------------------------------------------


def components(
    described: Iterable[Described],
) -> tuple[Document, Mapping[type[BaseModel], Document]]:
    """Make the schemas of all models, and a reference to each."""
    asked: dict[type[BaseModel], JsonSchemaMode] = {PROBLEM: "serialization"}
    for each in described:
        asked |= dict.fromkeys(models_of(each), "serialization")
        taken = (each.body, each.items[1] if each.items else None)
        asked |= {model: "validation" for model in taken if model is not None}
    found, schemas = models_json_schema(list(asked.items()), ref_template=REFERENCE)
    return schemas["$defs"], {model: found[model, mode] for model, mode in asked.items()}


def models_of(described: Described) -> tuple[type[BaseModel], ...]:
    """Name the models of the good answers."""
    if described.answer is None:
        return ()
    several = described.answer if isinstance(described.answer, tuple) else (described.answer,)
    return (*several, *(described.or_else[1:] if described.or_else else ()))


# --- one operation --------------------------------------------------------------


def operation(
    method: str,
    path: str,
    described: Described,
    references: Mapping[type[BaseModel], Document],
) -> Document:
    """Describe one operation."""
    shown: Document = {
        "operationId": operation_id(method, path),
        "summary": described.summary,
        "parameters": list(parameters(method, path, described)),
        "responses": dict(responses(method, path, described, references)),
    }
    if described.body is not None or described.items is not None:
        shown["requestBody"] = body(described, references)
    return shown


def operation_id(method: str, path: str) -> str:
    """Name an operation: `postCasesCaseIdHolds`."""
    return method.lower() + "".join(
        word[0].upper() + word[1:] for word in re.findall(r"\w+", named(path))
    )


def parameters(method: str, path: str, described: Described) -> Iterator[Document]:
    """List what an operation takes beside its body; every POST takes a key."""
    for name in re.findall(r"\{(\w+)\}", named(path)):
        yield {"name": name, "in": "path", "required": True, "schema": WORD}
    for name, schema in described.query.items():
        yield {"name": name, "in": "query", "schema": schema}
    if method == "POST":
        why = "The same key again gets the same answer, and nothing is done twice."
        yield {"name": "Idempotency-Key", "in": "header", "schema": KEY, "description": why}


def body(described: Described, references: Mapping[type[BaseModel], Document]) -> Document:
    """Describe a body."""
    schema: Any = references[described.body] if described.body else {}
    if described.items is not None:
        name, item = described.items
        some = {"type": "array", "items": references[item], "minItems": 1}
        whole = {
            "type": "object",
            "properties": {name: some},
            "required": [name],
            "additionalProperties": False,
        }
        schema = {"anyOf": [whole, some]}
    return {
        "required": not described.may_be_empty,
        "content": {"application/json": {"schema": schema}},
    }


def responses(
    method: str,
    path: str,
    described: Described,
    references: Mapping[type[BaseModel], Document],
) -> Iterator[tuple[str, Document]]:
    """List every answer: the good ones, and each refusal as problem details."""
    for status, schema in good(described, references):
        yield str(status), {"description": HTTPStatus(status).phrase, **content(schema)}
    for status in refusals(method, path, described):
        media = {"application/problem+json": {"schema": references[PROBLEM]}}
        shown: Document = {"description": DETAILS[status], "content": media}
        name, schema = {
            401: ("WWW-Authenticate", {"type": "string"}),
            503: ("Retry-After", {"type": "integer"}),
        }.get(status, ("", {}))
        if name:
            shown["headers"] = {name: {"required": True, "schema": schema}}
        yield str(status), shown


def good(
    described: Described, references: Mapping[type[BaseModel], Document]
) -> Iterator[tuple[int, Document | None]]:
    """List the good answers and their schemas."""
    if described.status == 204:
        yield 204, None
    elif described.answer is None:
        yield described.status, {"type": "object"}
    elif isinstance(described.answer, tuple):
        kinds = [references[each] for each in described.answer]
        one = kinds[0] if len(kinds) == 1 else {"anyOf": kinds}
        properties = {
            "data": {"type": "array", "items": one},
            "next": {"type": ["string", "null"], "description": "The `after` of the next page."},
        }
        schema = {"type": "object", "properties": properties, "required": ["data", "next"]}
        yield described.status, schema
    else:
        yield described.status, references[described.answer]
    if described.or_else is not None:
        status, model = described.or_else
        yield status, references[model]


def content(schema: Document | None) -> Document:
    """Put a schema under its media type."""
    return {} if schema is None else {"content": {"application/json": {"schema": schema}}}


def refusals(method: str, path: str, described: Described) -> list[int]:
    """List the statuses of refusals, from what the operation takes."""
    takes_words = method == "POST" or bool(described.query)
    found = {401, *described.also}
    found |= set() if described.needs_no_store else {503}
    found |= {400} if takes_words else set()
    found |= {404} if "{" in path else set()
    found |= {413} if described.body is not None else set()
    found |= {422} if method == "POST" and not described.always_possible else set()
    return sorted(found)
