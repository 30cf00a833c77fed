"""Chunks sent to a real imitation of Amili: once each, whatever becomes of the answer."""

from __future__ import annotations

import asyncio
import hashlib
import json
import random
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from service.amili.client import AmiliClient, TokenKeeper
from service.amili.contract import Contract
from service.amili.requests import NewInvoice
from service.amili.resources import Batch as ReadBatch
from service.desk.handing_over import AlreadyHandedOver, Handover, NewSubmission
from service.desk.submissions import Submissions
from service.domain.actions import ActionState
from service.domain.pausing import Rules
from service.domain.records import Batch, BatchItem
from service.domain.submissions import LOOKUPS, NewItem, SubmissionKind
from service.inbox.stream import Stream
from service.policies import POLICIES
from service.queue import Bells
from service.redis import connect
from service.sandbox.behaviour import Behaviour
from service.sandbox.harness import SandboxServer
from service.sandbox.world import ORGANIZATION_ID
from service.settings import Settings
from service.store import invoices, ledger
from service.telemetry.metrics import Metrics
from tests.integration.store_records import Clock, emptied
from workers import looking_up, submitting
from workers.belt import act
from workers.flow import look
from workers.outcomes import Outcome
from workers.parts import Parts, new_holder
from workers.sweeping import Sweeper
from workers.tracking import follow

CREATE = "CreateInvoices"


@pytest.fixture(scope="module")
def shared_amili() -> Iterator[SandboxServer]:
    """Serve an Amili for all tests of this module: use `amili`, which is empty."""
    behaviour = Behaviour(batch_delay_seconds=0)
    with SandboxServer(client_id="c", client_secret="s", behaviour=behaviour) as server:
        yield server


@pytest.fixture
def amili(shared_amili: SandboxServer) -> SandboxServer:
    """Give an Amili that knows no record, call or fault."""
    shared_amili.control.reset()
    shared_amili.control.set_behaviour(batch_delay_seconds=0.0, item_failure_rate=0.0)
    return shared_amili


@dataclass
class House:
    """A worker's parts, the desk beside them, and the clock of both."""

    parts: Parts
    clock: Clock
    amili: SandboxServer

    def hand_over(self, count: int, *, first: int = 0, key: str = "key") -> str:
        """Hand invoices over in chunks of three; return the submission's id."""
        items = [invoice(n) for n in range(first, first + count)]
        digest = hashlib.sha256("".join(each.body for each in items).encode()).digest()
        handover = Handover(self.parts.database, self.parts.bells, chunk_items=3)
        wish = NewSubmission(SubmissionKind.INVOICES, ORGANIZATION_ID, key, digest, count)
        return handover.place(wish, items).submission_id

    def act(self) -> int:
        """Perform everything that is due."""
        return self.run(act)

    def look(self) -> int:
        """Look at every due entity."""
        return self.run(look)

    def run(self, work: Any) -> int:
        """Run a piece of work with a client of its own."""

        async def once() -> int:
            parts = self.parts
            tokens = TokenKeeper(parts.settings)
            async with AmiliClient(parts.settings, parts.contract, parts.metrics, tokens) as client:
                done: int = await work(parts, client)
                return done

        return asyncio.run(once())

    def shown(self, submission_id: str) -> Any:
        """Show a submission."""
        return Submissions(self.parts.database).show(submission_id)

    def to_the_end(self, submission_id: str) -> Any:
        """Act and look while time passes; return the submission as it ends."""
        for _ in range(40):
            self.act()
            self.look()
            shown = self.shown(submission_id)
            if shown["state"] in ("succeeded", "partial", "failed", "uncertain"):
                return shown
            self.clock.forward(31)
        raise AssertionError(shown)

    def calls(self) -> list[Any]:
        """List the submissions that arrived at Amili."""
        return self.amili.control.calls(CREATE)

    def created(self) -> list[str]:
        """List the creditor's own ids of the invoices that Amili has, one for each."""
        queued = [call for call in self.calls() if call["effect"] == "queued"]
        bodies = [call["body"]["invoices"] for call in queued]
        return [each["uniqueSourceInvoiceId"] for body in bodies for each in body]


