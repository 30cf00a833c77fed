"""Handing over: all rows or none, once however often it is asked for, on both databases."""

from __future__ import annotations

import hashlib
import itertools
import threading
from collections.abc import Iterator
from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest

from service.desk.handing_over import AlreadyHandedOver, Handover, NewSubmission, stage
from service.desk.submissions import Submissions
from service.desk.writing import NotPossible
from service.domain.actions import ActionKind, ActionState
from service.domain.entities import Read
from service.domain.records import Invoice
from service.domain.submissions import ItemState, NewItem, SubmissionKind, place
from service.errors import RecordMissing
from service.queue import Bells
from service.redis import connect
from service.store import entities, ledger, submissions
from service.store.database import Database
from service.store.handed import submission_items
from tests.integration.store_records import NOON, save_invoices

INVOICES = SubmissionKind.INVOICES


def item(number: int, *, name: str | None = None) -> NewItem:
    """Make an invoice to hand over."""
    source = name or f"source-{number}"
    body = f'{{"uniqueSourceInvoiceId":"{source}","originalInvoiceAmount":4500.00}}'
    return NewItem(number + 1, body, source, f"number-{number}")


def payment(number: int, invoice_id: str, amount: str = "10.00") -> NewItem:
    """Make a payment to report."""
    body = f'{{"invoiceId":"{invoice_id}","amount":{amount}}}'
    return NewItem(number + 1, body, invoice_id=invoice_id, amount=Decimal(amount))


def wish(
    items: list[NewItem], key: str = "key-1", kind: SubmissionKind = INVOICES
) -> NewSubmission:
    """Ask for a submission of these."""
    content = "\n".join(each.body for each in items).encode()
    return NewSubmission(kind, "org-1", key, hashlib.sha256(content).digest(), len(items))


@pytest.fixture
def handover(database: Database, redis_url: str) -> Iterator[Handover]:
    """Give the desk's hand, with chunks of three."""
    client = connect(redis_url)
    yield Handover(database, Bells(client), chunk_items=3)
    client.close()


def planned(database: Database) -> list[tuple[str, int]]:
    """Return the chunks that wait to be sent."""
    with database.read() as tx:
        found = ledger.due(tx, frozenset(ActionKind), 100)
    return [place(each.target) for each in found]


def shown(database: Database, submission_id: str) -> Any:
    """Show a submission."""
    return Submissions(database).show(submission_id)


def test_every_item_is_in_one_planned_chunk(database: Database, handover: Handover) -> None:
    """Seven invoices in chunks of three are three calls, and their texts are as they came."""
    items = [item(n) for n in range(7)]
    made = handover.place(wish(items), items)
    assert planned(database) == [(made.submission_id, n) for n in range(3)]
    with database.read() as tx:
        texts = [submissions.bodies(tx, made.submission_id, n) for n in range(3)]
    assert [*itertools.chain(*texts)] == [each.body for each in items]
    assert max(len(each) for each in texts) <= 3
    assert shown(database, made.submission_id)["state"] == "sending"


def test_the_same_key_is_the_same_submission(database: Database, handover: Handover) -> None:
    """Asked for twice, it is there once, and nothing is planned twice."""
    items = [item(n) for n in range(4)]
    first = handover.place(wish(items), items)
    second = handover.place(wish(items), items)
    assert first == second
    assert len(planned(database)) == 2


def test_one_key_stands_for_one_content(database: Database, handover: Handover) -> None:
    """Another content under a key that was used is refused, and nothing is planned for it."""
    one, other = [item(1)], [item(2)]
    handover.place(wish(one), one)
    with pytest.raises(NotPossible, match="Idempotency-Key"):
        handover.place(wish(other), other)
    assert len(planned(database)) == 1


