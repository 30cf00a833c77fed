"""What must hold after any course of events, judged by the sandbox's record and the rows."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator
from itertools import pairwise
from typing import Any

from service.inbox import keys
from service.sandbox.journal import NO_EFFECT
from tests.simulation.amili import Seen
from tests.simulation.house import House
from tests.simulation.peeking import rows, unix
from tests.simulation.scenario import Scenario
from workers.acting import RESUME_SECONDS

#: Answers after which a call surely had no effect, so that it may be made again.
SURELY_NOT = (401, 423, 429)
NEVER_REPEATED = {
    "WithdrawCase": "withdrawCase",
    "CreateInvoices": "createInvoices",
}
#: So long a pause may be planned from a read that is older than somebody's hand.
RACE_SECONDS = 60.0
#: How long a call of unknown fate rests before it is repeated.
REPEATED_AFTER = {"pauseCase": 15.0, "resumeCase": 300.0}
#: The steps that an action may take, by whatever hand.
STEPS = {
    *(("planned", each) for each in ("sent", "cancelled", "confirmed", "uncertain")),
    *(("sent", each) for each in ("answered", "uncertain", "refused", "planned")),
    *(("answered", each) for each in ("confirmed", "contradicted")),
    *(("uncertain", each) for each in ("confirmed", "planned", "cancelled", "refused")),
    ("confirmed", "contradicted"),
}
#: A chunk is looked up, and its batch may end before its call is known to have.
CHUNK_STEPS = {("uncertain", "answered"), ("sent", "confirmed")}
LEVELS = ("pauseCase", "resumeCase")
KINDS = {"PauseCase": "pauseCase", "ResumeCase": "resumeCase", **NEVER_REPEATED}


def judge(house: House, scenario: Scenario, *, is_quiet: bool) -> list[str]:
    """Return what is wrong, most telling first; nothing when all is well."""
    judge = Judge(house, scenario)
    wrong = [
        *judge.calls(),
        *judge.resumes(),
        *judge.pauses(),
        *judge.begun(),
        *judge.steps(),
        *judge.deliveries(),
        *judge.ends(),
    ]
    wrong += [*judge.levels(), *judge.submissions(), *judge.mirror()]
    wrong += [f"a job failed: {each}" for each in house.broken]
    if not is_quiet:
        wrong.append(f"something goes on for ever: {judge.what_is_due()}")
    return wrong


class Judge:
    """The laws, each a generator of what breaks it."""

    def __init__(self, house: House, scenario: Scenario) -> None:
        self.house, self.scenario = house, scenario
        raw = house.memory.raw
        self.events = rows(raw, "SELECT * FROM events")
        self.entities = rows(raw, "SELECT * FROM entities")
        self.actions = rows(raw, "SELECT * FROM actions ORDER BY seq")
        self.holds = rows(raw, "SELECT * FROM holds")
        self.cases = {row["case_id"]: row for row in rows(raw, "SELECT * FROM cases")}
        self.by_key = {row["action_id"]: row for row in self.actions}
        self.made = [seen for seen in house.amili.seen if seen.operation in KINDS]

    # --- the calls ----------------------------------------------------------------

    def calls(self) -> Iterator[str]:
        """Every call stands in the ledger; each cause has one key and at most one effect."""
        effective: Counter[str] = Counter()
        arrived: defaultdict[str, list[Seen]] = defaultdict(list)
        for seen in self.made:
            row = self.by_key.get(seen.key or "")
            if row is None or row["kind"] != KINDS[seen.operation]:
                yield f"a {seen.operation} under a key that the ledger does not have"
                continue
            arrived[row["action_id"]].append(seen)
            effective[row["action_id"]] += seen.effect != NO_EFFECT
            untold = row["state"] == "planned" or (
                row["state"] == "cancelled" and not row["attempts"]
            )
            if untold and may_have_done(seen):
                yield f"a {row['kind']} was called, and the ledger says {row['state']}"
            if row["state"] == "refused" and seen.effect != NO_EFFECT:
                yield f"a {row['kind']} had an effect, and the ledger says refused"
        yield from self.twice(effective, arrived)
        causes = Counter((row["target"], row["cause"], row["kind"]) for row in self.actions)
        yield from (f"two keys for one cause: {cause[1:]}" for cause, n in causes.items() if n > 1)

    def twice(self, effective: Counter[str], arrived: dict[str, list[Seen]]) -> Iterator[str]:
        """No cause has two effects; what nobody may repeat is called once unless surely refused."""
        for action_id, some in arrived.items():
            row = self.by_key[action_id]
            interfered = row["target"] in self.scenario.by_hand
            if effective[action_id] > 1 and not interfered:
                yield f"{row['kind']} had {effective[action_id]} effects for one cause"
            if row["kind"] in NEVER_REPEATED.values() and any(map(may_have_done, some[:-1])):
                yield f"{row['kind']} was called again although it may have arrived"
            if any(too_soon(row["kind"], *pair) for pair in pairwise(some)):
                yield f"{row['kind']} was repeated before reads could tell"
            if row["attempts"] < sum(map(may_have_done, some)):
                yield f"{row['kind']}: more calls than the ledger knows"

    def resumes(self) -> Iterator[str]:
        """No resume while a hold is in force, nor before a read after it, nor of others' pauses."""
        for seen in self.made:
            if seen.operation != "ResumeCase":
                continue
            mine = [hold for hold in self.holds if hold["case_id"] == seen.target]
            for hold in mine:
                begins, ends = unix(hold["placed_at"]), end_of(hold)
                if begins < seen.sent_at - RESUME_SECONDS - 0.001 and seen.sent_at < ends:
                    yield "a resume was sent while a hold was in force"
            ended = max((e for h in mine if (e := end_of(h)) < seen.sent_at), default=0.0)
            if not self.was_read(seen, ended):
                yield "a resume was sent without a read after the last hold had ended"
            hand = self.scenario.by_hand.get(seen.target or "")
            if hand is not None and hand[0] == "pause" and seen.effect != NO_EFFECT:
                yield from self.not_ours(seen, hand[1])

    def steps(self) -> Iterator[str]:
        """No row takes a step that nobody may take: what is final stays so."""
        for step in rows(self.house.memory.raw, "SELECT * FROM history"):
            what, was, became = step["what"], step["was"], step["became"]
            allowed = STEPS | (CHUNK_STEPS if what == "createInvoices" else set())
            if (was, became) not in allowed:
                yield f"a {what} that was {was} became {became}"

    def begun(self) -> Iterator[str]:
        """What says `sent` was compared with the holds in that very transaction."""
        for row in self.actions:
            if row["kind"] not in LEVELS or row["sent_at"] is None:
                continue
            at = unix(row["sent_at"])
            is_held = any(
                unix(hold["placed_at"]) < at < end_of(hold)
                for hold in self.holds
                if hold["case_id"] == row["target"]
            )
            if is_held != (row["kind"] == "pauseCase"):
                yield f"a {row['kind']} was begun against the holds of its case"

    def pauses(self) -> Iterator[str]:
        """No pause is sent once the last hold has ended, but for the moment of its sending."""
        patience = self.house.settings.lease_seconds / 2 + 0.001
        for seen in self.made:
            if seen.operation == "PauseCase" and not any(
                unix(hold["placed_at"]) <= seen.sent_at and end_of(hold) >= seen.sent_at - patience
                for hold in self.holds
                if hold["case_id"] == seen.target
            ):
                yield "a pause was sent although nothing holds the case"

    def was_read(self, seen: Seen, since: float) -> bool:
        """Say whether the case was read between then and this call."""
        number = str((self.house.amili.world.cases.now(seen.target or "") or {})["caseNumber"])
        return any(
            each.operation == "GetCasesByOrganization"
            and each.target == number
            and since < each.arrived_at <= seen.sent_at
            for each in self.house.amili.seen
        )

    def not_ours(self, seen: Seen, at: float) -> Iterator[str]:
        """A pause by hand is undone by nobody unless we had begun one of our own, too.

        Where both were asked for at about the same time, nobody can tell whose pause it is: no
        answer of Amili names who paused a case. One of ours that may not even have arrived is
        taken for ours by the rule «the wanted state seen is confirmed».
        """
        ours = [
            row
            for row in self.actions
            if row["kind"] == "pauseCase"
            and row["target"] == seen.target
            and row["sent_at"] is not None
            and unix(row["sent_at"]) < min(at + RACE_SECONDS, seen.sent_at)
        ]
        if not ours and seen.sent_at > at:
            yield "a pause was undone that was not ours"

    # --- the deliveries -------------------------------------------------------------

    def deliveries(self) -> Iterator[str]:
        """Every acknowledged delivery is in SQL once, settled, or dead with its cause."""
        stored = Counter(bytes(row["digest"]) for row in self.events)
        lost = self.house.acknowledged - stored.keys()
        if lost:
            yield f"{len(lost)} acknowledged deliveries are lost"
        if any(count > 1 for count in stored.values()):
            yield "a delivery is stored twice"
        for row in self.events:
            if row["state"] not in ("settled", "dead"):
                yield f"an event is still {row['state']}"
            elif row["state"] == "dead" and not (row["error"] or row["outcome"]):
                yield "an event is dead without a cause"
            elif row["state"] == "dead" and row["outcome"] != "malformed":
                yield f"an event is dead although faults are over: {row['error']}"

    # --- the rows -------------------------------------------------------------------

    def ends(self) -> Iterator[str]:
        """Nothing is left leased, due, in the stream or in the spool."""
        for row in self.entities:
            if row["holder"] is not None:
                yield f"a {row['kind']} is leased for ever"
            if row["wanted"] != row["done"]:
                yield f"a {row['kind']} stays due: {row['error']}"
        yield from self.under_way()
        if self.house.redis.xlen(keys.STREAM):
            yield "entries stay in the stream"
        if rows(self.house.memory.raw, "SELECT * FROM spool"):
            yield "deliveries stay in the spool"

    def under_way(self) -> Iterator[str]:
        """Every action is final, or waits visibly for a person."""
        for row in self.actions:
            if row["state"] in ("planned", "sent"):
                yield f"a {row['kind']} stays {row['state']}"
            elif row["state"] in ("answered", "uncertain") and row["closed_at"] is None:
                yield f"a {row['kind']} stays {row['state']}, and waits for nobody"

    def what_is_due(self) -> str:
        """Name what does not come to rest."""
        due = sorted({row["kind"] for row in self.entities if row["wanted"] != row["done"]})
        opened = [f"{a['kind']} {a['state']}" for a in self.actions if a["closed_at"] is None]
        return f"entities {due}, actions {opened}"

    def levels(self) -> Iterator[str]:
        """Each case that is open stands at Amili as its holds ask."""
        for case_id in self.scenario.cases:
            truth = self.house.amili.world.cases.now(case_id)
            if truth is None or truth["status"] == "CLOSED" or case_id not in self.cases:
                continue
            if self.cases[case_id]["is_over"]:
                continue
            held = [
                hold
                for hold in self.holds
                if hold["case_id"] == case_id and end_of(hold) > self.house.clockwork.now
            ]
            is_paused = truth["status"] == "PAUSED"
            if case_id not in self.scenario.by_hand and self.is_contradicted(case_id):
                yield "a call is contradicted although nobody interfered"
            if held and not is_paused:
                yield "a case is held, and yet it runs"
            if not held and is_paused and not self.is_excused(case_id):
                yield "nothing holds a case, and yet it stays paused"

    def is_contradicted(self, case_id: str) -> bool:
        """Say whether some call on a case was taken for one without effect."""
        return any(
            row["target"] == case_id and row["state"] == "contradicted" for row in self.actions
        )

    def is_excused(self, case_id: str) -> bool:
        """A pause may stay that is not ours for sure, or whose resume Amili refused."""
        mine = [row for row in self.actions if row["target"] == case_id]
        levels = [row for row in mine if row["kind"] in LEVELS]
        return (
            case_id in self.scenario.by_hand
            or any(not row["is_ours"] for row in levels)
            or any(row["kind"] == "resumeCase" and row["state"] == "refused" for row in levels)
        )

    def submissions(self) -> Iterator[str]:
        """Every invoice handed over exists once at Amili, or is visibly in doubt or refused."""
        world = self.house.amili.world
        found = Counter(
            invoice["uniqueSourceInvoiceId"]
            for _, key in world.invoices.walk(None)
            if (invoice := world.invoices.now(key)) is not None
        )
        queued = Counter(
            item["uniqueSourceInvoiceId"]
            for call in world.journal.calls("CreateInvoices")
            if call["effect"] != NO_EFFECT
            for item in call["body"]["invoices"]
        )
        for row in rows(self.house.memory.raw, "SELECT * FROM submission_items"):
            name = row["unique_source_invoice_id"]
            if queued[name] > 1:
                yield "an invoice was handed over twice"
            if row["state"] == "succeeded" and found[name] != 1:
                yield "an invoice is said to be there, and is not"
            if row["state"] in ("failed", "refused") and found[name]:
                yield f"an invoice is there, and is said to be {row['state']}"
            if row["state"] == "open" and not self.is_uncertain(row):
                yield "an invoice is neither there nor in doubt"

    def is_uncertain(self, item: dict[str, Any]) -> bool:
        """Say whether the chunk of an item waits for a person, visibly."""
        target = f"{item['submission_id']}/{item['chunk']}"
        found = [row for row in self.actions if row["target"] == target]
        return any(row["state"] == "uncertain" and row["closed_at"] for row in found)

    def mirror(self) -> Iterator[str]:
        """What we keep of each case is what Amili has: no event was settled without a look."""
        for case_id in self.scenario.cases:
            truth, ours = self.house.amili.world.cases.now(case_id), self.cases.get(case_id)
            if truth is None or ours is None:
                yield "a case is not known here"
                continue
            for member in ("status", "type", "description"):
                if truth[member] != ours[member]:
                    yield f"the {member} of a case is out of date"
            yield from self.amounts(case_id)

    def amounts(self, case_id: str) -> Iterator[str]:
        """Compare the amounts of a case's invoices."""
        world = self.house.amili.world
        asked = "SELECT * FROM invoices WHERE case_id = ?"
        ours = {row["invoice_id"]: row for row in rows(self.house.memory.raw, asked, case_id)}
        for invoice_id in world.invoices_of_case[case_id]:
            truth = world.invoices.now(invoice_id)
            if truth is None or invoice_id not in ours:
                yield "an invoice is not known here"
            elif str(truth["remainingAmount"]) != ours[invoice_id]["remaining_amount"]:
                yield "an amount is out of date"


def too_soon(kind: str, first: Seen, second: Seen) -> bool:
    """Say whether a call of unknown fate was repeated before its time."""
    pause = REPEATED_AFTER.get(kind)
    return pause is not None and may_have_done(first) and second.sent_at - first.sent_at < pause


def may_have_done(seen: Seen) -> bool:
    """Say whether our side could not know for sure that a call had no effect."""
    if seen.effect != NO_EFFECT:
        return True
    if seen.fault is not None and seen.fault.startswith("cut"):
        return True
    return seen.status is None or (seen.status not in SURELY_NOT and seen.status >= 500)


def end_of(hold: dict[str, Any]) -> float:
    """Return when a hold ended, or will."""
    ends = [unix(hold[name]) for name in ("released_at", "until") if hold[name] is not None]
    return min(ends, default=float("inf"))