@pytest.fixture
def house(shared_url: str, redis_url: str, tmp_path: Path, amili: SandboxServer) -> Iterator[House]:
    """Give a worker on real servers, with a clock moved by hand."""
    clock, client = Clock(), connect(redis_url)
    settings = Settings(
        data_dir=tmp_path,
        api_base_url=amili.base_url,
        token_url=amili.token_url,
        client_id="c",
        client_secret="s",
        max_attempts=3,
    )
    with emptied(shared_url, clock) as database:
        parts = Parts(
            settings=settings,
            contract=Contract(),
            metrics=Metrics(),
            database=database,
            redis=client,
            stream=Stream(client, "tests"),
            bells=Bells(client),
            policies=POLICIES,
            rules=Rules(timedelta(seconds=10)),
            holder=new_holder(),
            chance=random.Random(1),
        )
        yield House(parts, clock, amili)
    client.connection_pool.disconnect()


def invoice(number: int) -> NewItem:
    """Make an invoice of an invented debtor."""
    record = {
        "type": "PAYMENT_REMINDER",
        "uniqueSourceInvoiceId": f"source-{number}",
        "invoiceNumber": f"number-{number}",
        "originalInvoiceAmount": 4500,
        "currency": "NOK",
        "invoiceDate": "2026-01-01",
        "dueDate": "2026-01-15",
        "debtors": [{"type": "PRIVATE", "customerNumber": f"customer-{number}"}],
        "claims": [],
    }
    body = json.dumps(record, separators=(",", ":")).replace(":4500,", ":4500.00,")
    return NewItem(number + 1, body, f"source-{number}", f"number-{number}")


def test_every_chunk_is_sent_once_and_followed_to_its_end(house: House) -> None:
    """Seven invoices are three calls; each batch is read, and each invoice is read back."""
    made = house.hand_over(7)
    shown = house.to_the_end(made)
    assert shown["state"] == "succeeded"
    assert shown["items"] == {
        **dict.fromkeys(("open", "failed", "unlisted", "refused"), 0),
        **{"succeeded": 7, "all": 7},
    }
    assert len(house.calls()) == 3
    assert sorted(house.created()) == [f"source-{n}" for n in range(7)]
    keys = [call["idempotencyKey"] for call in house.calls()]
    assert sorted(keys) == sorted(chunk["actionId"] for chunk in shown["chunks"])
    assert {chunk["state"] for chunk in shown["chunks"]} == {"confirmed"}
    house.look()
    with house.parts.database.read() as tx:
        read = invoices.named(tx, ids=[], numbers=[f"number-{n}" for n in range(7)], sources=[])
    assert len(read) == 7


def test_amounts_are_sent_to_the_last_digit(house: House) -> None:
    """4500.00 leaves as 4500.00, never through a float."""
    house.hand_over(1)
    house.act()
    (call,) = house.calls()
    assert str(call["body"]["invoices"][0]["originalInvoiceAmount"]) == "4500.00"


def test_a_batch_that_takes_long_is_polled(house: House) -> None:
    """No webhook comes: the batch is read again with growing pauses until it ends."""
    house.amili.control.set_behaviour(batch_delay_seconds=100_000.0)
    made = house.hand_over(1)
    house.act()
    for _ in range(120):
        house.clock.forward(30)
        house.look()
    (chunk,) = house.shown(made)["chunks"]
    assert (chunk["state"], chunk["batchStatus"]) == ("answered", "QUEUED")
    reads = len(house.amili.control.calls("GetBatchById"))
    assert 5 <= reads <= 20  # in an hour
    failed = [{"uniqueSourceInvoiceId": "source-0", "errors": [{"code": "NO"}]}]
    house.amili.control.complete_batch(chunk["batchId"], status="FAILED", failed=failed)
    house.clock.forward(601)
    assert house.to_the_end(made)["state"] == "failed"


