"""What must hold afterwards: judged from what was answered, from SQL, and from Amili's own record.

The sandbox's record of calls knows nothing of our ledger, and what the door answered was written
down by the sender: where the three disagree, something was lost or done twice.
"""

from __future__ import annotations

import time
from collections import Counter, defaultdict
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Table, select

from service.domain.submissions import target
from service.sandbox.harness import SandboxServer
from service.store import schema
from service.store.database import Database
from service.store.handed import submission_items
from tests.chaos.load import Said
from tests.e2e.house import OPEN_ACTIONS, Json

KINDS = {"PauseCase": "pauseCase", "ResumeCase": "resumeCase"}
EFFECTS = {"PauseCase": "paused", "ResumeCase": "resumed"}
#: A resume leaves so soon after it was last compared with the holds, or not at all; with it the
#: longest way through a delayed link.
RACE_SECONDS = 4.0
#: The sweeper has found by then whatever lease has ended.
LEFT_SECONDS = 10.0


@dataclass
class Verdict:
    """The findings; every list is to be empty."""

    acknowledged: int = 0
    stored: int = 0
    #: Acknowledged and not in SQL; acknowledged and not at an end.
    lost: list[str] = field(default_factory=list)
    unsettled: list[str] = field(default_factory=list)
    #: The dead: type, attempts and last error, without ids.
    dead: Counter[str] = field(default_factory=Counter)
    without_cause: list[str] = field(default_factory=list)
    #: Events stored twice, calls that took effect twice, keys of nobody, invoices registered twice.
    twice: list[str] = field(default_factory=list)
    #: The most effective calls and the most calls of all that one cause led to.
    effective: int = 0
    calls: int = 0
    #: Calls that were made again after they had taken effect.
    repeated: list[str] = field(default_factory=list)
    resumed_while_held: list[str] = field(default_factory=list)
    #: Cases whose state at Amili is not what is wanted, and no call under way says so.
    wrong: list[str] = field(default_factory=list)
    #: Cases whose row is not what Amili shows.
    stale: list[str] = field(default_factory=list)
    submitted: int = 0
    missing: list[str] = field(default_factory=list)
    uncertain: int = 0
    leased: list[str] = field(default_factory=list)
    cases: int = 0

    @property
    def faults(self) -> dict[str, list[str]]:
        """Return what should not be, by name."""
        return {n: v for n, v in vars(self).items() if isinstance(v, list) and v}


