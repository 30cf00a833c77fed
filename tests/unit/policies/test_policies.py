"""Each policy's rule: what it wishes for in which situation, and what it leaves alone."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest

from service.domain.entities import Cause, EntityKey, Kind
from service.domain.holds import Hold
from service.domain.records import Batch, BatchItem, Case, Invoice
from service.policies import POLICIES, enabled, hold_on_failed_batch, release_on_closed
from service.policies.situations import BatchSituation, CaseSituation, Wishes
from service.settings import Settings

NOON = datetime(2026, 5, 1, 12, tzinfo=UTC)
HOLD = Hold("h-1", "c-1", "dispute", "api", NOON)
ENDED = Hold("h-2", "c-1", "dispute", "api", NOON, released_at=NOON)
EXPIRED = Hold("h-3", "c-1", "dispute", "api", NOON, until=NOON)
TOLD = Cause("batch_failed", 1, detail={"batch_id": "b-1", "invoice_id": "i-1"})


def case(  # what a policy sees of a case
    *holds: Hold,
    causes: tuple[Cause, ...] = (),
    remaining: tuple[str | None, ...] = ("100.00",),
    **members: Any,
) -> CaseSituation:
    """Make the situation of a case."""
    row = {"status": "OPEN", "sub_status": None, "type": None, "closed_at": None} | members
    record = Case(
        case_id="c-1",
        case_number="4711",
        organization_id="org",
        description=None,
        registered_at=NOON,
        raw="{}",
        **row,
    )
    invoices = tuple(
        Invoice(f"i-{n}", remaining_amount=None if each is None else Decimal(each))
        for n, each in enumerate(remaining)
    )
    return CaseSituation(record, invoices, holds, causes, NOON)


def batch(*items: BatchItem, known: dict[BatchItem, Invoice] | None = None) -> BatchSituation:
    """Make the situation of a batch."""
    return BatchSituation(
        Batch("b-1", "org", "INVOICE", "PARTIAL", NOON, NOON, items, "{}"), known or {}
    )


class TestSwitches:
    def test_every_policy_has_a_switch(self) -> None:
        """A policy without its setting could never be turned on."""
        names = {name for name in Settings.model_fields if name.startswith("policy_")}
        assert {f"policy_{policy.name}" for policy in POLICIES} == names

    def test_only_what_is_switched_on(self) -> None:
        """Off, or not named, is off; the order is the house's."""
        first = POLICIES[0].name
        assert enabled({first: True}) == (POLICIES[0],)
        assert enabled({first: False, "no_such": True}) == ()
        assert enabled({policy.name: True for policy in reversed(POLICIES)}) == POLICIES


class TestCaseSituation:
    @pytest.mark.parametrize(
        ("remaining", "settled"),
        [
            (("0",), True),
            (("0.00", "0"), True),
            (("0.00", "0.01"), False),
            (("0", None), False),
            ((), False),
            (("-5.00",), False),
        ],
    )
    def test_settled_in_full(self, remaining: tuple[str | None, ...], settled: bool) -> None:
        """Every invoice at nothing, and at least one; an unknown amount is not nothing."""
        assert case(remaining=remaining).is_settled_in_full is settled

    def test_closed(self) -> None:
        """By its status or by its date; a status that nobody knows is open."""
        assert case(status="CLOSED").is_over
        assert case(closed_at=NOON).is_over
        assert not case(status="SOMETHING_NEW").is_over
        assert not case(status=None).is_over

    def test_active_holds(self) -> None:
        """Neither released nor expired."""
        assert case(HOLD, ENDED, EXPIRED).active_holds == (HOLD,)


class TestReleaseOnClosed:
    @pytest.mark.parametrize(
        ("over", "word"), [({"status": "CLOSED"}, "closed"), ({"remaining": ("0",)}, "settled")]
    )
    def test_every_hold_ends(self, over: dict[str, Any], word: str) -> None:
        """A case that is over needs no hold, whoever placed it; the decision names them."""
        wishes = release_on_closed.on_case(case(HOLD, ENDED, **over))
        assert [(each.hold_id, each.by) for each in wishes.release] == [("h-1", "case_closed")]
        (decision,) = wishes.decisions
        assert decision.facts == {"hold_ids": ["h-1"]}
        assert word in decision.words

    @pytest.mark.parametrize(
        "situation", [case(HOLD), case(ENDED, status="CLOSED"), case(status="CLOSED")]
    )
    def test_nothing_else_ends(self, situation: CaseSituation) -> None:
        """An open case keeps its holds; where nothing is held nothing is said."""
        assert release_on_closed.on_case(situation) == Wishes()