def test_what_fails_is_told_with_its_reason(house: House) -> None:
    """Of a batch that ends PARTIAL or FAILED each item tells what Amili said of it."""
    first = house.hand_over(3)
    house.to_the_end(first)
    handover = Handover(house.parts.database, house.parts.bells, chunk_items=3)
    items = [replace(invoice(1), unique_source_invoice_id="other", line=8), invoice(77)]
    items[0] = replace(items[0], body=items[0].body.replace("source-1", "other"))
    wish = NewSubmission(SubmissionKind.INVOICES, ORGANIZATION_ID, "k2", b"2" * 32, 2)
    shown = house.to_the_end(handover.place(wish, items).submission_id)
    assert shown["state"] == "partial"
    (failed,) = shown["failed"]
    assert (failed["line"], failed["uniqueSourceInvoiceId"], failed["state"]) == (
        8,
        "other",
        "failed",
    )
    assert failed["errors"][0]["code"] == "DUPLICATE"
    page = house.parts.metrics.page().decode()
    assert 'amili_submission_items_total{kind="createInvoices",outcome="failed"} 1.0' in page


@pytest.mark.parametrize("fault", [{"cut": True}, {"status": 502}, {"status": 500}])
def test_an_answer_lost_after_the_effect_is_found_by_its_key(
    house: House, fault: dict[str, Any]
) -> None:
    """The call is not repeated: its batch is found at Amili by the idempotency key."""
    house.amili.control.add_fault(CREATE, after_effect=True, **fault)
    shown = house.to_the_end(house.hand_over(3))
    assert shown["state"] == "succeeded"
    assert len(house.calls()) == 1


def test_an_answer_lost_is_found_by_the_creditors_ids(house: House) -> None:
    """Where keys lead to nothing, the invoices themselves show that the chunk arrived."""
    house.parts = replace(house.parts, contract=Contract(idempotency_header="X-Of-No-Use"))
    house.amili.control.add_fault(CREATE, after_effect=True, cut=True)
    shown = house.to_the_end(house.hand_over(3))
    assert shown["state"] == "succeeded"
    assert shown["items"]["succeeded"] == 3
    assert len(house.calls()) == 1
    house.look()  # no batch will tell of them: they are read one by one
    assert len(house.amili.control.calls("GetInvoiceById")) >= 3


@pytest.mark.parametrize("fault", [{"cut": True}, {"status": 503}])
def test_what_is_never_found_waits_for_a_person(house: House, fault: dict[str, Any]) -> None:
    """Ten minutes of looking in vain: uncertain, not sent again, until somebody says so."""
    house.amili.control.add_fault(CREATE, **fault)
    made = house.hand_over(2)
    shown = house.to_the_end(made)
    assert shown["state"] == "uncertain"
    assert len(house.calls()) == 1
    lookups = [c for c in house.amili.control.calls("GetBatchesByOrganization")]
    assert 1 < len(lookups) <= len(LOOKUPS)
    for _ in range(5):
        house.clock.forward(3600)
        assert house.act() == 0
        Sweeper(house.parts).sweep()
    assert len(house.calls()) == 1
    Handover(house.parts.database, house.parts.bells, chunk_items=3).resend(made)
    assert house.to_the_end(made)["state"] == "succeeded"
    keys = {call["idempotencyKey"] for call in house.calls()}
    assert len(house.calls()) == 2
    assert len(keys) == 1


def test_a_dead_senders_chunk_is_looked_up(house: House) -> None:
    """Whoever wrote `sent` and died before the call: nobody sends it again unasked."""
    made = house.hand_over(2)
    with house.parts.database.read() as tx:
        (due,) = ledger.due(tx, submitting.MODELS, 10)
    call, _ = submitting.begin(house.parts, due)
    assert call is not None
    assert house.act() == 0
    house.clock.forward(house.parts.settings.lease_seconds + 1)
    assert Sweeper(house.parts).sweep()
    assert house.shown(made)["chunks"][0]["state"] == "uncertain"
    assert house.to_the_end(made)["state"] == "uncertain"
    assert house.calls() == []


