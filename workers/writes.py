"""What a transaction writes for all its looks, gathered from each and written at once.

A look is judged without a word to the database: it adds to the `Writes` of its own, which are
dropped when it fails and joined with the others' when it does not. A hundred looks cost a dozen
statements and not a thousand.
"""

from __future__ import annotations

from dataclasses import dataclass, field, fields

from service.domain.actions import Action
from service.domain.decisions import Decision
from service.domain.holds import Hold
from service.errors import StoreContended
from service.store import cases, decisions, events, finishing, holds, ledger
from service.store.database import Tx
from workers.outcomes import Outcome


@dataclass(slots=True)
class Writes:
    """Rows to be written, each kind in the order in which it was thought of."""

    cases: list[cases.Saved] = field(default_factory=list)
    placed: list[Hold] = field(default_factory=list)
    #: (why, hold id) of holds that end.
    released: list[tuple[str, str]] = field(default_factory=list)
    changed: list[Action] = field(default_factory=list)
    planned: list[Action] = field(default_factory=list)
    #: Each with the number of the fetch that it was made from.
    decisions: list[tuple[Decision, int]] = field(default_factory=list)
    #: Rows of events that are settled now.
    settled: list[int] = field(default_factory=list)
    finished: list[finishing.Finished] = field(default_factory=list)

    def add(self, other: Writes) -> None:
        """Take over what one look is to write."""
        for each in fields(self):
            getattr(self, each.name).extend(getattr(other, each.name))

    def write(self, tx: Tx, outcome: Outcome) -> None:
        """Write everything; the caller holds the locks of its cases and entities."""
        holds.place_all(tx, self.placed)
        for why in sorted({why for why, _ in self.released}):
            holds.release(tx, [hold_id for said, hold_id in self.released if said == why], why)
        if len(cases.save(tx, self.cases)) != len(self.cases):
            # Under their locks nobody else can have written them: begin anew, whoever it was.
            raise StoreContended("a later reading of a case came in between")
        # What becomes final makes room for what is planned on the same case.
        ledger.save(tx, self.changed)
        ledger.plan(tx, *self.planned)
        new = decisions.save(tx, self.decisions)
        outcome.decisions += [(each.policy, each.outcome) for each in new]
        for row in events.settle(tx, self.all_settled(tx), "applied"):
            seconds = (tx.now - row.received_at).total_seconds()
            outcome.settled.append((bytes(row.digest), row.label, seconds))
        finishing.finish(tx, self.finished)

    def all_settled(self, tx: Tx) -> list[int]:
        """Name the events that are settled: a success settles the dead ones of its entity, too."""
        dead = events.dead_of(tx, [each.claim.key for each in self.finished])
        return sorted({*self.settled, *(seq for seqs in dead.values() for seq in seqs)})
