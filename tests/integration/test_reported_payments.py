"""Reported payments through the rows: from the handover to the hold, and to its end."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from service.domain.actions import ActionKind, ActionState
from service.domain.entities import Nudge, Read
from service.domain.records import Invoice
from service.domain.reports import Report
from service.domain.submissions import SubmissionKind
from service.store import entities, ledger, reports
from service.store.database import Tx
from service.store.reports import begin_in_chunk
from tests.integration.reporting import House, raised
from tests.integration.store_records import case_key, save_invoices

HELD, FREED = ("payment_reported", None), ("payment_reported", "reflected")


def of_case(tx: Tx, case_id: str) -> tuple[Report, ...]:
    """Return what was reported about one case."""
    return reports.of_cases(tx, [case_id]).get(case_id, ())


@pytest.fixture
def house(shared_url: str, redis_url: str, tmp_path: Path) -> Iterator[House]:
    """Give a worker on real servers, with a clock moved by hand."""
    with raised(shared_url, redis_url, tmp_path) as made:
        yield made


def test_held_from_the_report_to_the_last_ore(house: House) -> None:
    """Held before anything is sent, through a batch that ended, until the amounts contain it."""
    house.know()
    house.report("400.50")
    house.work()
    assert house.ends() == [HELD]
    house.send()
    house.end(taken=1)
    house.amounts["paid"] = "400.49"
    house.wait(3600)
    assert house.ends() == [HELD]
    house.amounts["paid"] = "400.50"
    house.wait(3600)
    assert house.ends() == [FREED]
    policy = "hold_on_reported_payment"
    assert [each for each in house.decided() if each[0] == policy] == [
        (policy, "hold"),
        (policy, "release"),
    ]


def test_one_invoice_in_two_cases(house: House) -> None:
    """It stands here in two spellings, in a case each: the report counts for both at once."""
    house.know()
    with house.parts.database.begin() as tx:
        save_invoices(tx, [Invoice("I-1", case_id="case-2")], Read(9999, tx.now))
    house.report("10.00")
    with house.parts.database.begin() as tx:
        both = reports.of_cases(tx, ["case-1", "case-2"])
        assert {name: len(found) for name, found in both.items()} == {"case-1": 1, "case-2": 1}
        for name, found in both.items():
            assert of_case(tx, name) == found


def test_one_pause_and_one_resume(house: House) -> None:
    """The ledger gets a pause for the report, and a resume once Amili shows it."""
    house.know()
    house.report("10.00")
    house.work()

    def answer(kind: ActionKind) -> None:
        with house.parts.database.begin() as tx:
            (action,) = [a for a in ledger.of_cases(tx, ["case-1"])["case-1"] if a.is_open]
            assert (action.kind, action.state) == (kind, ActionState.PLANNED)
            sent = replace(action, state=ActionState.ANSWERED, attempts=1, sent_at=tx.now)
            ledger.save(tx, [replace(sent, ended_at=tx.now)])
            entities.nudge(tx, [Nudge(case_key(), "action")])

    answer(ActionKind.PAUSE_CASE)
    house.send()
    house.status = "PAUSED"
    house.end(taken=1)
    house.amounts["paid"] = "10.00"
    house.wait(60)
    answer(ActionKind.RESUME_CASE)
    house.status = "OPEN"
    house.wait(60)
    house.wait(3600)
    with house.parts.database.read() as tx:
        made = ledger.of_cases(tx, ["case-1"])["case-1"]
    assert [(each.kind, each.state) for each in made] == [
        (ActionKind.PAUSE_CASE, ActionState.CONFIRMED),
        (ActionKind.RESUME_CASE, ActionState.CONFIRMED),
    ]


def test_its_own_first_in_first_out(house: House) -> None:
    """Two payments on one invoice are two holds; a part of the sum frees the older one."""
    house.know()
    house.report("100.00", "50.00")
    house.work()
    house.send()
    house.end(taken=2)
    house.amounts["paid"] = "149.99"
    house.wait(60)
    assert house.ends() == [FREED, HELD]
    house.amounts["paid"] = "150.00"
    house.wait(120)
    assert house.ends() == [FREED, FREED]


def test_a_credit_note(house: House) -> None:
    """It waits for what is credited, not for what is paid; one that adds to a claim holds not."""
    house.know()
    house.report("-30.00", kind=SubmissionKind.CORRECTIONS, key="larger")
    house.work()
    assert house.ends() == []
    house.send()
    house.report("30.00", kind=SubmissionKind.CORRECTIONS)
    house.send(batch="b-2")
    house.end("b-2", taken=1)
    house.amounts["paid"] = "30.00"
    house.wait(60)
    assert house.ends() == [HELD]
    house.amounts["credited"] = "30.00"
    house.wait(120)
    assert house.ends() == [FREED]


def test_placed_once_for_ever(house: House) -> None:
    """What an operator released stays released, whatever is read, told or reported again."""
    house.know()
    submission = house.report("10.00")
    house.work()
    house.release()
    assert house.report("10.00") == submission
    house.send()
    house.end(taken=1)
    house.wait(3600)
    assert house.ends() == [("payment_reported", "released")]
    house.report("5.00", key="another")
    house.work()
    assert sorted(house.ends(), key=str) == [("payment_reported", "released"), HELD]


def test_a_case_that_becomes_known_later(house: House) -> None:
    """The batch leads to the invoice, the invoice to its case: its first look holds it."""
    house.report("10.00")
    house.send()
    house.work()
    assert house.reads == 0
    house.amounts["paid"] = "5.00"  # less than was reported: it cannot be in there
    house.end(taken=1)
    assert house.ends() == [HELD]
    house.wait(3600)
    assert house.ends() == [HELD]
    house.amounts["paid"] = "10.00"
    house.wait(3600)
    assert house.ends() == [FREED]


def test_amounts_that_are_never_told(house: House) -> None:
    """Then the batch's word is all there is: free once a read surely shows what it took."""
    house.amounts = dict.fromkeys(house.amounts)
    house.know()
    house.report("10.00")
    house.work()
    house.send()
    house.end(taken=1)
    assert house.ends() == [HELD]
    house.wait(9)
    assert house.ends() == [HELD]
    house.wait(2)
    assert house.ends() == [FREED]