def test_a_sender_that_stood_still_writes_nothing(house: House) -> None:
    """Its lease ended and others look the chunk up: its late word is refused."""
    made = house.hand_over(1)
    with house.parts.database.read() as tx:
        (due,) = ledger.due(tx, submitting.MODELS, 10)
    call, _ = submitting.begin(house.parts, due)
    assert call is not None
    house.clock.forward(house.parts.settings.lease_seconds + 1)
    Sweeper(house.parts).sweep()
    refused = submitting.Ended(submitting.uncertain(call.action, "late"))
    outcome = submitting.finish(house.parts, refused)
    assert outcome.leases_lost == 1
    assert house.shown(made)["chunks"][0]["error"] != "late"


@pytest.mark.parametrize("status", [400, 404, 422])
def test_a_chunk_that_amili_refuses_is_told(house: House, status: int) -> None:
    """A whole chunk refused ends there: no item of it was taken, the others go on."""
    house.amili.control.add_fault(CREATE, status=status)
    shown = house.to_the_end(house.hand_over(6))
    assert shown["state"] == "partial"
    assert (shown["items"]["refused"], shown["items"]["succeeded"]) == (3, 3)
    refused = [chunk for chunk in shown["chunks"] if chunk["state"] == "refused"]
    assert f"HTTP {status}" in refused[0]["error"]
    assert len(house.calls()) == 2


@pytest.mark.parametrize("status", [401, 403, 423, 429])
def test_busy_and_denied_only_wait(house: House, status: int) -> None:
    """What surely was not taken is sent again by itself, and counts as no attempt."""
    times = 2 if status == 401 else 1  # a refused token is renewed once
    house.amili.control.add_fault(CREATE, status=status, times=times)
    made = house.hand_over(2)
    house.act()
    chunk = house.shown(made)["chunks"][0]
    assert (chunk["state"], chunk["attempts"]) == ("planned", 0)
    assert house.to_the_end(made)["state"] == "succeeded"
    assert len(house.created()) == 2


def test_a_conflict_is_looked_up(house: House) -> None:
    """409 may say that this key was seen before: nothing is sent again, Amili is asked."""
    house.amili.control.add_fault(CREATE, status=409, after_effect=True)
    shown = house.to_the_end(house.hand_over(2))
    assert shown["state"] == "succeeded"
    assert len(house.calls()) == 1


def test_a_foreign_batch_is_not_taken_for_ours(house: House) -> None:
    """Were the filter by key without effect, somebody else's batch must not become ours."""
    house.amili.control.register_batch(type="INVOICE")
    house.parts = replace(house.parts, contract=Contract(idempotency_header="X-Of-No-Use"))
    house.amili.control.add_fault(CREATE, cut=True)
    made = house.hand_over(1)
    shown = house.to_the_end(made)
    assert shown["state"] == "uncertain"
    assert shown["chunks"][0]["batchId"] is None


def test_many_workers_send_each_chunk_once(house: House) -> None:
    """Two belts at once over the same ledger: every chunk arrives exactly once."""
    made = house.hand_over(30)

    async def twice(parts: Parts, client: AmiliClient) -> int:
        other = replace(parts, holder=new_holder())
        done = await asyncio.gather(act(parts, client), act(other, client))
        return sum(done)

    house.run(twice)
    assert house.to_the_end(made)["state"] == "succeeded"
    assert len(house.calls()) == 10
    assert sorted(house.created()) == sorted(f"source-{n}" for n in range(30))


# --- what a batch does not say ----------------------------------------------------------


