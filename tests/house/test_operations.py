"""Stays red until an operation is complete: the contract's table, ours, the client, the sandbox."""

from __future__ import annotations

import csv
import inspect
from pathlib import Path
from typing import get_type_hints

import pytest

from service.amili.client import AmiliClient, arguments
from service.amili.contract import CaseOperation, Contract
from service.amili.operations import CASE_OPERATIONS, OPERATIONS, Operation, snake
from service.sandbox import operations as played
from tests.amili_calls import CALLS, SAMPLES, exchanges

ENDPOINTS = Path(__file__).parents[1] / "samples" / "endpoints.csv"
#: Public methods of the client that are no operation: views, and what is made of operations.
OTHERS = {"at", "find_case", "operate_on_case"}
#: Free search would put names into URLs.
LEFT_OUT = {"SearchTerm"}
PAGE = {"pagetoken"}
FILTERS: dict[str, type] = {
    "GetBatchesByOrganization": arguments.BatchFilter,
    "GetInvoicesByOrganization": arguments.InvoiceFilter,
    "GetCasesByOrganization": arguments.CaseFilter,
    "GetSettlements": arguments.SettlementFilter,
}


def rows() -> list[dict[str, str]]:
    """Read the table of the contract page."""
    with ENDPOINTS.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def as_written(operation: Operation) -> dict[str, str]:
    """Write an operation as the page does."""
    query = f"?{'&'.join(operation.query)}" if operation.query else ""
    return {
        "operation": operation.name,
        "method": operation.method,
        "path": operation.path + query,
        "mark": operation.mark,
    }


def test_the_table_is_that_of_the_contract() -> None:
    """Every row of the contract page is an operation of ours, and the other way round."""
    assert [as_written(operation) for operation in OPERATIONS] == rows()
    assert len(rows()) == 24


@pytest.mark.parametrize("operation", OPERATIONS, ids=lambda each: each.name)
def test_every_operation_has_its_method(operation: Operation) -> None:
    """It is a documented method of the client, has a sample, and is called in the tests."""
    method = getattr(AmiliClient, operation.label)
    first = (inspect.getdoc(method) or "").split()[0]
    assert snake(operation.name) == operation.label
    assert first in operation.name or operation.is_legacy
    assert operation.name in CALLS
    request = exchanges(operation.name)[0]["request"]
    assert request["method"] == operation.method


def test_every_method_is_an_operation() -> None:
    """The client has no method that is not in the table, but a few that are made of them."""
    public = {
        name
        for name, _ in inspect.getmembers(AmiliClient, inspect.isfunction)
        if not name.startswith("_")
    }
    assert public == {operation.label for operation in OPERATIONS} | OTHERS


def test_there_is_no_other_sample() -> None:
    """Every recorded sample is of an operation that exists, and every operation has one."""
    names = {operation.name for operation in OPERATIONS}
    assert len(list(SAMPLES.glob("*.json"))) == len(names)
    assert set(CALLS) == names


@pytest.mark.parametrize("name", FILTERS)
def test_every_parameter_is_a_filter(name: str) -> None:
    """Whatever the query takes can be asked for, but what would put names into URLs."""
    (operation,) = (each for each in OPERATIONS if each.name == name)
    offered = {operation.parameter(field) for field in get_type_hints(FILTERS[name])}
    wanted = {word for word in operation.query if word.lower() not in PAGE}
    assert offered == wanted - LEFT_OUT


def test_every_list_has_its_filters() -> None:
    """An operation with pages is one of those whose filters are looked at here."""
    paged = {op.name for op in OPERATIONS if PAGE & {word.lower() for word in op.query}}
    assert paged == set(FILTERS)


@pytest.mark.parametrize("operation", OPERATIONS, ids=lambda each: each.name)
def test_the_sandbox_plays_it(operation: Operation) -> None:
    """The second witness knows it under the same method and path, with the same query."""
    same = [
        each
        for each in played.OPERATIONS
        if (each.method, each.path) == (operation.method, operation.path)
    ]
    assert len(same) == 1
    assert same[0].name in played.NAMES
    assert set(same[0].query or operation.query) == set(operation.query)


def test_what_is_assumed_can_be_replaced() -> None:
    """Each path that nobody has read, and no other, is a setting that carries its mark."""
    for operation in OPERATIONS:
        is_assumed = "assumed" in operation.mark or operation.is_legacy
        assert (operation.setting is not None) is is_assumed
        if operation.setting is not None:
            field = Contract.model_fields[operation.setting]
            assert (field.description or "").startswith("[assumed]")
            assert operation.template(Contract()) == operation.path
    settings = {operation.setting for operation in OPERATIONS} - {None}
    assert settings == {name for name in Contract.model_fields if name.startswith("path_")}


def test_operations_on_cases_are_one_set() -> None:
    """The type of their names, their rows and their paths agree."""
    assert set(CASE_OPERATIONS) == set(CaseOperation.__args__)  # type: ignore[attr-defined]
    assert set(CASE_OPERATIONS) == {op.label for op in OPERATIONS if "{caseId}" in op.path}