def test_a_beginning_that_nobody_knew(house: House) -> None:
    """Amounts told only later: so much must at least be there, and the batch must have taken it."""
    house.amounts["paid"] = None
    house.know()
    house.report("10.00")
    house.work()
    house.send()
    house.amounts["paid"] = "10.00"
    house.end(taken=1)
    assert house.ends() == [HELD]
    house.wait(11)
    assert house.ends() == [FREED]


def test_what_was_paid_before_it_was_sent(house: House) -> None:
    """What a read shows before the call is none of it, though nobody knew when it was reported."""
    house.know()
    house.amounts["paid"] = "100.00"
    house.report("100.00")
    house.work()
    house.send()
    house.end(taken=1)
    house.wait(3600)
    assert house.ends() == [HELD]
    house.amounts["paid"] = "199.99"
    house.wait(3600)
    assert house.ends() == [HELD]
    house.amounts["paid"] = "200.00"
    house.wait(3600)
    assert house.ends() == [FREED]


def test_a_beginning_never_falls(house: House) -> None:
    """An older, lower amount that a read shows before the call changes nothing."""
    house.amounts["paid"] = "100.00"
    house.know()
    house.report("50.00")
    house.amounts |= {"paid": "20.00", "remaining": "1080.00"}
    house.work()
    house.send()
    house.end(taken=1)
    house.amounts["paid"] = "149.99"
    house.wait(3600)
    assert house.ends() == [HELD]
    house.amounts["paid"] = "150.00"
    house.wait(3600)
    assert house.ends() == [FREED]


