"""The policy hold_on_reported_payment: held while not contained, and never freed before."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from decimal import Decimal

import pytest

from service.domain.entities import Cause
from service.domain.holds import Hold
from service.domain.reports import LONGEST_LOOK, SHORTEST_LOOK, Report
from service.domain.submissions import ItemState, SubmissionKind
from service.policies.hold_on_reported_payment import NAME, on_case
from service.policies.situations import Place, Wishes
from tests.unit.policies.reported import FAILED, LAG, NOON, OPEN, hold, report, situation


def freed(wishes: Wishes) -> list[tuple[str, str]]:
    """List (hold, why) of each release."""
    return [(each.hold_id, each.by) for each in wishes.release]


class TestPlacing:
    @pytest.mark.parametrize("state", list(ItemState))
    def test_what_is_not_contained_holds(self, state: ItemState) -> None:
        """Whatever became of it at Amili: nobody is chased for what may be paid."""
        wishes = on_case(situation(report(state=state)))
        assert wishes.place == (Place("payment_reported", "reported:s-1:0"),)
        assert [each.outcome for each in wishes.decisions] == ["hold"]

    def test_each_report_holds(self) -> None:
        """Two payments on one invoice are two holds."""
        wishes = on_case(situation(report(0), report(1)))
        assert [each.key for each in wishes.place] == ["reported:s-1:0", "reported:s-1:1"]

    @pytest.mark.parametrize("by", ["released", "expired", "case_closed", "reflected"])
    def test_once_for_ever(self, by: str) -> None:
        """A hold that ended, however, is not placed again, and the case is not read for it."""
        first = report()
        assert on_case(situation(first, holds=(hold(first, by),))) == Wishes()

    def test_not_on_a_case_that_is_over(self) -> None:
        """Nothing is placed, released or waited for on a closed case."""
        first, second = report(0), report(1, reached="500.00")
        closed = situation(first, second, holds=(hold(second),), status="CLOSED")
        assert on_case(closed) == Wishes()

    def test_what_is_contained_at_the_first_look(self) -> None:
        """It never held anything, and does not begin to."""
        assert on_case(situation(report(reached="100.00"))) == Wishes()

    def test_decisions_name_ids_only(self) -> None:
        """No amount stands in the words or the facts."""
        first = report(0, "123.45", reached="123.45")
        wishes = on_case(situation(first, report(1), holds=(hold(first),)))
        assert {each.policy for each in wishes.decisions} == {NAME}
        for each in wishes.decisions:
            assert "123" not in each.words
            assert set(each.facts) == {"submission_id", "position", "invoice_id"}


class TestReflected:
    def test_when_the_amount_has_grown(self) -> None:
        """To the last øre, and not one before."""
        for reached, ends in (("1100.00", True), ("1099.99", False), ("1100.01", True)):
            first = report(before="1000.00", reached=reached)
            wishes = on_case(situation(first, holds=(hold(first),)))
            assert freed(wishes) == ([("hold of reported:s-1:0", "reflected")] if ends else [])
            assert (wishes.look_again_at is None) is ends

    def test_not_before_its_batch_took_it(self) -> None:
        """Amounts that grew while the batch says nothing yet may be another payment."""
        first = report(reached="500.00", state=OPEN)
        assert freed(on_case(situation(first, holds=(hold(first),)))) == []

    def test_first_in_first_out(self) -> None:
        """A part of the sum frees what it covers, the oldest first, and nothing more."""
        some = [report(n, amount, reached="150.00") for n, amount in enumerate(("100", "60", "1"))]
        wishes = on_case(situation(*some, holds=tuple(map(hold, some))))
        assert freed(wishes) == [("hold of reported:s-1:0", "reflected")]

    def test_a_later_report_needs_the_earlier_ones_too(self) -> None:
        """One was seen reflected just now; the next was reported before, and must be in, too."""
        one = report(0, "100.00", reached="100.00")
        two = report(1, "50.00", reached="100.00")
        holds = (hold(one, "reflected", NOON + timedelta(seconds=7)), hold(two))
        assert freed(on_case(situation(one, two, holds=holds))) == []
        more = tuple(replace(each, reached=Decimal("150.00")) for each in (one, two))
        assert freed(on_case(situation(*more, holds=holds))) == [(holds[1].hold_id, "reflected")]

    def test_what_was_taken_back_is_not_missing_for_ever(self) -> None:
        """What was reflected long before the next report begins, and reversed, counts no more."""
        one = report(0, "100.00", reached="50.00")
        two = report(1, "50.00", reached="50.00", at=NOON + timedelta(days=9))
        holds = (hold(one, "reflected", NOON + timedelta(minutes=1)), hold(two))
        wishes = on_case(situation(one, two, holds=holds, now=NOON + timedelta(days=10)))
        assert freed(wishes) == [(holds[1].hold_id, "reflected")]

    def test_payments_and_credit_notes_apart(self) -> None:
        """A payment is not covered by what was credited, nor one invoice by another."""
        paid = report(0, reached="100.00")
        credited = report(1, kind=SubmissionKind.CORRECTIONS)
        other = report(2, invoice="i-2")
        holds = tuple(map(hold, (paid, credited, other)))
        wishes = on_case(situation(paid, credited, other, holds=holds))
        assert freed(wishes) == [(holds[0].hold_id, "reflected")]


class TestUnknownBeginning:
    """Nobody knew the invoice's amounts when the payment was reported."""

    def look(self, first: Report, after: timedelta) -> list[tuple[str, str]]:
        """Look so long after the batch ended."""
        ended = first.ended_at or NOON
        return freed(on_case(situation(first, holds=(hold(first),), now=ended + after)))

    @pytest.mark.parametrize("reached", [None, "100.00", "300.00"])
    def test_a_sure_read_after_its_batch(self, reached: str | None) -> None:
        """Released once the read surely shows what the batch took, not a moment before."""
        first = report(before=None, reached=reached)
        assert self.look(first, LAG - timedelta(milliseconds=1)) == []
        assert self.look(first, LAG) == [("hold of reported:s-1:0", "reflected")]

    def test_less_was_ever_paid(self) -> None:
        """A total below the payment cannot contain it, however long it takes."""
        assert self.look(report(before=None, reached="99.99"), timedelta(days=9)) == []

    def test_not_before_its_batch_took_it(self) -> None:
        """No time and no amount stands in for the batch's word."""
        first = report(before=None, reached=None, state=OPEN)
        assert self.look(first, timedelta(days=9)) == []

    def test_it_is_missing_in_the_beginning_of_later_ones(self) -> None:
        """A known beginning may or may not contain it: in doubt it does not."""
        one = report(0, "100.00", before=None, reached="350.00")
        two = report(1, "50.00", before="200.00", reached="349.99")
        holds = (hold(one, "released"), hold(two))
        assert freed(on_case(situation(one, two, holds=holds))) == []
        two = replace(two, reached=Decimal("350.00"))
        assert freed(on_case(situation(one, two, holds=holds))) == [(holds[1].hold_id, "reflected")]

    def test_a_known_beginning_without_an_amount(self) -> None:
        """An amount that was told and is told no more proves nothing."""
        assert self.look(report(reached=None), timedelta(days=9)) == []


