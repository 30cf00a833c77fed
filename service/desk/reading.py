"""What an operator sees. Raises RecordMissing for an id that is not known.

Lists raise NotPossible for a filter that consists of other than printable characters.
"""

from __future__ import annotations

from collections.abc import Sequence, Set
from datetime import datetime
from typing import Any

from service.desk import shapes
from service.desk.ids import known, no_event
from service.desk.shapes import Shape
from service.desk.writing import NotPossible
from service.domain.deliveries import Which
from service.domain.entities import EntityKey, Kind
from service.errors import RecordMissing
from service.store import batches, cases, decisions, events, holds, invoices, ledger, waiting
from service.store.database import Database, Tx

MOST = 200


def page(data: list[Shape], following: Any) -> Shape:
    """Make a page of a list; `next` is null on the last."""
    return {"data": data, "next": None if following is None else str(following)}


class Reading:
    """Read-only views of the store."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def events(
        self, *, which: Which = events.ANY, after: int | None = None, limit: int = 50
    ) -> Shape:
        """List events, newest first."""
        with self._database.read() as tx:
            rows = events.listed(tx, which, before=after, limit=limit + 1)
        shown = rows[:limit]
        return page([shapes.event(r) for r in shown], shown[-1].seq if len(rows) > limit else None)

    def event(self, event_id: str) -> Shape:
        """Show the first row of an event id, its variants, and why its entity waits."""
        with self._database.read() as tx:
            rows = events.by_id(tx, known(event_id))
            if not rows:
                raise no_event(tx)
            entity = rows[0].entity
            why = None if entity is None else waiting.of(tx, EntityKey.parse(entity))
        return shapes.event_with_variants(rows) | {"waiting": shapes.waiting(why)}

    def batch(self, batch_id: str) -> Shape:
        """Show a batch."""
        with self._database.read() as tx:
            row = batches.get(tx, known(batch_id))
            if row is None:
                raise RecordMissing("There is no batch with this id.")
            return shapes.batch(row, batches.items(tx, batch_id))

    def invoice(self, invoice_id: str) -> Shape:
        """Show an invoice."""
        with self._database.read() as tx:
            row = invoices.get(tx, known(invoice_id))
        if row is None:
            raise RecordMissing("There is no invoice with this id.")
        return shapes.invoice(row)

    def invoices(
        self,
        *,
        invoice_number: str | None = None,
        unique_source_invoice_id: str | None = None,
        case_id: str | None = None,
        after: str | None = None,
        limit: int = 50,
    ) -> Shape:
        """List invoices by id, those that all given filters name."""
        demand_printable(invoice_number, unique_source_invoice_id, case_id, after)
        wanted = invoices.Filters(invoice_number, unique_source_invoice_id, case_id)
        with self._database.read() as tx:
            rows = invoices.listed(tx, wanted, after=after, limit=limit + 1)
        shown = [shapes.invoice(row) for row in rows[:limit]]
        return page(shown, rows[limit - 1].invoice_id if len(rows) > limit else None)

    def unknown_invoices(self, invoice_ids: Set[str]) -> Set[str]:
        """Return those of these ids by which no invoice is known, however they are spelt."""
        with self._database.read() as tx:
            return invoices.unknown(tx, invoice_ids)

    def invoice_of(self, name: str) -> Shape:
        """Show the invoice of an id, an invoice number or a uniqueSourceInvoiceId.

        Raises NotPossible when more than one has it.
        """
        with self._database.read() as tx:
            row = invoices.get(tx, known(name))
            ids = [] if row else invoices.ids_of(tx, name)
        if row is not None:
            return shapes.invoice(row)
        return self.invoice(the_only(ids, "invoice", "id, number or uniqueSourceInvoiceId"))

    def settlement(self, settlement_id: str) -> Shape:
        """Show a settlement."""
        with self._database.read() as tx:
            row = batches.get_settlement(tx, known(settlement_id))
        if row is None:
            raise RecordMissing("There is no settlement with this id.")
        return shapes.settlement(row)

    def settlements(self, *, after: str | None = None, limit: int = 50) -> Shape:
        """List settlements by id, as last read."""
        with self._database.read() as tx:
            rows = batches.listed_settlements(tx, after=after, limit=limit + 1)
        shown = [shapes.settlement(row) for row in rows[:limit]]
        return page(shown, rows[limit - 1].settlement_id if len(rows) > limit else None)

    def cases(
        self,
        *,
        status: str | None = None,
        case_number: str | None = None,
        adrift: bool = False,
        after: str | None = None,
        limit: int = 50,
    ) -> Shape:
        """List cases, newest registered first; `adrift`: not as our holds ask for."""
        demand_printable(status, case_number, after)
        with self._database.read() as tx:
            wanted = cases.Wanted(status, case_number, adrift)
            rows = cases.listed(tx, wanted, after=after, limit=limit + 1)
            shown = [self._case(tx, row) for row in rows[:limit]]
        return page(shown, rows[limit - 1].case_id if len(rows) > limit else None)

    def case(self, case_id: str) -> Shape:
        """Show a case with its invoices and holds."""
        with self._database.read() as tx:
            row = cases.get(tx, known(case_id))
            if row is None:
                raise RecordMissing("There is no case with this id.")
            return self._case(tx, row)

    def case_id_of(self, name: str) -> str:
        """Find the id of a case by its id or its number.

        Raises NotPossible when more than one has this number.
        """
        with self._database.read() as tx:
            if cases.get(tx, known(name)) is not None:
                return name
            ids = cases.ids_of(tx, name)
        return the_only(ids, "case", "id or number")

    def timeline(self, case_id: str) -> Shape:
        """Show everything that happened to a case and is kept, oldest first."""
        key = EntityKey(Kind.CASE, case_id)
        with self._database.read() as tx:
            if cases.get(tx, known(case_id)) is None:
                raise RecordMissing("There is no case with this id.")
            steps = [
                *((r.received_at, "event", shapes.event(r)) for r in events.of_entity(tx, key)),
                *(
                    (r.decided_at, "decision", shapes.decision(r))
                    for r in decisions.of_entity(tx, key)
                ),
                *(
                    (a.planned_at, "action", shapes.action(a))
                    for a in ledger.of_cases(tx, [case_id])[case_id]
                ),
                *(
                    (h.placed_at, "hold", shapes.hold(h))
                    for h in holds.of_cases(tx, [case_id])[case_id]
                ),
            ]
        steps.sort(key=lambda each: each[0])  # as moments: as texts, whole seconds sort last
        return page([step(*each) for each in steps], None)

    def actions(
        self,
        *,
        case_id: str | None = None,
        state: str | None = None,
        after: int | None = None,
        limit: int = 50,
    ) -> Shape:
        """List actions, newest first."""
        with self._database.read() as tx:
            found = ledger.listed(tx, case_id=case_id, state=state, before=after, limit=limit + 1)
        shown = found[:limit]
        following = shown[-1][0] if len(found) > limit else None
        return page([shapes.action(action) for _, action in shown], following)

    def action(self, action_id: str) -> Shape:
        """Show an action."""
        with self._database.read() as tx:
            found = ledger.get(tx, known(action_id))
        if found is None:
            raise RecordMissing("There is no action with this id.")
        return shapes.action(found)

    def holds(
        self,
        *,
        only_active: bool = True,
        case_id: str | None = None,
        after: str | None = None,
        limit: int = MOST,
    ) -> Shape:
        """List holds, newest first."""
        demand_printable(case_id, after)
        with self._database.read() as tx:
            found = holds.listed(
                tx, only_active=only_active, case_id=case_id, after=after, limit=limit + 1
            )
        shown = found[:limit]
        following = shown[-1].hold_id if len(found) > limit else None
        return page([shapes.hold(each) for each in shown], following)

    def _case(self, tx: Tx, row: Any) -> Shape:
        kept = holds.of_cases(tx, [row.case_id])[row.case_id]
        shown = shapes.case(row, invoices.of_case(tx, row.case_id), kept, tx.now)
        why = waiting.of(tx, EntityKey(Kind.CASE, row.case_id))
        return shown | {"waiting": shapes.waiting(why)}


def demand_printable(*filters: str | None) -> None:
    """Raise NotPossible for a filter that no database could compare."""
    if not all((text or "").isprintable() for text in filters):
        raise NotPossible("A filter consists of printable characters.")


def the_only(ids: Sequence[str], kind: str, names: str) -> str:
    """Return the one id. Raises RecordMissing for none, NotPossible for several."""
    if not ids:
        raise RecordMissing(f"There is no {kind} with this {names}.")
    if len(ids) > 1:
        raise NotPossible(f"There is more than one such {kind}: give an id ({', '.join(ids)}).")
    return ids[0]


def step(at: datetime, kind: str, shape: Shape) -> Shape:
    """Put one thing on the timeline."""
    return {"at": shapes.moment(at), "kind": kind, kind: shape}