def ended(house: House, submission_id: str, status: str, *items: BatchItem) -> Outcome:
    """Let the batch of the only chunk be read as ended."""
    (chunk,) = house.shown(submission_id)["chunks"]
    batch = Batch(chunk["batchId"], ORGANIZATION_ID, None, status, None, None, items, "{}")
    outcome = Outcome()
    house.parts.database.run(lambda tx: follow(tx, batch, outcome))
    return outcome


@pytest.fixture
def sent(house: House) -> str:
    """Hand three invoices over, in one chunk that Amili has and works on."""
    house.amili.control.set_behaviour(batch_delay_seconds=100_000.0)
    made = house.hand_over(3)
    house.act()
    return made


@pytest.mark.parametrize(
    ("status", "state"), [("SUCCESS", "succeeded"), ("success", "succeeded"), ("FAILED", "failed")]
)
def test_a_batch_that_names_nobody_speaks_for_all(
    house: House, sent: str, status: str, state: str
) -> None:
    """What a batch of one outcome does not name has that outcome, however it is spelt."""
    ended(house, sent, status)
    assert house.shown(sent)["items"][state] == 3


def test_what_nobody_names_stays_taken_until_it_is_known(house: House, sent: str) -> None:
    """A PARTIAL batch leaves the unnamed in doubt: not handed over twice, and mended by a word."""
    ended(house, sent, "PARTIAL", BatchItem(True, unique_source_invoice_id="source-1"))
    shown = house.shown(sent)
    assert (shown["items"]["unlisted"], shown["items"]["succeeded"]) == (2, 1)
    views = Submissions(house.parts.database)
    assert [*views.not_taken(sent)] == []
    assert len([*views.not_taken(sent, unlisted=True)]) == 2
    with pytest.raises(AlreadyHandedOver):
        house.hand_over(1, key="again")
    words = [BatchItem(n != 2, unique_source_invoice_id=f"source-{n}") for n in range(3)]
    ended(house, sent, "PARTIAL", *words)
    assert house.shown(sent)["items"] == house.shown(sent)["items"] | {
        **{"unlisted": 0, "succeeded": 2, "failed": 1},
    }


def test_as_many_nameless_failures_as_items_are_theirs(house: House, sent: str) -> None:
    """Of failed[] no member is documented: where only failures are left, the left items failed."""
    words = [BatchItem(True, invoice_number="number-0"), BatchItem(False, errors='[{"code":"X"}]')]
    ended(house, sent, "PARTIAL", *words, BatchItem(False, errors='[{"code":"Y"}]'))
    assert [each["state"] for each in house.shown(sent)["failed"]] == ["failed", "failed"]


def test_a_batch_of_another_chunk_is_not_taken(house: House) -> None:
    """Two chunks never share a batch: the second word of the same id is doubted."""
    made = house.hand_over(6)
    with house.parts.database.read() as tx:
        first, second = ledger.due(tx, submitting.MODELS, 10)
    for due in (first, second):
        call, _ = submitting.begin(house.parts, due)
        assert call is not None
        word = replace(call.action, state=ActionState.ANSWERED)
        submitting.finish(house.parts, submitting.Ended(word, "batch-of-one"))
    states = [chunk["state"] for chunk in house.shown(made)["chunks"]]
    assert states == ["answered", "uncertain"]


def test_a_late_answer_counts_while_nobody_knew(house: House) -> None:
    """Amili's word is written down although the lease ended, unless it was sent again since."""
    made = house.hand_over(1)
    with house.parts.database.read() as tx:
        (due,) = ledger.due(tx, submitting.MODELS, 10)
    call, _ = submitting.begin(house.parts, due)
    assert call is not None
    house.clock.forward(house.parts.settings.lease_seconds + 1)
    Sweeper(house.parts).sweep()
    word = submitting.Ended(replace(call.action, state=ActionState.ANSWERED), "batch-1")
    submitting.finish(house.parts, word)
    (chunk,) = house.shown(made)["chunks"]
    assert (chunk["state"], chunk["batchId"]) == ("answered", "batch-1")


