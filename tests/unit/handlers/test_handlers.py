"""The handlers: what each kind asks for, saves, nudges and doubts. Pure, so nothing is started."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest

from service.amili import resources
from service.amili.resources import Fetched, Resource
from service.domain.entities import Claim, Claims, EntityKey, Kind
from service.domain.records import Invoice
from service.errors import NotYet
from workers.handlers import HANDLERS
from workers.handlers.looks import After, Ask, Before, Look

NOON = datetime(2026, 5, 1, 12, tzinfo=UTC)
CASE = EntityKey(Kind.CASE, "c-1")
BATCH = EntityKey(Kind.BATCH, "b-1")
INVOICE = EntityKey(Kind.INVOICE, "i-1")
SETTLEMENT = EntityKey(Kind.SETTLEMENT, "s-1")


def claim(key: EntityKey, *, lookup: str | None = None, newest: Claims | None = None) -> Claim:
    """Make a claim."""
    made = Claim(key, "org-claim", lookup, 1, 1, "me", 0, 0, 0)
    return replace(made, newest=newest)


def apply(claimed: Claim, found: Resource, before: Before | None = None) -> After:
    """Let the handler of its kind apply what was fetched."""
    look = Look(claimed, Fetched(found, "raw text"), before or Before(), NOON)
    return HANDLERS[claimed.key.kind].apply(look)


def case(**members: Any) -> resources.Case:
    """Make a case as the API shows it."""
    data = {"caseId": "c-1", "caseNumber": 4711, "status": "OPEN", "type": "NOTICE"}
    return resources.Case.model_validate(data | members)


def batch(**members: Any) -> resources.Batch:
    """Make a batch as the API shows it."""
    return resources.Batch.model_validate({"batchId": "b-1", "status": "SUCCESS"} | members)


def test_every_kind_has_a_handler() -> None:
    """Whatever can be an entity can be looked at."""
    assert set(HANDLERS) == set(Kind)


class TestNeeds:
    @pytest.mark.parametrize(
        ("key", "lookup", "ask"),
        [
            (BATCH, None, Ask("batch", "org-claim", "b-1")),
            (INVOICE, None, Ask("invoice", "org-claim", "i-1")),
            (SETTLEMENT, "4711", Ask("settlement", "org-claim", "s-1")),
            (CASE, "4711", Ask("case", "org-claim", "4711")),
            (EntityKey.of_number("4711"), None, Ask("case", "org-claim", "4711")),
        ],
    )
    def test_what_to_fetch(self, key: EntityKey, lookup: str | None, ask: Ask) -> None:
        """By id, but cases by their number."""
        assert HANDLERS[key.kind].needs(claim(key, lookup=lookup)) == ask

    def test_a_case_without_number(self) -> None:
        """Cases are fetched by number: until somebody tells it, it is too early."""
        with pytest.raises(NotYet):
            HANDLERS[Kind.CASE].needs(claim(CASE))


class TestCase:
    def test_it_is_saved_with_its_invoices(self) -> None:
        """The record has the claimed id, the raw text, and the organization that is known."""
        found = case(
            organizationId="org-api",
            invoices=[{"invoiceId": "i-1", "remainingAmount": Decimal("5.00")}],
        )
        after = apply(claim(CASE, lookup="4711"), found)
        assert after.case is not None
        assert (after.case.case_id, after.case.case_number) == ("c-1", "4711")
        assert (after.case.organization_id, after.case.raw) == ("org-api", "raw text")
        (invoice,) = after.invoices
        assert (invoice.invoice_id, invoice.case_id, invoice.status) == ("i-1", "c-1", None)
        assert str(invoice.remaining_amount) == "5.00"

    def test_unknown_members_and_values_harm_nobody(self) -> None:
        """A status, a type and members that nobody has seen are kept as they are."""
        found = case(status="FROZEN", type="NEW", newMember={"a": [1]}, invoices=None)
        after = apply(claim(CASE, lookup="4711"), found)
        assert after.case is not None
        assert (after.case.status, after.case.type) == ("FROZEN", "NEW")
        assert not after.case.is_paused
        assert not after.case.is_closed

    def test_an_organization_that_is_not_told(self) -> None:
        """The claim's own is used."""
        after = apply(claim(CASE, lookup="4711"), case())
        assert after.case is not None
        assert after.case.organization_id == "org-claim"

    def test_a_number_that_leads_elsewhere(self) -> None:
        """Another case under this number is never saved as this one."""
        with pytest.raises(NotYet):
            apply(claim(CASE, lookup="4711"), case(caseId="c-2"))

    def test_a_number_becomes_an_id(self) -> None:
        """A look by number alone saves nothing; it nudges the case, number and all."""
        after = apply(claim(EntityKey.of_number("4711")), case())
        (nudge,) = after.nudges
        assert (nudge.key, nudge.cause, nudge.lookup) == (CASE, "lookup", "4711")
        assert after == After(nudges=(nudge,))

    @pytest.mark.parametrize(
        ("row", "stale"),
        [
            (None, True),
            (Invoice("i-1", remaining_amount=Decimal(5)), True),
            (Invoice("i-1", status="OPEN", remaining_amount=Decimal(4)), True),
            (Invoice("i-1", status="OPEN"), True),
            (Invoice("i-1", status="OPEN", remaining_amount=Decimal("5.00")), False),
        ],
        ids=["missing", "never read by itself", "another amount", "no amount", "in step"],
    )
    def test_a_stale_invoice_is_nudged(self, row: Invoice | None, stale: bool) -> None:
        """An invoice is fetched by itself when its row is missing, poor, or out of step."""
        found = case(invoices=[{"invoiceId": "i-1", "remainingAmount": Decimal(5)}])
        before = Before(invoices={} if row is None else {"i-1": row})
        after = apply(claim(CASE, lookup="4711"), found, before)
        assert [nudge.key for nudge in after.nudges] == ([INVOICE] if stale else [])

    def test_an_amount_that_is_not_told_is_no_disagreement(self) -> None:
        """What a case does not say about an invoice makes nobody look."""
        before = Before(invoices={"i-1": Invoice("i-1", status="OPEN")})
        after = apply(claim(CASE, lookup="4711"), case(invoices=[{"invoiceId": "i-1"}]), before)
        assert after.nudges == ()

    @pytest.mark.parametrize(
        ("claims", "is_doubted"),
        [
            (None, False),
            (Claims(), False),
            (Claims("OPEN", "NOTICE", frozenset({"i-1"})), False),
            (Claims("PAUSED"), True),
            (Claims(type="COLLECTION"), True),
            (Claims("OPEN", invoices=frozenset({"i-1", "i-2"})), True),
            (Claims("OPEN", invoices=frozenset()), False),
        ],
    )
    def test_doubt(self, claims: Claims | None, is_doubted: bool) -> None:
        """Another status or type, or an invoice that is not there; fewer invoices are no doubt."""
        found = case(invoices=[{"invoiceId": "i-1"}])
        after = apply(claim(CASE, lookup="4711", newest=claims), found)
        assert after.is_doubted is is_doubted
        assert after.case is not None
        assert after.case.status == "OPEN"

    def test_it_asks_for_the_rows_of_its_invoices(self) -> None:
        """The worker looks them up once, for all."""
        found = case(invoices=[{"invoiceId": "i-1"}, {"invoiceId": "i-2"}])
        asking = HANDLERS[Kind.CASE].asking(claim(CASE), found)
        assert asking.invoice_ids == ("i-1", "i-2")