@pytest.mark.parametrize("ended_at", [0, 1, 500, 999])
def test_a_crash_while_writing_is_gone_on_from(
    database: Database, handover: Handover, ended_at: int
) -> None:
    """Rows that stand there from a run that died are kept; nothing is sent before all are there."""
    items = [item(n) for n in range(1000)]
    asked = wish(items)
    half = database.run(lambda tx: submissions.open_(tx, handover._new(asked, tx)))
    if ended_at:
        database.run(lambda tx: stage(tx, half, 0, items[:ended_at]))
    assert planned(database) == []
    assert shown(database, half.submission_id)["state"] == "staging"
    made = handover.place(asked, items)
    assert made.submission_id == half.submission_id
    counts = shown(database, made.submission_id)["items"]
    assert (counts["open"], counts["all"]) == (1000, 1000)


def test_no_invoice_is_handed_over_twice(database: Database, handover: Handover) -> None:
    """An invoice of another submission refuses the whole file, by line, and leaves nothing."""
    first = [item(n) for n in range(3)]
    kept = handover.place(wish(first), first)
    second = [item(8), item(1), item(9)]
    with pytest.raises(AlreadyHandedOver) as refused:
        handover.place(wish(second, "key-2"), second)
    assert refused.value.told == ((2, "source-1", kept.submission_id),)
    assert "line 2" in str(refused.value)
    assert [place[0] for place in planned(database)] == [kept.submission_id]
    third = [item(8), item(9)]
    handover.place(wish(third, "key-3"), third)  # what was taken back is free again


def test_an_invoice_twice_in_one_submission(handover: Handover) -> None:
    """The database refuses it even when nobody looked before."""
    items = [item(1), item(2, name="source-1")]
    with pytest.raises(AlreadyHandedOver, match="source-1"):
        handover.place(wish(items), items)


def test_what_was_not_taken_may_come_again(database: Database, handover: Handover) -> None:
    """A failed invoice is free for the next file; one that Amili took is not."""
    items = [item(1), item(2)]
    made = handover.place(wish(items), items)

    def end(state: ItemState, number: int) -> None:
        def run(tx: Any) -> None:
            there = submissions.items_of(tx, made.submission_id, 0)[number]
            submissions.save_items(tx, made.submission_id, [replace(there, state=state)], tx.now)

        database.run(run)

    end(ItemState.FAILED, 0)
    end(ItemState.SUCCEEDED, 1)
    again = [item(1)]
    handover.place(wish(again, "key-2"), again)
    taken = [item(2)]
    with pytest.raises(AlreadyHandedOver):
        handover.place(wish(taken, "key-3"), taken)
    failed = [*Submissions(database).not_taken(made.submission_id)]
    assert [(each.line, each.state) for each in failed] == [(2, "failed")]
    assert failed[0].body == items[0].body


def test_a_success_is_never_taken_back(database: Database, handover: Handover) -> None:
    """A later word that an invoice failed does not undo that Amili took it; its text is gone."""
    items = [item(1)]
    made = handover.place(wish(items), items)

    def settle(state: ItemState) -> None:
        def run(tx: Any) -> None:
            (there,) = submissions.items_of(tx, made.submission_id, 0)
            submissions.save_items(tx, made.submission_id, [replace(there, state=state)], tx.now)

        database.run(run)

    settle(ItemState.SUCCEEDED)
    settle(ItemState.FAILED)
    with database.read() as tx:
        assert submissions.items_of(tx, made.submission_id, 0)[0].state is ItemState.SUCCEEDED
        assert submissions.bodies(tx, made.submission_id, 0) == []


