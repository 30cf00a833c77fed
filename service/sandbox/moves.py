"""Amounts that a payment or correction moves: promised when the item is taken, moved later.

So a batch can be SUCCESS before the amounts of its cases show it (`amount_delay_seconds`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal

from service.sandbox import cases, invoices
from service.sandbox.errors import SandboxError
from service.sandbox.wire import Record
from service.sandbox.world import World


@dataclass(frozen=True)
class Move:
    """So much goes from what remains of an invoice to `paidAmount` or `creditedAmount`."""

    invoice_id: str
    by: Decimal
    member: str

    @property
    def reserved(self) -> Decimal:
        """What nobody else may move meanwhile; nothing when the claim becomes larger."""
        return max(self.by, invoices.ZERO)


def promise(world: World, move: Move) -> Record:
    """Reserve the amount and return the invoice; SandboxError when too little remains."""
    invoice = world.invoices.now(move.invoice_id)
    if invoice is None:
        raise SandboxError(f"no invoice {move.invoice_id}")
    remaining = invoice["remainingAmount"] - world.reserved.get(move.invoice_id, invoices.ZERO)
    if remaining < move.by:
        raise SandboxError(f"only {remaining} remains of invoice {move.invoice_id}")
    world.reserved[move.invoice_id] += move.reserved
    return invoice


def keep(world: World, moves: Sequence[Move], at: float) -> None:
    """Move what was promised, and say it of each case; what was paid meanwhile is left."""
    changed: dict[str, None] = {}
    for move in moves:
        world.reserved[move.invoice_id] -= move.reserved
        try:
            invoice = invoices.lower(world, move.invoice_id, move.by, move.member, at)
        except SandboxError:
            continue
        changed[invoice["caseId"]] = None
    for case_id in changed:
        cases.close_when_paid(world, case_id, at)
