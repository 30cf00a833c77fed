"""The JSON forms of the read API: camelCase as Amili writes it, amounts as decimal strings."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from service.amili.texts import storable
from service.domain.actions import Action
from service.domain.holds import Hold

Shape = dict[str, Any]


def moment(at: datetime | None) -> str | None:
    """Write a moment as RFC 3339 in UTC."""
    return None if at is None else at.astimezone(UTC).isoformat().replace("+00:00", "Z")


def amount(value: Decimal | None) -> str | None:
    """Write an amount without an exponent, its scale kept."""
    return None if value is None else format(value, "f")


def event(row: Any) -> Shape:
    """Shape one event."""
    return {
        "eventId": row.event_id,
        "type": row.type,
        "state": row.state,
        "outcome": row.outcome,
        "entity": row.entity,
        "organizationId": row.organization_id,
        "receivedAt": moment(row.received_at),
        "providerAt": moment(row.provider_at),
        "settledAt": moment(row.settled_at),
        "attempts": row.attempts,
        "error": row.error,
        "isVariant": row.is_variant,
        "digest": bytes(row.digest).hex(),
    }


def event_with_variants(rows: Sequence[Any]) -> Shape:
    """Shape the first row of an event id, with the others that came under it."""
    return event(rows[0]) | {"variants": [event(row) for row in rows[1:]]}


def batch(row: Any, items: Iterable[Any]) -> Shape:
    """Shape a batch with its items."""
    shaped = [(item.succeeded, batch_item(item)) for item in items]
    return {
        "batchId": row.batch_id,
        "organizationId": row.organization_id,
        "type": row.type,
        "status": row.status,
        "createdAt": moment(row.created_at),
        "finishedAt": moment(row.finished_at),
        "readAt": moment(row.read_began_at),
        "succeeded": [item for succeeded, item in shaped if succeeded],
        "failed": [item for succeeded, item in shaped if not succeeded],
    }


def batch_item(row: Any) -> Shape:
    """Shape one item of a batch; members that nobody told are left out."""
    told = {
        "invoiceId": row.invoice_id,
        "invoiceNumber": row.invoice_number,
        "uniqueSourceInvoiceId": row.unique_source_invoice_id,
        "caseId": row.case_id,
        "caseNumber": row.case_number,
        "errors": as_told(row.errors),
    }
    return {name: value for name, value in told.items() if value is not None}


def invoice(row: Any) -> Shape:
    """Shape an invoice."""
    return {
        "invoiceId": row.invoice_id,
        "invoiceNumber": row.invoice_number,
        "uniqueSourceInvoiceId": row.unique_source_invoice_id,
        "organizationId": row.organization_id,
        "type": row.type,
        "status": row.status,
        "caseId": row.case_id,
        "caseNumber": row.case_number,
        "batchId": row.batch_id,
        "currency": row.currency,
        "originalAmount": amount(row.original_amount),
        "remainingAmount": amount(row.remaining_amount),
        "remainingPrincipal": amount(row.remaining_principal),
        "paidAmount": amount(row.paid_amount),
        "creditedAmount": amount(row.credited_amount),
        "invoiceDate": moment(row.invoice_date),
        "dueDate": moment(row.due_date),
        "readAt": moment(row.read_began_at),
    }


def case(row: Any, invoices: Iterable[Any], holds: Sequence[Hold], now: datetime) -> Shape:
    """Shape a case; `desired` is what its holds ask for at this moment."""
    held = any(each.is_active(now) for each in holds)
    return {
        "caseId": row.case_id,
        "caseNumber": row.case_number,
        "organizationId": row.organization_id,
        "type": row.type,
        "status": row.status,
        "subStatus": row.sub_status,
        "description": row.description,
        "registeredAt": moment(row.registered_at),
        "closedAt": moment(row.closed_at),
        "readAt": moment(row.read_began_at),
        "level": row.level,
        "desired": "paused" if held else "running",
        "invoices": [invoice(each) for each in invoices],
        "holds": [hold(each) for each in holds],
    }


def waiting(row: Any) -> Shape | None:
    """Shape why a case was not looked at: the last failure, and when it is tried again."""
    if row is None:
        return None
    return {
        "error": row.error,
        "failures": row.failures,
        "nextTryAt": moment(row.not_before),
    }


def settlement(row: Any) -> Shape:
    """Shape a settlement; `record` is all that Amili said of it."""
    return {
        "settlementId": row.settlement_id,
        "organizationId": row.organization_id,
        "caseNumber": row.case_number,
        "collectionType": row.collection_type,
        "currency": row.currency,
        "customerReference": row.customer_reference,
        "readAt": moment(row.read_began_at),
        "record": as_told(row.raw),
    }


def as_told(raw: str | None) -> Any:
    """Give back Amili's own JSON; numbers become decimal strings, so that no reader rounds them.

    Lone surrogates, which UTF-8 has no form for, are replaced.
    """
    if raw is None:
        return None
    return json.loads(storable(json.dumps(json.loads(raw, parse_float=str), ensure_ascii=False)))


def hold(value: Hold) -> Shape:
    """Shape a hold."""
    return {
        "holdId": value.hold_id,
        "caseId": value.case_id,
        "reason": value.reason,
        "owner": value.owner,
        "comment": value.comment,
        "placedAt": moment(value.placed_at),
        "until": moment(value.until),
        "releasedAt": moment(value.released_at),
        "releasedBy": value.released_by,
    }


def action(value: Action) -> Shape:
    """Shape an action of the ledger."""
    return {
        "actionId": value.action_id,
        "kind": str(value.kind),
        "state": str(value.state),
        "caseId": value.case_id,
        "target": value.target,
        "cause": value.cause,
        "attempts": value.attempts,
        "plannedAt": moment(value.planned_at),
        "sentAt": moment(value.sent_at),
        "endedAt": moment(value.ended_at),
        "closedAt": moment(value.closed_at),
        "isOurs": value.is_ours,
        "reason": value.detail.get("reason"),
        "error": value.error,
    }


def decision(row: Any) -> Shape:
    """Shape a decision."""
    return {
        "policy": row.policy,
        "outcome": row.outcome,
        "words": row.words,
        "facts": json.loads(row.facts),
        "fetchNumber": row.fetch_number,
        "decidedAt": moment(row.decided_at),
    }