# --- looks that say nothing -------------------------------------------------------------


def test_looks_that_amili_does_not_answer_are_no_looks(house: House) -> None:
    """While Amili cannot be asked the chunk stays open; once it can, what arrived is found."""
    house.amili.control.add_fault(CREATE, after_effect=True, cut=True)
    reads = ("GetBatchesByOrganization", "GetInvoicesByOrganization")
    for operation in reads:
        house.amili.control.add_fault(operation, status=503, rate=1.0)
    made = house.hand_over(2)
    for _ in range(40):
        house.act()
        house.clock.forward(60)
    assert house.shown(made)["state"] == "sending"
    house.amili.control.clear_faults()
    assert house.to_the_end(made)["state"] == "succeeded"
    assert len(house.calls()) == 1


def test_a_filter_without_effect_finds_nothing(house: House, monkeypatch: Any) -> None:
    """Were every key to bring the same batch, none of them is ours."""
    stranger = house.amili.control.register_batch(type="INVOICE")["batchId"]

    async def everything(client: Any, action: Any, key: str) -> list[Any]:
        return [ReadBatch.model_validate({"batchId": stranger, "status": "QUEUED"})]

    monkeypatch.setattr(looking_up, "listed", everything)
    house.amili.control.add_fault(CREATE, cut=True)
    shown = house.to_the_end(house.hand_over(1))
    assert (shown["state"], shown["chunks"][0]["batchId"]) == ("uncertain", None)


def test_part_of_a_chunk_found_leaves_the_rest_in_doubt(house: House) -> None:
    """Some of its invoices exist, others not (yet): these are not free to be handed over again."""
    first = house.hand_over(1)
    house.to_the_end(first)
    house.parts = replace(house.parts, contract=Contract(idempotency_header="X-Of-No-Use"))
    handover = Handover(house.parts.database, house.parts.bells, chunk_items=9)
    items = [invoice(5), invoice(6), invoice(7)]
    wish = NewSubmission(SubmissionKind.INVOICES, ORGANIZATION_ID, "k", b"3" * 32, 3)
    made = handover.place(wish, items).submission_id
    house.amili.control.add_fault(CREATE, cut=True)
    house.act()
    other = {**json.loads(invoice(6).body), "originalInvoiceAmount": 4500}
    house.run(lambda parts, client: create(client, other))
    shown = house.to_the_end(made)
    assert shown["state"] == "uncertain"
    assert (shown["items"]["succeeded"], shown["items"]["open"]) == (1, 2)
    with pytest.raises(AlreadyHandedOver):
        house.hand_over(1, first=5, key="again")
    handover.resend(made)
    assert house.to_the_end(made)["state"] == "succeeded"
    assert sorted(house.created()) == ["source-0", "source-5", "source-6", "source-7"]


async def create(client: AmiliClient, record: dict[str, Any]) -> int:
    """Create one invoice at Amili by another way."""
    model = NewInvoice.model_validate(record)
    await client.create_invoices(ORGANIZATION_ID, [model], idempotency_key="by-hand")
    return 1


def test_a_failure_of_what_was_sent_twice_is_doubted(house: House) -> None:
    """DUPLICATE on the second call may mean that the first one arrived: nobody calls it failed."""
    house.amili.control.set_behaviour(batch_delay_seconds=100_000.0)
    made = house.hand_over(1)
    house.act()
    (chunk,) = house.shown(made)["chunks"]

    def twice(tx: Any) -> None:
        action = ledger.lock(tx, chunk["actionId"])
        assert action is not None
        ledger.save(tx, [replace(action, attempts=2)])

    house.parts.database.run(twice)
    word = BatchItem(False, unique_source_invoice_id="source-0", errors='[{"code":"DUPLICATE"}]')
    ended(house, made, "FAILED", word)
    assert house.shown(made)["items"]["unlisted"] == 1
    with pytest.raises(AlreadyHandedOver):
        house.hand_over(1, key="again")