def test_many_at_once_are_one(database: Database, handover: Handover) -> None:
    """Four processes that hand over the same file at once make one submission."""
    items = [item(n) for n in range(600)]
    made: list[str] = []
    failed: list[BaseException] = []

    def run() -> None:
        try:
            made.append(handover.place(wish(items), items).submission_id)
        except BaseException as exc:
            failed.append(exc)

    threads = [threading.Thread(target=run) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failed == []
    assert len(set(made)) == 1
    assert len(planned(database)) == 100
    with database.read() as tx:
        assert sum(submissions.sizes(tx, made[0]).values()) == 600


def test_two_files_race_for_one_invoice(database: Database, handover: Handover) -> None:
    """Whichever comes second is refused as a whole: the invoice is planned once."""
    files = [[item(n), item(0)] for n in (1, 2)]
    ends: list[object] = []

    def run(number: int) -> None:
        try:
            ends.append(handover.place(wish(files[number], f"key-{number}"), files[number]))
        except NotPossible as exc:
            ends.append(exc)

    threads = [threading.Thread(target=run, args=(n,)) for n in (0, 1)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    with database.read() as tx:
        claimed = submissions.claimed_by(tx, ["org-1/source-0"])
    refused = [each for each in ends if isinstance(each, NotPossible)]
    assert len(refused) + len(planned(database)) == 2
    assert len(planned(database)) <= 1 or not refused
    assert len(claimed) <= 1


def test_resend_needs_a_word_and_an_unknown_fate(database: Database, handover: Handover) -> None:
    """Only a chunk that was looked up in vain is sent again, with the same key, and once asked."""
    items = [item(1)]
    made = handover.place(wish(items), items)
    with pytest.raises(NotPossible):
        handover.resend(made.submission_id)
    (row,) = shown(database, made.submission_id)["chunks"]

    def lose(tx: Any) -> None:
        action = ledger.lock(tx, row["actionId"])
        assert action is not None
        lost = replace(action, state=ActionState.UNCERTAIN, ended_at=tx.now, closed_at=tx.now)
        ledger.save(tx, [lost])

    database.run(lose)
    assert shown(database, made.submission_id)["state"] == "uncertain"
    assert planned(database) == []
    assert handover.resend(made.submission_id, "word-1") == 1
    with database.read() as tx:
        # One more look at Amili comes first: it may have arrived after all.
        assert [each.action_id for each in ledger.lost(tx, 10)] == [row["actionId"]]
    assert planned(database) == []
    database.run(lose)
    assert handover.resend(made.submission_id, "word-1") == 1
    with database.read() as tx:
        assert ledger.lost(tx, 10) == []  # the same word again asks for nothing


def test_only_what_was_never_sent_is_discarded(database: Database, handover: Handover) -> None:
    """A half-written submission can be forgotten, and frees its invoices; a complete one stays."""
    items = [item(1), item(2)]
    half = database.run(lambda tx: submissions.open_(tx, handover._new(wish(items), tx)))
    database.run(lambda tx: stage(tx, half, 0, items[:1]))
    handover.discard(half.submission_id)
    made = handover.place(wish(items, "key-2"), items)
    with pytest.raises(NotPossible):
        handover.discard(made.submission_id)
    with pytest.raises(RecordMissing):
        handover.discard(half.submission_id)


def test_reported_payments_nudge_their_cases(database: Database, handover: Handover) -> None:
    """The case of each reported invoice is due, and what was paid before is kept beside it."""
    known = Invoice(
        "invoice-1",
        case_id="case-1",
        case_number="8811",
        paid_amount=Decimal("5.00"),
        credited_amount=Decimal("0.00"),
    )
    database.run(lambda tx: save_invoices(tx, [known], Read(1, NOON)))
    items = [payment(0, "invoice-1"), payment(1, "invoice-1"), payment(2, "unknown")]
    handover.place(wish(items, kind=SubmissionKind.PAYMENTS), items)
    with database.read() as tx:
        assert entities.due_count(tx) == 1
        rows = tx.execute(submission_items.select()).all()
    assert [row.paid_before for row in rows] == [Decimal("5.00"), Decimal("5.00"), None]
    assert [row.amount for row in rows] == [Decimal("10.00")] * 3


def test_lists_have_pages(database: Database, handover: Handover) -> None:
    """Walking through pages shows every submission once, newest first."""
    made = []
    for n in range(5):
        items = [item(n)]
        made.append(handover.place(wish(items, f"key-{n}"), items).submission_id)
    views, seen, after = Submissions(database), [], None
    while True:
        page = views.list(limit=2, after=after)
        seen += [row["submissionId"] for row in page["data"]]
        after = page["next"]
        if after is None:
            break
    assert sorted(seen) == sorted(made)
    assert views.list(kind="payments")["data"] == []