class TestHoldOnFailedBatch:
    def test_a_failed_item_nudges_its_case(self) -> None:
        """The batch itself places nothing: it tells the case, by ids only."""
        item = BatchItem(False, invoice_number="n-1", errors="[secret]")
        known = {item: Invoice("i-1", case_id="c-1", case_number="4711", organization_id="org-i")}
        wishes = hold_on_failed_batch.on_batch(batch(item, known=known))
        (nudge,) = wishes.nudges
        assert nudge.key == EntityKey(Kind.CASE, "c-1")
        assert (nudge.cause, nudge.lookup, nudge.organization_id) == (
            "batch_failed",
            "4711",
            "org-i",
        )
        assert nudge.detail == {"batch_id": "b-1", "invoice_id": "i-1"}
        assert (wishes.place, wishes.decisions) == ((), ())

    def test_an_organization_that_only_the_batch_knows(self) -> None:
        """The nudge says whose case it is as well as anybody knows."""
        item = BatchItem(False, invoice_id="i-1")
        wishes = hold_on_failed_batch.on_batch(
            batch(item, known={item: Invoice("i-1", case_id="c-1")})
        )
        assert wishes.nudges[0].organization_id == "org"

    def test_what_succeeded_is_no_reason(self) -> None:
        """Only failures hold, even where the invoice is known."""
        item = BatchItem(True, invoice_id="i-1")
        known = {item: Invoice("i-1", case_id="c-1")}
        assert hold_on_failed_batch.on_batch(batch(item, known=known)) == Wishes()

    @pytest.mark.parametrize("invoice", [None, Invoice("i-1")])
    def test_without_a_case_it_is_told(self, invoice: Invoice | None) -> None:
        """An unknown invoice, or one without a case, is a decision and no nudge."""
        item = BatchItem(False, invoice_number="n-1", unique_source_invoice_id="u-1")
        known = {} if invoice is None else {item: invoice}
        wishes = hold_on_failed_batch.on_batch(batch(item, known=known))
        assert wishes.nudges == ()
        (decision,) = wishes.decisions
        assert decision.outcome == "no_case"
        assert decision.facts["invoice_number"] == "n-1"

    def test_the_case_is_held_once_for_each_item(self) -> None:
        """Told twice of one failure: the same key, so one hold."""
        other = Cause("batch_failed", 3, detail={"batch_id": "b-2", "invoice_id": "i-1"})
        wishes = hold_on_failed_batch.on_case(case(causes=(TOLD, TOLD, other)))
        assert {(each.reason, each.key) for each in wishes.place} == {
            ("batch_failed", "batch:b-1:i-1"),
            ("batch_failed", "batch:b-2:i-1"),
        }
        assert {decision.outcome for decision in wishes.decisions} == {"hold"}

    @pytest.mark.parametrize(
        "situation",
        [
            case(),
            case(causes=(Cause("CASE_UPDATED", 1), Cause("hold", 2))),
            case(causes=(TOLD,), status="CLOSED"),
            case(causes=(TOLD,), remaining=("0",)),
        ],
    )
    def test_nothing_to_hold(self, situation: CaseSituation) -> None:
        """Nobody told of a failure, or there is nothing left to collect."""
        assert hold_on_failed_batch.on_case(situation) == Wishes()


def test_no_policy_says_more_than_ids() -> None:
    """What goes into facts and nudges is ids and numbers: no text of a stranger."""
    item = BatchItem(False, invoice_number="n-1", errors="Ola Nordmann, 01019012345")
    known = {item: Invoice("i-1", case_id="c-1")}
    said: list[Wishes] = []
    for policy in POLICIES:
        if policy.on_batch is not None:
            said += [policy.on_batch(batch(item)), policy.on_batch(batch(item, known=known))]
        if policy.on_case is not None:
            secret = Hold("h", "c-1", "dispute", "api", NOON - timedelta(1), comment="Ola Nordmann")
            said.append(policy.on_case(case(secret, causes=(TOLD,))))
            said.append(policy.on_case(case(secret, status="CLOSED")))
    assert "Ola" not in repr([(each.nudges, each.decisions, each.place) for each in said])