def test_the_beginning_of_a_chunk(house: House) -> None:
    """It is what stands here when the chunk leaves, and stays that once it was sent."""
    house.know()
    submission = house.report("100.00", "7.00", invoice="I-1")
    house.amounts |= {"paid": "30.00", "remaining": "970.00"}
    house.work()
    noted = []
    for words in (FIFTY, SEVENTY):
        with house.parts.database.begin() as tx:
            tx.connection.exec_driver_sql(words)
        if words is FIFTY:
            house.send()
        house.parts.database.run(lambda tx: begin_in_chunk(tx, submission, 0))
        with house.parts.database.read() as tx:
            noted.append([(str(each.before), str(each.reached)) for each in of_case(tx, "case-1")])
    assert noted == [[("50.00", "50.00")] * 2, [("50.00", "70.00")] * 2]


FIFTY = "UPDATE invoices SET paid_amount = '50.00'"
SEVENTY = "UPDATE invoices SET paid_amount = '70.00'"


def test_what_is_in_an_answer_after_the_call(house: House) -> None:
    """Once it was sent its beginning stands: what a read shows then may be the payment itself."""
    house.know()
    house.report("100.00")
    house.send()
    house.amounts["paid"] = "100.00"
    house.work()
    house.end(taken=1)
    house.wait(60)
    assert house.ends() == [FREED]


@pytest.mark.parametrize("kind", [SubmissionKind.PAYMENTS, SubmissionKind.CORRECTIONS])
def test_only_what_remains_is_told(house: House, kind: SubmissionKind) -> None:
    """Then its fall counts, to the last øre."""
    house.amounts |= {"paid": None, "credited": None, "remaining": "1000.00"}
    house.know()
    house.report("100.00", kind=kind)
    house.work()
    house.send()
    house.end(taken=1)
    house.amounts["remaining"] = "900.01"
    house.wait(3600)
    assert house.ends() == [HELD]
    house.amounts["remaining"] = "900.00"
    house.wait(3600)
    assert house.ends() == [FREED]


def test_one_fall_is_not_two(house: House) -> None:
    """A payment and a credit note on one invoice need the sum of both, first in, first out."""
    house.amounts |= {"paid": None, "credited": None, "remaining": "1000.00"}
    house.know()
    house.report("100.00")
    house.work()
    house.send()
    house.end(taken=1)
    house.report("30.00", kind=SubmissionKind.CORRECTIONS, key="note")
    house.work()
    house.send(batch="b-2")
    house.end("b-2", taken=1)
    house.amounts["remaining"] = "900.00"
    house.wait(3600)
    assert sorted(house.ends(), key=str) == sorted([FREED, HELD], key=str)
    house.amounts["remaining"] = "870.00"
    house.wait(3600)
    assert house.ends() == [FREED, FREED]


@pytest.mark.parametrize("spelt", ["I-1", "i-1"])
def test_any_spelling_of_an_id(house: House, spelt: str) -> None:
    """A spreadsheet's capitals lead to the same invoice: its beginning, its hold and its end."""
    house.amounts["paid"] = "50.00"
    house.know()
    house.report("100.00", invoice=spelt)
    house.work()
    assert house.ends() == [HELD]
    house.send()
    house.end(taken=1)
    house.amounts["paid"] = "149.99"
    house.wait(3600)
    assert house.ends() == [HELD]
    house.amounts["paid"] = "150.00"
    house.wait(3600)
    assert house.ends() == [FREED]


def test_corrected_and_handed_over_again(house: House) -> None:
    """What failed is held until the same or more was made again, taken, and is shown by Amili."""
    house.know()
    house.report("100.00")
    house.work()
    house.send()
    house.end(failed=1)
    house.wait(1)
    assert house.ends() == [("batch_failed", None), ("payment_reported", "batch_failed")]
    house.report("100.00", key="again")
    house.work()
    house.send(batch="b-2")
    house.end("b-2", taken=1)
    house.wait(60)
    assert ("batch_failed", None) in house.ends()
    house.amounts["paid"] = "100.00"
    house.wait(3600)
    assert sorted(house.ends()) == [
        ("batch_failed", "corrected"),
        ("payment_reported", "batch_failed"),
        FREED,
    ]