class Judge:
    """Reads all three witnesses once; `verdict` compares them."""

    def __init__(self, database: Database, amili: SandboxServer, said: Said) -> None:
        self._amili = amili
        self._said = said
        with database.read() as tx:

            def rows(table: Table) -> list[Any]:
                return list(tx.execute(select(table)))

            self.events = rows(schema.events)
            self._actions = rows(schema.actions)
            self._holds = rows(schema.holds)
            self._cases = rows(schema.cases)
            self._entities = rows(schema.entities)
            self._items = rows(submission_items)
        self._calls = amili.control.calls()
        self.settled_at = {e.digest: e.settled_at.timestamp() for e in self.events if e.settled_at}

    def settled_of_entities(self) -> dict[str, list[float]]:
        """List when the events of each entity were settled."""
        found: dict[str, list[float]] = defaultdict(list)
        for event in self.events:
            if event.settled_at is not None:
                found[str(event.entity)].append(event.settled_at.timestamp())
        return found

    def verdict(self) -> Verdict:
        """Compare."""
        found = Verdict(acknowledged=len(self._said.acknowledged), stored=len(self.events))
        self._judge_events(found)
        self._judge_calls(found)
        self._judge_resumes(found)
        self._judge_cases(found)
        self._judge_submissions(found)
        # Work goes on: a lease that runs is no fault, one that ended long ago and is left is.
        ended = time.time() - LEFT_SECONDS
        held = [(e.entity, e.lease_until) for e in self._entities if e.holder is not None]
        held += [(a.action_id, a.lease_until) for a in self._actions if a.state == "sent"]
        found.leased += [name for name, until in held if until.timestamp() < ended]
        return found

    def _judge_events(self, found: Verdict) -> None:
        rows = {bytes(event.digest): event for event in self.events}
        counts = Counter(bytes(event.digest) for event in self.events)
        found.twice += [f"event {rows[d].event_id}" for d, n in counts.items() if n > 1]
        found.lost += [d.hex()[:16] for d in self._said.acknowledged if d not in rows]
        for event in self.events:
            if event.state not in ("settled", "dead"):
                found.unsettled.append(f"{event.event_id} {event.state} {event.entity}")
            if event.state == "dead":
                cause = str(event.error).partition(" [")[0]
                found.dead[f"{event.type} after {event.attempts} attempts: {cause}"] += 1
                if not (event.error and event.attempts and event.outcome):
                    found.without_cause.append(event.event_id)

    def _judge_calls(self, found: Verdict) -> None:
        """At most one effect and one key for each level of each case; no key of nobody."""
        ours = {(a.action_id, a.kind, a.target): a.cause for a in self._actions}
        effects: Counter[Any] = Counter()
        calls: Counter[Any] = Counter()
        names: dict[Any, set[Any]] = defaultdict(set)
        for call in self._calls:
            kind = KINDS.get(call["operation"])
            if kind is None:
                continue
            cause = ours.get((call["idempotencyKey"], kind, call["target"]))
            if cause is None:
                found.twice.append(f"{kind} of no row: {call['idempotencyKey']}")
                continue
            key = (call["target"], cause, kind)
            names[key].add(call["idempotencyKey"])
            if effects[key]:
                found.repeated.append(f"{kind} {call['target']} {cause} {call['status']}")
            calls[key] += 1
            effects[key] += call["effect"] == EFFECTS[call["operation"]]
        found.effective, found.calls = (
            max(effects.values(), default=0),
            max(calls.values(), default=0),
        )
        found.twice += [f"effect {key}" for key, n in effects.items() if n > 1]
        found.twice += [f"keys {key}" for key, ids in names.items() if len(ids) > 1]
        # A second witness, without the ledger: no more pauses than spans with a hold.
        spans = {case: len(merged(kept)) for case, kept in self._held().items()}
        pauses = Counter(c["target"] for c in self._calls if c["effect"] == "paused")
        found.twice += [
            f"pauses of {t}: {n}" for t, n in pauses.items() if n > spans.get(str(t), 0)
        ]

    def _held(self) -> dict[str, list[tuple[float, float]]]:
        held: dict[str, list[tuple[float, float]]] = defaultdict(list)
        for hold in self._holds:
            end = float("inf") if hold.released_at is None else hold.released_at.timestamp()
            held[hold.case_id].append((hold.placed_at.timestamp(), end))
        return held

    def _judge_resumes(self, found: Verdict) -> None:
        """No resume while a hold is in force that stood when the resume was last compared."""
        sent = {a.action_id: a.sent_at for a in self._actions if a.sent_at is not None}
        held = self._held()
        for call in self._calls:
            if call["operation"] != "ResumeCase":
                continue
            at, sent_at = call["at"], sent.get(str(call["idempotencyKey"]))
            latest = at - RACE_SECONDS
            if sent_at is not None and sent_at.timestamp() <= at:
                latest = max(latest, sent_at.timestamp())
            for placed, released in held.get(str(call["target"]), ()):
                if placed < latest and released > at:
                    found.resumed_while_held.append(
                        f"{call['target']} {call['effect']} at {at}, hold from {placed}"
                    )

    def _judge_cases(self, found: Verdict) -> None:
        under_way = {a.target for a in self._actions if a.state in OPEN_ACTIONS}
        held = {case for case, spans in self._held().items() if spans[-1:] and is_held(spans)}
        found.cases = len(self._cases)
        for case in self._cases:
            truth = self._amili.control.get_case(case.case_id)["case"]
            wanted = "PAUSED" if case.case_id in held else "OPEN"
            if truth["status"] != wanted and case.case_id not in under_way:
                found.wrong.append(f"{case.case_id} is {truth['status']}, wanted {wanted}")
            if (case.desired == "paused") != (case.case_id in held):
                found.wrong.append(f"{case.case_id} desired {case.desired}")
            shown: Json = {"status": case.status, "description": case.description}
            if case.case_id not in under_way and any(truth[k] != v for k, v in shown.items()):
                found.stale.append(f"{case.case_id} {shown}, is {truth['status']}")

    def _judge_submissions(self, found: Verdict) -> None:
        """Each invoice registered once; one that is not is in a chunk that shows it is open."""
        made: Counter[str] = Counter()
        for call in self._calls:
            if call["operation"] == "CreateInvoices" and call["effect"] == "queued":
                made.update(each["uniqueSourceInvoiceId"] for each in call["body"]["invoices"])
        found.submitted = len(self._said.submitted)
        found.twice += [f"invoice {name}" for name, n in made.items() if n > 1]
        open_chunks = {a.target for a in self._actions if a.state in OPEN_ACTIONS}
        chunk_of = {
            item.unique_source_invoice_id: target(item.submission_id, item.chunk)
            for item in self._items
        }
        for name in self._said.submitted:
            if made[name]:
                continue
            if chunk_of.get(name) in open_chunks:
                found.uncertain += 1
            else:
                found.missing.append(name)


def merged(spans: list[tuple[float, float]]) -> list[tuple[float, float]]:
    """Join spans that touch; what ends less than a moment before the next begins stays apart."""
    joined: list[tuple[float, float]] = []
    for begin, end in sorted(spans):
        if joined and begin <= joined[-1][1]:
            joined[-1] = (joined[-1][0], max(end, joined[-1][1]))
        else:
            joined.append((begin, end))
    return joined


def is_held(spans: list[tuple[float, float]]) -> bool:
    """Whether one of these has no end."""
    return any(end == float("inf") for _, end in spans)