class TestBatch:
    def test_new_invoices_are_nudged_once(self) -> None:
        """Those that are known, and those without an id, are not."""
        items = [{"invoiceId": "i-2"}, {"invoiceId": "i-1"}, {"invoiceId": "i-2"}, {}]
        before = Before(invoices={"i-1": Invoice("i-1")})
        after = apply(claim(BATCH), batch(succeeded=items), before)
        assert [nudge.key.id for nudge in after.nudges] == ["i-2"]
        assert after.nudges[0].detail == {"batch_id": "b-1"}
        assert after.batch is not None
        assert len(after.batch.items) == 4

    def test_items_keep_their_order(self) -> None:
        """First what succeeded, then what failed, each as Amili gave it."""
        found = batch(
            succeeded=[{"invoiceId": "i-1", "caseNumber": 4711}],
            failed=[{"invoiceNumber": 7, "uniqueSourceInvoiceId": "u-1", "errors": ["no"]}],
        )
        after = apply(claim(BATCH), found)
        assert after.batch is not None
        good, bad = after.batch.items
        assert (good.succeeded, good.invoice_id, good.case_number) == (True, "i-1", "4711")
        assert (bad.succeeded, bad.invoice_number, bad.unique_source_invoice_id) == (
            False,
            "7",
            "u-1",
        )
        assert bad.errors == '[{"message": "no"}]'

    @pytest.mark.parametrize(
        "failed", ["text", None, 5, {}, {"errors": 5}, {"errors": [None, 5]}, {"invoiceId": 5}]
    )
    def test_failures_of_any_form(self, failed: object) -> None:
        """Nobody has seen a failure: whatever it looks like, the batch is saved."""
        after = apply(claim(BATCH), batch(failed=[failed]))
        assert after.batch is not None
        (item,) = after.batch.items
        assert (item.succeeded, item.invoice_id) == (False, None)

    @pytest.mark.parametrize(
        ("said", "kept"), [("i-9", "i-9"), ("a\0b", "a\N{REPLACEMENT CHARACTER}b")]
    )
    def test_a_failure_may_name_an_invoice(self, said: str, kept: str) -> None:
        """By an id that every database can keep, whatever Amili wrote."""
        after = apply(claim(BATCH), batch(failed=[{"invoiceId": said}]))
        assert after.batch is not None
        assert after.batch.items[0].invoice_id == kept

    def test_what_it_asks_for_is_what_it_saves(self) -> None:
        """The failed items that are looked up are the very keys that policies use, and whose."""
        found = batch(organizationId="org-api", failed=[{"invoiceId": "i-9"}, "text"])
        asking = HANDLERS[Kind.BATCH].asking(claim(BATCH), found)
        after = apply(claim(BATCH), found)
        assert after.batch is not None
        assert asking.failed == after.batch.items
        assert asking.organization_id == "org-api"

    @pytest.mark.parametrize(
        ("status", "is_doubted"), [(None, False), ("SUCCESS", False), ("PARTIAL", True)]
    )
    def test_doubt(self, status: str | None, is_doubted: bool) -> None:
        """The webhook says that it is done, the API shows something else: read it again."""
        after = apply(claim(BATCH, newest=Claims(status)), batch())
        assert after.is_doubted is is_doubted