def test_refused_and_handed_over_again(house: House) -> None:
    """The hold of what Amili refused ends likewise; with less it does not."""
    house.know()
    for key, amount in (("first", "100.00"), ("less", "99.99")):
        house.report(amount, key=key)
        house.work()
        house.send(batch=key, refused=key == "first")
    house.end("less", taken=1)
    house.amounts["paid"] = "99.99"
    house.wait(3600)
    assert sorted(house.ends(), key=str) == sorted([HELD, FREED], key=str)
    house.report("100.00", key="again")
    house.work()
    house.send(batch="again")
    house.end("again", taken=1)
    house.amounts["paid"] = "199.99"
    house.wait(3600)
    assert sorted(house.ends()) == [
        ("payment_reported", "corrected"),
        FREED,
        FREED,
    ]


def test_the_batch_does_not_name_it(house: House) -> None:
    """Nobody knows whether it was taken: amounts that grew by all of it end its hold."""
    house.know()
    house.report("100.00", "50.00")
    house.work()
    house.send()
    house.batches["b-1"] = {"status": "PARTIAL", "succeeded": [], "failed": []}
    house.amounts["paid"] = "149.99"
    house.wait(3600)
    assert house.ends() == [FREED, HELD]
    house.amounts["paid"] = "150.00"
    house.wait(3600)
    assert house.ends() == [FREED, FREED]


def test_what_amili_refused_keeps_its_hold(house: House) -> None:
    """The whole chunk is refused: the case is looked at, and a person must look, too."""
    house.know()
    house.report("10.00")
    house.work()
    before = house.reads
    house.send(refused=True)
    house.wait(1)
    assert house.reads > before
    house.amounts["paid"] = "500.00"
    house.wait(3600)
    assert house.ends() == [HELD]


def test_a_failed_item_has_one_hold(house: House) -> None:
    """The hold of its failed batch takes over, in whatever order the two come."""
    house.know()
    house.report("10.00")
    house.work()
    house.send()
    house.end(failed=1)
    house.wait(1)
    assert house.ends() == [("batch_failed", None), ("payment_reported", "batch_failed")]
    house.release()
    house.wait(3600)
    assert {by for _, by in house.ends()} == {"batch_failed", "released"}


def test_one_of_two_failed(house: House) -> None:
    """The other one does not wait for its amount."""
    house.know()
    house.report("100.00", "50.00")
    house.work()
    house.send()
    house.end(taken=1, failed=1)
    house.amounts["paid"] = "100.00"
    house.wait(60)
    ended = [("payment_reported", "batch_failed"), FREED]
    assert sorted(house.ends(), key=str) == [("batch_failed", None), *ended]


def test_a_case_that_is_over(house: House) -> None:
    """Paid in full: its holds end with it, and a later report holds nothing."""
    house.know()
    house.report("1000.00")
    house.work()
    house.amounts |= {"remaining": "0.00"}
    house.send()
    house.end(taken=1)
    house.report("1.00", key="late")
    house.work()
    assert house.ends() == [("payment_reported", "case_closed")]


def test_read_again_with_growing_pauses(house: House) -> None:
    """Untold, the amounts are read again while they are waited for, ever more slowly, then no more.

    Amounts may move long after the batch.
    """
    house.know()
    house.report("10.00")
    house.work()
    house.send()
    house.end(taken=1)
    house.wait(60)
    counts = []
    for _ in range(3):
        before = house.reads
        for _ in range(24):
            house.wait(3600)
        counts.append(house.reads - before)
    assert counts == [24, 24, 24]
    house.amounts["paid"] = "10.00"
    house.wait(3600)
    assert house.ends() == [FREED]
    before = house.reads
    house.wait(100_000)
    assert house.reads == before


def test_only_what_is_complete_counts(house: House) -> None:
    """Rows of a submission that is still being written hold nothing."""
    house.know()
    house.report("10.00")
    with house.parts.database.begin() as tx:
        assert [str(each.amount) for each in of_case(tx, "case-1")] == ["10.00"]
        tx.connection.exec_driver_sql("UPDATE submissions SET state = 'staging'")
        assert of_case(tx, "case-1") == ()
        assert of_case(tx, "case-2") == ()