class TestNotTaken:
    @pytest.mark.parametrize("state", [FAILED, ItemState.REFUSED])
    def test_it_stays_held_and_is_not_waited_for(self, state: ItemState) -> None:
        """A person must look; whatever the amounts become, they do not contain it."""
        first = report(state=state, reached="900.00")
        assert on_case(situation(first, holds=(hold(first),))) == Wishes()

    def test_others_do_not_wait_for_it(self) -> None:
        """What failed is left out of the sums."""
        failed, taken = report(0, state=FAILED), report(1, reached="100.00")
        holds = (hold(failed), hold(taken))
        wishes = on_case(situation(failed, replace(taken), holds=holds))
        assert freed(wishes) == [(holds[1].hold_id, "reflected")]

    def test_one_hold_is_enough(self) -> None:
        """Its failed batch holds the case for the same invoice: this one ends in its favour."""
        first, failure = report(state=FAILED), hold("batch:b-1:i-1")
        wishes = on_case(situation(first, holds=(hold(first), failure)))
        assert freed(wishes) == [("hold of reported:s-1:0", "batch_failed")]

    @pytest.mark.parametrize(
        ("failure", "state"),
        [
            (hold("batch:b-1:i-1", "released"), FAILED),
            (hold("batch:b-1:i-2"), FAILED),
            (hold("batch:b-2:i-1"), FAILED),
            (hold("batch:b-1:i-1"), OPEN),
            (hold("batch:b-1:i-1"), ItemState.UNLISTED),
        ],
    )
    def test_another_hold_is_not(self, failure: Hold, state: ItemState) -> None:
        """Not one that ended, nor of another batch or invoice, nor for what did not fail."""
        first = report(state=state)
        assert freed(on_case(situation(first, holds=(hold(first), failure)))) == []

    def test_who_looked_into_the_failure_is_not_asked_again(self) -> None:
        """A failure that was held and released before is not held anew under another name."""
        looked = hold("batch:b-1:i-1", "released")
        assert on_case(situation(report(state=FAILED), holds=(looked,))) == Wishes()

    def test_the_failure_that_is_told_just_now(self) -> None:
        """Its hold is placed in this very look: the next one, at once, sees both."""
        first = report(state=FAILED)
        told = Cause("batch_failed", 1, detail={"batch_id": "b-1", "invoice_id": "i-1"})
        seen = situation(first, holds=(hold(first),), causes=(told,))
        assert on_case(seen) == Wishes(look_again_at=seen.now)


