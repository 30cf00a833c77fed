"""Many events, each delivered three times in any order: settled once, and always the same rows."""

from __future__ import annotations

import random
from collections import Counter
from typing import Any

import pytest

from service.sandbox.harness import SandboxServer
from tests.e2e.conftest import RaiseHouse, sandbox
from tests.e2e.house import House, Webhook

CASES = 200
EVENTS = 1_000
BATCHES = 40
Rows = dict[str, list[Any]]

#: What must be the same whatever the order was: no times, and no ids that are random by nature.
QUERIES = {
    "events": "SELECT event_id, type, entity, state, outcome, is_variant FROM events",
    "cases": "SELECT case_id, case_number, type, status, sub_status, description, is_over, desired,"
    " level FROM cases",
    "invoices": "SELECT invoice_id, case_id, case_number, status, currency, remaining_amount,"
    " paid_amount FROM invoices",
    "batches": "SELECT batch_id, type, status FROM batches",
    "batch_items": "SELECT batch_id, position, succeeded, invoice_number FROM batch_items",
    "holds": "SELECT case_id, reason, owner, released_at FROM holds",
    "actions": "SELECT kind, target, cause, state, is_ours FROM actions",
    "decisions": "SELECT entity, policy, outcome FROM decisions",
}
LEFT = (
    "SELECT entity FROM nudges UNION ALL SELECT entity FROM entities WHERE holder IS NOT NULL"
    " UNION ALL SELECT event_id FROM events WHERE state <> 'settled'"
)


class Story:
    """What happened at Amili: the same every time, but for the ids."""

    def __init__(self, amili: SandboxServer) -> None:
        control = amili.control
        self.cases = [control.create_case() for _ in range(CASES)]
        self.created = [Webhook.of(body(d)) for d in control.deliveries("CASE")]
        self.batches = [self._fail(amili, n) for n in range(BATCHES)]
        for n in range(EVENTS - BATCHES):
            case = self.cases[n % CASES]
            control.update_case(case["caseId"], description=f"Step {n // CASES}")
        for n in range(0, CASES, 7):
            # The story ends before the telling begins: a few cases stand at another type.
            control.update_case(self.cases[n]["caseId"], type="COLLECTION_NOTICE", webhook=False)
        told = [*control.deliveries("CASE_UPDATED"), *control.deliveries("BATCH_COMPLETED")]
        self.events = [Webhook.of(body(delivery)) for delivery in told]
        self._names = self._name(told)

    def _fail(self, amili: SandboxServer, number: int) -> str:
        """Let a batch fail for the invoice of a case: that case is to be held."""
        invoice = self.cases[number * 3]["invoices"][0]
        batch = amili.control.register_batch(type="CORRECTION")
        failed = [{"invoiceNumber": invoice["invoiceNumber"], "errors": [{"code": "NO"}]}]
        amili.control.complete_batch(batch["batchId"], status="FAILED", failed=failed)
        return str(batch["batchId"])

    def _name(self, told: list[dict[str, Any]]) -> dict[str, str]:
        """Give every random id a name that is the same in every telling."""
        names = {}
        for n, case in enumerate(self.cases):
            names[case["caseId"]] = f"case {n}"
            names[str(case["caseNumber"])] = f"case number {n}"
            names[case["invoices"][0]["invoiceId"]] = f"invoice {n}"
        names |= {batch_id: f"batch {n}" for n, batch_id in enumerate(self.batches)}
        names |= {delivery["eventId"]: f"event {n}" for n, delivery in enumerate(told)}
        return names

    def rows(self, house: House) -> Rows:
        """Read what stands in SQL, by the story's names, in an order of our own."""
        found: Rows = {}
        for table, query in QUERIES.items():
            rows = [[self._named(value) for value in row] for row in house.rows(query)]
            found[table] = sorted(rows, key=str)
        found["events"] = [row for row in found["events"] if row[0].startswith("event")]
        return found

    def _named(self, value: Any) -> str:
        """Write a value the same way for each database, ids by their names."""
        text = str(value)
        kind, colon, name = text.partition(":")
        if colon and name in self._names:
            return f"{kind}:{self._names[name]}"
        text = {"True": "1", "False": "0"}.get(text, text)
        if text.replace(".", "", 1).isdigit() and "." in text:
            text = text.rstrip("0").rstrip(".")
        return self._names.get(text, text)


def body(delivery: dict[str, Any]) -> bytes:
    """Take the very body of a recorded delivery."""
    return str(delivery["body"]).encode()


def tell(
    raise_house: RaiseHouse, database_url: str, seed: int
) -> tuple[Rows, Counter[str], Counter[int]]:
    """Tell the whole story in one shuffled order; return the rows, the effects, the answers."""
    with sandbox() as amili:
        amili.control.set_behaviour(effect_delay_seconds=0.2)
        story = Story(amili)
        house = raise_house(database_url, amili)
        house.start()
        house.deliver(story.created)
        house.until_settled(CASES)
        thrice = story.events * 3
        random.Random(seed).shuffle(thrice)
        answers = house.deliver(thrice, together=20)
        house.until_settled(CASES + EVENTS)
        # A failed item's case is looked at after its batch: wait for the follow-ups, too.
        house.until(lambda: len(house.actions()) == BATCHES)
        house.until_no_action_is_open()
        house.until(lambda: not house.rows(LEFT))
        effects = Counter(
            f"{call['operation']} {call['effect']}"
            for call in amili.control.calls()
            if call["operation"] in ("PauseCase", "ResumeCase")
        )
        assert house.metric("amili_events_total", outcome="settled") == CASES + EVENTS
        rows = story.rows(house)
        assert not house.close()
        return rows, effects, answers


@pytest.mark.timeout(600)
def test_a_thousand_events_three_times_each_in_any_order(
    sqlite_url: str, postgres_url: str, raise_house: RaiseHouse, tmp_path: Any, is_long: bool
) -> None:
    """1,000 events of 200 cases, thrice, 20 at once: settled once each, the same rows each time."""
    places = [sqlite_url, postgres_url]
    if is_long:
        places += [f"sqlite:///{tmp_path / f'again-{n}.db'}" for n in range(3)]
    first: Rows = {}
    for seed, url in enumerate(places):
        rows, effects, answers = tell(raise_house, url, seed)
        assert set(answers) <= {200, 202}
        assert answers.total() == 3 * EVENTS
        assert effects == {"PauseCase paused": BATCHES}
        assert len(rows["events"]) == EVENTS
        first = first or rows
        assert rows == first
