"""What happens to the house under one seed: at Amili, at the desk, and to what Redis keeps."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from service.desk.asking import NewRequest
from service.desk.handing_over import NewSubmission
from service.desk.writing import NewHold, NotPossible
from service.domain.actions import ActionKind
from service.domain.submissions import NewItem, SubmissionKind
from service.errors import RecordMissing, StoreError
from service.inbox import keys
from service.sandbox import control, knobs
from service.sandbox.world import ORGANIZATION_ID
from tests.simulation import peeking
from tests.simulation.clockwork import FOREVER, Process
from tests.simulation.house import House

Happening = Callable[[], Any]
#: Something an operator wants; it is tried until it is done.
Wish = Callable[[Process], Any]


@dataclass
class Scenario:
    """The course of events of one seed, thrown before it begins."""

    house: House
    cases: list[str] = field(default_factory=list)
    #: By case: what somebody at Amili did by hand, and when.
    by_hand: dict[str, tuple[str, float]] = field(default_factory=dict)
    timeline: list[tuple[float, Happening]] = field(default_factory=list)
    wishes: list[tuple[float, Wish]] = field(default_factory=list)
    wished: int = 0
    #: Every invoice that was handed over.
    handed: list[str] = field(default_factory=list)
    bodies: list[tuple[bytes, dict[str, str]]] = field(default_factory=list)

    def throw(self) -> None:
        """Decide what happens and when."""
        house, chance = self.house, self.house.chance
        start, end = house.clockwork.now, house.clockwork.now + house.span
        for _ in range(chance.choice((1, 1, 1, 2))):
            self.open_case()
        for _ in range(chance.randint(2, 7)):
            kind = chance.choices(*zip(*self.kinds(), strict=True))[0]
            at = chance.uniform(start, end)
            case = chance.randrange(len(self.cases))
            self.timeline.append((at, lambda kind=kind, case=case: kind(case)))  # type: ignore[misc]
        if chance.random() < 0.85:
            self.hold_soon(0, start + chance.uniform(1, 5))
        if chance.random() < 0.5:
            at = start + chance.uniform(0.5, 5)
            self.wishes.append((at, self.submit(50, self.cases[0], at)))
        for number in range(1, chance.randint(2, 6)):
            self.wish(number, chance.uniform(start + 2, end))
        if chance.random() < 0.4:
            self.wishes.append((end, self.release_all()))
        self.timeline.sort(key=lambda each: each[0])
        self.wishes.sort(key=lambda each: each[0])

    def kinds(self) -> tuple[tuple[Callable[[int], Any], int], ...]:
        """Return what may happen at Amili, and how often."""
        return (
            (self.describe, 4),
            (self.retype, 2),
            (self.pay, 2),
            (self.pay_all, 1),
            (self.fail_batch, 4),
            (self.settle, 1),
            (self.repeat, 2),
            (self.strange, 1),
            (self.interfere, 1),
            (self.lose_group, 1),
            (self.lose_bells, 1),
        )

    # --- at Amili -----------------------------------------------------------------

    def open_case(self) -> None:
        """Open a case with one or two invoices."""
        amounts = [{"amount": Decimal("100.00")}] * self.house.chance.choice((1, 2))
        shown = control.create_case(self.house.amili.world, {"invoices": amounts})
        self.cases.append(shown["caseId"])

    def change(self, case: int, **members: Any) -> None:
        """Change a case that is still open."""
        if self.status(case) != "CLOSED":
            control.update_case(self.house.amili.world, {"caseId": self.cases[case], **members})

    def status(self, case: int) -> str:
        """Return the true status of a case."""
        found = self.house.amili.world.cases.now(self.cases[case])
        return str(found["status"]) if found else ""

    def describe(self, case: int) -> None:
        """Change what no payload shows."""
        self.change(case, description=f"words {self.house.chance.randrange(100)}")

    def retype(self, case: int) -> None:
        """Change what the payload shows."""
        self.change(case, type=self.house.chance.choice(("PAYMENT_REMINDER", "DEBT_COLLECTION")))

    def invoice(self, case: int) -> str:
        """Choose an invoice of a case."""
        return self.house.chance.choice(self.house.amili.world.invoices_of_case[self.cases[case]])

    def pay(self, case: int) -> None:
        """Let the debtor pay a little."""
        world, invoice_id = self.house.amili.world, self.invoice(case)
        invoice = world.invoices.now(invoice_id)
        if invoice and invoice["remainingAmount"] > 10 and self.status(case) != "CLOSED":
            control.pay_invoice(world, {"invoiceId": invoice_id, "amount": "1.00"})

    def pay_all(self, case: int) -> None:
        """Let the debtor pay everything: the case closes."""
        world = self.house.amili.world
        for invoice_id in world.invoices_of_case[self.cases[case]]:
            invoice = world.invoices.now(invoice_id)
            if invoice and invoice["remainingAmount"] > 0 and self.status(case) != "CLOSED":
                control.pay_invoice(world, {"invoiceId": invoice_id})

    def fail_batch(self, case: int) -> None:
        """Let a batch fail that names an invoice of the case: a policy holds it."""
        world, invoice_id = self.house.amili.world, self.invoice(case)
        batch = control.register_batch(world, {"type": "PAYMENT"})
        failed = [{"invoiceId": invoice_id, "errors": [{"code": "X", "message": "no"}]}]
        control.complete_batch(world, {"batchId": batch["batchId"], "failed": failed})

    def settle(self, case: int) -> None:
        """Pay out for a case."""
        control.settle(self.house.amili.world, {"caseId": self.cases[case]})

    def repeat(self, case: int) -> None:
        """Deliver an old webhook once more."""
        found = self.house.amili.world.outbox.deliveries()
        if found:
            chosen = self.house.chance.choice(found)
            knobs.resend(self.house.amili.world, {"deliveryId": chosen["deliveryId"]})

    def strange(self, case: int) -> None:
        """Deliver what is of no known type, or cannot be read."""
        world = self.house.amili.world
        if self.house.chance.random() < 0.5:
            world.say("NEWS", {"organizationId": ORGANIZATION_ID}, world.clock())
        else:
            world.say("CASE_UPDATED", {"organizationId": ORGANIZATION_ID}, world.clock())

    def interfere(self, case: int) -> None:
        """Let somebody at Amili pause or resume a case by hand, once."""
        case_id, status = self.cases[case], self.status(case)
        if case_id in self.by_hand or status not in ("OPEN", "PAUSED"):
            return
        hand = control.pause if status == "OPEN" else control.resume
        self.by_hand[case_id] = (hand.__name__, self.house.clockwork.now)
        hand(self.house.amili.world, {"caseId": case_id})

    def lose_group(self, case: int) -> None:
        """Let the consumer group vanish, as after a fail-over."""
        self.house.redis.xgroup_destroy(keys.STREAM, keys.GROUP)

    def lose_bells(self, case: int) -> None:
        """Let every bell vanish."""
        self.house.belfry.rung = {"events": False, "actions": False}

    # --- at the desk --------------------------------------------------------------

    def wish(self, number: int, at: float) -> None:
        """Add something that an operator wants."""
        chance = self.house.chance
        case_id = self.cases[chance.randrange(len(self.cases))]
        made = chance.choices((self.hold, self.release, self.withdraw, self.submit), (5, 4, 1, 2))[
            0
        ]
        self.wishes.append((at, made(number, case_id, at)))

    def hold_soon(self, number: int, at: float) -> None:
        """Place a hold, end it soon, and place another while the case is being resumed."""
        chance = self.house.chance
        case_id = self.cases[chance.randrange(len(self.cases))]
        self.wishes.append((at, self.hold(number, case_id, at)))
        at += chance.uniform(0, 25)
        self.wishes.append((at, self.release(number, case_id, at)))
        if chance.random() < 0.6:
            at += chance.uniform(0, 8)
            self.wishes.append((at, self.hold(100 + number, case_id, at)))

    def hold(self, number: int, case_id: str, at: float) -> Wish:
        """Place a hold, with or without an end."""
        chance = self.house.chance
        until = None
        if chance.random() < 0.4:
            until = datetime.fromtimestamp(at + chance.uniform(5, 100), UTC)
        wish = NewHold(case_id, "dispute", "operator", until, key=f"hold-{number}")
        return lambda process: self.house.writing(process).place_hold(wish)

    def release(self, number: int, case_id: str, at: float) -> Wish:
        """Release some hold of the case that there is."""
        chosen: list[str] = []

        def do(process: Process) -> None:
            if not chosen:
                asked = "SELECT hold_id FROM holds WHERE case_id = ? AND released_at IS NULL"
                found = peeking.rows(self.house.memory.raw, f"{asked} ORDER BY hold_id", case_id)
                chosen.extend(row["hold_id"] for row in found)
            if chosen:
                self.house.writing(process).release_hold(case_id, chosen[0])

        return do

    def withdraw(self, number: int, case_id: str, at: float) -> Wish:
        """Ask for the end of Amili's work on a case."""
        wish = NewRequest(case_id, ActionKind.WITHDRAW_CASE, "operator", f"withdraw-{number}")
        return lambda process: self.house.asking(process).ask(wish)

    def submit(self, number: int, case_id: str, at: float) -> Wish:
        """Hand over a few invoices, in chunks of two."""
        items = [invoice(f"{number}-{place}") for place in range(self.house.chance.randint(1, 4))]
        digest = hashlib.sha256("".join(each.body for each in items).encode()).digest()
        wish = NewSubmission(
            SubmissionKind.INVOICES, ORGANIZATION_ID, f"submit-{number}", digest, len(items)
        )
        self.handed += [str(each.unique_source_invoice_id) for each in items]
        return lambda process: self.house.handover(process).place(wish, items)

    def release_all(self) -> Wish:
        """Release every hold that a person placed."""

        def do(process: Process) -> None:
            for case_id in self.cases:
                self.house.writing(process).resume(case_id, key="all")

        return do

    # --- those who make it happen -----------------------------------------------------

    def operator(self, process: Process) -> None:
        """Try each wish until it is done, also after a crash in the middle of it."""
        while self.wished < len(self.wishes):
            at, wish = self.wishes[self.wished]
            if process.clockwork.now < at:
                process.wait(at)
                continue
            try:
                wish(process)
            except NotPossible:
                pass
            except RecordMissing:
                if not self.house.dice.is_quiet(process.clockwork.now - 120):
                    process.pause(4)
                    continue
            except StoreError:
                process.pause(2)
                continue
            self.wished += 1
        process.wait(FOREVER)

    def drive(self, driver: Process) -> bool:
        """Let time pass until everything is quiet; False when it never becomes so."""
        house = self.house
        last = house.clockwork.now + house.span + LONGEST_SECONDS
        while house.clockwork.now < last:
            house.amili.tick()
            while self.timeline and self.timeline[0][0] <= house.clockwork.now:
                self.timeline.pop(0)[1]()
            if house.clockwork.faults:
                raise house.clockwork.faults[0]
            if self.is_quiet():
                return True
            then = self.timeline[0][0] if self.timeline else house.clockwork.now + 60
            driver.wait(max(house.clockwork.now + 1e-4, min(then, house.amili.next_due(), last)))
        return False

    def is_quiet(self) -> bool:
        """Nothing is to come any more, and nobody works."""
        house = self.house
        return (
            house.dice.is_quiet(house.clockwork.now)
            and not self.timeline
            and self.wished >= len(self.wishes)
            and house.next_due() == FOREVER
            and house.amili.next_due() == FOREVER
            and not house.amili.bag
            and not any(house.belfry.rung.values())
            and all(p.wake_at == FOREVER for some in house.belfry.listeners.values() for p in some)
        )


#: After so long without faults everything must have come to rest.
LONGEST_SECONDS = 3 * 3600.0


def invoice(name: str) -> NewItem:
    """Make an invoice to hand over."""
    body = {
        "uniqueSourceInvoiceId": f"own-{name}",
        "invoiceNumber": f"N-{name}",
        "type": "PAYMENT_REMINDER",
        "originalInvoiceAmount": 50,
        "currency": "NOK",
        "invoiceDate": "2026-01-01",
        "dueDate": "2026-02-01",
        "debtors": [{"customerNumber": f"C-{name}"}],
    }
    return NewItem(0, json.dumps(body), f"own-{name}", f"N-{name}")