class TestNotNamed:
    """The batch ended, and does not say whether it took the report."""

    def test_it_is_waited_for(self) -> None:
        """It stays held, and amounts that grew by all of it release it."""
        first = report(state=ItemState.UNLISTED, reached="99.99")
        wishes = on_case(situation(first, holds=(hold(first),)))
        assert (freed(wishes), wishes.look_again_at is None) == ([], False)
        grown = replace(first, reached=Decimal("100.00"))
        assert freed(on_case(situation(grown, holds=(hold(first),)))) == [
            ("hold of reported:s-1:0", "reflected")
        ]

    def test_others_wait_for_it_too(self) -> None:
        """It may be the one that the amount contains: a later one needs the sum of both."""
        first, second = report(0, state=ItemState.UNLISTED), report(1)
        holds = (hold(first, "released"), hold(second))
        for reached, ends in (("199.99", False), ("200.00", True)):
            some = [replace(each, reached=Decimal(reached)) for each in (first, second)]
            assert bool(freed(on_case(situation(*some, holds=holds)))) is ends

    @pytest.mark.parametrize("reached", [None, "900.00"])
    def test_a_beginning_that_nobody_knew(self, reached: str | None) -> None:
        """Without the batch's word such amounts prove nothing."""
        first = report(before=None, reached=reached, state=ItemState.UNLISTED)
        late = situation(first, holds=(hold(first),), now=NOON + timedelta(days=9))
        assert freed(on_case(late)) == []


class TestMadeAgain:
    """A report that Amili did not take, corrected and handed over again."""

    LATER = NOON + timedelta(hours=1)

    @pytest.mark.parametrize("state", [FAILED, ItemState.REFUSED])
    def test_its_hold_ends_with_the_new_one(self, state: ItemState) -> None:
        """Both holds end in the look that shows the new one contained."""
        first, again = report(0, state=state), report(1, reached="100.00", at=self.LATER)
        seen = situation(first, again, holds=(hold(first), hold(again)), now=self.LATER)
        ends = [(hold(first).hold_id, "corrected"), (hold(again).hold_id, "reflected")]
        assert freed(on_case(seen)) == ends

    @pytest.mark.parametrize(
        "again",
        [
            report(1, "99.99", reached="500.00", at=LATER),
            report(1, reached="99.99", at=LATER),
            report(1, reached="500.00", at=LATER, state=OPEN),
            report(1, reached="500.00", at=NOON),
            report(1, reached="500.00", at=LATER, invoice="i-2"),
            report(1, reached="500.00", at=LATER, kind=SubmissionKind.CORRECTIONS),
        ],
        ids=["less", "not contained", "open", "made before it failed", "invoice", "kind"],
    )
    def test_what_is_no_correction(self, again: Report) -> None:
        """Another report leaves the first one held."""
        first = report(state=FAILED)
        seen = situation(first, again, holds=(hold(first), hold(again)), now=self.LATER)
        assert hold(first).hold_id not in [name for name, _ in freed(on_case(seen))]

    def test_one_stands_for_one(self) -> None:
        """Two that failed need two new ones, also when the first was answered in another look."""
        one, two = report(0, state=FAILED), report(1, state=FAILED)
        again = report(2, reached="100.00", at=self.LATER)
        mine = hold(again, "reflected", self.LATER)
        seen = situation(one, two, again, holds=(hold(one), hold(two), mine))
        assert freed(on_case(seen)) == [(hold(one).hold_id, "corrected")]
        seen = situation(one, two, again, holds=(hold(one), hold(two, "corrected"), mine))
        assert freed(on_case(seen)) == []

    def test_the_hold_of_its_batch(self) -> None:
        """It ends once each of the batch's reports on the invoice was made again."""
        one, two = report(0, state=FAILED), report(1, state=FAILED)
        failure = hold("batch:b-1:i-1")
        holds = (hold(one, "batch_failed"), hold(two, "batch_failed"), failure)
        made = [replace(report(n, reached="200.00", at=self.LATER), batch_id="b-2") for n in (2, 3)]
        kept = [hold(each, "reflected", self.LATER) for each in made]
        first = situation(one, two, made[0], holds=(*holds, kept[0]))
        assert on_case(first).release == ()
        both = situation(one, two, *made, holds=(*holds, *kept))
        assert freed(on_case(both)) == [(failure.hold_id, "corrected")]

    def test_known_only_afterwards(self) -> None:
        """A case that becomes known when all is over is not held for what was corrected."""
        first, again = report(0, state=FAILED), report(1, reached="100.00", at=self.LATER)
        assert on_case(situation(first, again, now=self.LATER)) == Wishes()


class TestLookingAgain:
    @pytest.mark.parametrize(
        ("age", "pause"),
        [
            (timedelta(0), SHORTEST_LOOK),
            (timedelta(minutes=10), timedelta(minutes=5)),
            (timedelta(days=30), LONGEST_LOOK),
        ],
    )
    def test_the_older_the_later(self, age: timedelta, pause: timedelta) -> None:
        """Half the age of the youngest that is waited for, within bounds."""
        first, old = report(state=OPEN), report(1, state=OPEN, at=NOON - timedelta(days=60))
        now = NOON + age
        wishes = on_case(situation(first, old, holds=(hold(first), hold(old)), now=now))
        assert wishes.look_again_at == now + pause

    def test_not_for_what_an_operator_released(self) -> None:
        """Nobody waits for its amounts; those of another one are still read."""
        first, second = report(0), report(1)
        seen = situation(first, second, holds=(hold(first, "released"), hold(second)))
        assert on_case(seen).look_again_at is not None
        assert on_case(situation(first, holds=(hold(first, "released"),))).look_again_at is None
