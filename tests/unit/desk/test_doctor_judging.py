"""From rows to verdicts: each assumption is in the list, and evidence is told for what it is."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from datetime import timedelta

import pytest

from service.amili.contract import Contract
from service.desk.doctor import clocks
from service.desk.doctor.assumptions import FIELDS, IN_CODE, Evidence, Judged
from service.desk.doctor.judging import judge
from service.store.evidence import Traces

NOTHING = Traces(
    applied=0,
    variants=0,
    actions=Counter(),
    slowest_effect=None,
    failed_items=0,
    silent_items=0,
    settlements=0,
    with_amounts=0,
    closed_statuses=frozenset(),
    debtor_types=frozenset(),
    times=0,
    times_without_offset=0,
)


def judged(traces: Traces, **contract: object) -> dict[str, Judged]:
    """Judge these traces."""
    evidence = Evidence()
    judge(traces, Contract.model_validate(contract), evidence)
    return {each.name: each for each in evidence.judged()}


def verdicts(traces: Traces, **contract: object) -> dict[str, str]:
    """Name what was seen, for or against."""
    found = judged(traces, **contract).items()
    return {name: each.verdict for name, each in found if each.verdict != "not seen"}


def test_every_assumed_field_is_in_the_list() -> None:
    """Whoever adds an assumption to the contract adds it to the report."""
    marked = {
        name
        for name, field in Contract.model_fields.items()
        if (field.description or "").startswith("[assumed]")
    }
    told = marked | {"idempotency_header"}
    assert set(FIELDS) == told
    assert len(set(FIELDS)) == len(FIELDS)
    assert not set(FIELDS) & set(IN_CODE)


def test_without_rows_nothing_is_claimed() -> None:
    """An empty database confirms nothing, and each assumption stands with its variable."""
    found = judged(NOTHING)
    assert {each.verdict for each in found.values()} == {"not seen"}
    assert found["path_pause_case"].variable == "AMILI_PATH_PAUSE_CASE"
    assert found["last_page"].variable == ""
    assert all(each.words.endswith((".", "`.", "]")) for each in found.values())
    assert not any(each.words.startswith("[") for each in found.values())


def test_webhooks_confirm_the_signature() -> None:
    """What was accepted and worked on was signed by the scheme that is set."""
    traces = replace(NOTHING, applied=3)
    assert verdicts(traces) == {"signature_scheme": "confirmed", "any_2xx": "confirmed"}
    standard = verdicts(traces, signature_scheme="standard-webhooks")
    assert standard.keys() >= {"standard_id_header", "signature_tolerance_seconds"}
    assert (
        "hmac-sha512-hex"
        in judged(traces, signature_scheme="hmac-sha512-hex")["signature_scheme"].evidence
    )


@pytest.mark.parametrize(
    ("fate", "verdict"), [("taken", "confirmed"), ("unknown_path", "contradicted")]
)
def test_the_ledger_judges_paths(fate: str, verdict: str) -> None:
    """A call that was taken confirms its path, 404 and 405 contradict it; others are untouched."""
    found = verdicts(replace(NOTHING, actions=Counter({("withdrawCase", fate): 2})))
    assert found.pop("case_answer", "confirmed") == "confirmed"
    assert found == {"path_withdraw_case": verdict}


def test_one_contradiction_outweighs_confirmations() -> None:
    """A path that worked and then did not is told as contradicted."""
    counted = Counter({("pauseCase", "taken"): 9, ("pauseCase", "unknown_path"): 1})
    found = judged(replace(NOTHING, actions=counted))["path_pause_case"]
    assert (found.verdict, found.evidence) == ("contradicted", "1 were answered 404 or 405.")


def test_what_is_seen_but_decides_nothing_is_told() -> None:
    """A conflict, and members that may be ignored, stay «not seen» with a word about them."""
    counted = Counter({("pauseCase", "taken"): 1, ("pauseCase", "conflict"): 4})
    found = judged(replace(NOTHING, actions=counted))
    assert found["already_so"].verdict == "not seen"
    assert "4 were answered 409" in found["already_so"].evidence
    assert found["case_reason_member"].verdict == "not seen"
    assert "is not seen" in found["case_reason_member"].evidence


def test_the_read_lag() -> None:
    """Effects that showed in time confirm the lag; later ones decide nothing."""
    quick = replace(NOTHING, slowest_effect=timedelta(seconds=4))
    assert verdicts(quick) == {"read_lag_seconds": "confirmed"}
    slow = replace(NOTHING, slowest_effect=timedelta(seconds=40))
    assert verdicts(slow) == {}
    assert "40.0 s" in judged(slow)["read_lag_seconds"].evidence


def test_records() -> None:
    """Members of batches, settlements and cases are compared with what is assumed of them."""
    good = replace(
        NOTHING,
        failed_items=3,
        silent_items=2,
        settlements=2,
        with_amounts=2,
        closed_statuses=frozenset({"CLOSED"}),
        debtor_types=frozenset({"PRIVATE", "COMPANY"}),
        times=5,
    )
    names = ("failed_members", "settlement_amounts", "closed_status", "company_debtor", "times")
    assert verdicts(good) == dict.fromkeys(names, "confirmed")
    bad = replace(
        NOTHING,
        variants=1,
        failed_items=2,
        silent_items=2,
        settlements=2,
        closed_statuses=frozenset({"CLOSED", "SETTLED"}),
        debtor_types=frozenset({"PRIVATE", "ESTATE"}),
        times=5,
        times_without_offset=1,
    )
    names = ("same_id", "failed_members", "settlement_amounts", "closed_status", "company_debtor")
    assert verdicts(bad) == dict.fromkeys(names, "contradicted")


@pytest.mark.parametrize(
    ("at", "expected"),
    [((100, 101), 0), ((98, 99), -1), ((102.5, 103.5), 1.5), ((40, 41), -59), ((101, 102), 0)],
)
def test_skew(at: tuple[float, float], expected: float) -> None:
    """Only what is sure counts: a whole second, and the way there and back, are no skew."""
    assert clocks.skew(at, (100, 101)) == pytest.approx(expected)


@pytest.mark.parametrize(
    ("seconds", "result"),
    [(0, "ok"), (2, "ok"), (-2.5, "warning"), (30, "warning"), (31, "failed")],
)
def test_clocks_are_judged(seconds: float, result: str) -> None:
    """Two seconds are borne, thirty are not."""
    found = clocks.judge("clock", "It", seconds)
    assert found.result == result
    assert (found.do == "") is (result == "ok")