class TestInvoice:
    def invoice(self, **members: Any) -> resources.Invoice:
        """Make an invoice as the API shows it."""
        return resources.Invoice.model_validate({"id": "i-1", "status": "OPEN"} | members)

    def test_its_case_is_looked_for(self) -> None:
        """A number that nobody knows yet is nudged by number."""
        after = apply(claim(INVOICE), self.invoice(collectionCaseNumber=4711))
        (nudge,) = after.nudges
        assert (nudge.key, nudge.lookup) == (EntityKey.of_number("4711"), "4711")
        assert nudge.detail == {"invoice_id": "i-1"}
        assert after.invoices[0].case_id is None

    def test_its_case_is_known(self) -> None:
        """Then its row says so, and nobody is nudged."""
        before = Before(case_ids={"4711": "c-1"})
        after = apply(claim(INVOICE), self.invoice(collectionCaseNumber="4711"), before)
        assert after.nudges == ()
        assert after.invoices[0].case_id == "c-1"

    def test_without_a_case(self) -> None:
        """An invoice that has no case yet is just saved."""
        after = apply(claim(INVOICE), self.invoice(organization={"id": "org-api"}))
        assert after.nudges == ()
        (row,) = after.invoices
        assert (row.invoice_id, row.organization_id, row.raw) == ("i-1", "org-api", "raw text")

    @pytest.mark.parametrize("organization", [None, {}, {"id": None}])
    def test_an_organization_that_is_not_told(self, organization: object) -> None:
        """The claim's own is used."""
        after = apply(claim(INVOICE), self.invoice(organization=organization))
        assert after.invoices[0].organization_id == "org-claim"


class TestSettlement:
    @pytest.mark.parametrize(
        ("shown", "lookup", "number"),
        [({"caseNumber": 4711}, None, "4711"), ({}, "4711", "4711"), ({}, None, None)],
        ids=["told by the API", "told by the webhook", "not told"],
    )
    def test_money_moved(
        self, shown: dict[str, Any], lookup: str | None, number: str | None
    ) -> None:
        """Its case is looked at again, wherever its number comes from."""
        found = resources.Settlement.model_validate(shown)
        after = apply(claim(SETTLEMENT, lookup=lookup), found)
        assert after.settlement is not None
        assert after.settlement.case_number == number
        assert [nudge.lookup for nudge in after.nudges] == ([number] if number else [])

    def test_a_known_case_is_nudged_by_its_id(self) -> None:
        """No lookup where the id is known."""
        found = resources.Settlement.model_validate({"caseNumber": 4711})
        asking = HANDLERS[Kind.SETTLEMENT].asking(claim(SETTLEMENT), found)
        assert asking.case_numbers == ("4711",)
        after = apply(claim(SETTLEMENT), found, Before(case_ids={"4711": "c-1"}))
        assert [nudge.key for nudge in after.nudges] == [CASE]
