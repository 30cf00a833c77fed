"""`invoices list` and `invoices show`: as last read; a payment is reported on an invoice's id."""

from __future__ import annotations

from typing import Annotated

import typer

from service.cli.opening import desk, listing
from service.cli.showing import After, Json, Limit, show
from service.desk.reading import Reading
from service.desk.shapes import Shape


def list_invoices(
    number: Annotated[str | None, typer.Option(help="Of this invoice number.")] = None,
    source: Annotated[str | None, typer.Option(help="Of this uniqueSourceInvoiceId.")] = None,
    case: Annotated[str | None, typer.Option(help="Of one case: its id or its number.")] = None,
    after: After = None,
    limit: Limit = 50,
    as_json: Json = False,
) -> None:
    """List invoices as last read from Amili, by id."""

    def read(reading: Reading) -> Shape:
        return reading.invoices(
            invoice_number=number,
            unique_source_invoice_id=source,
            case_id=None if case is None else reading.case_id_of(case),
            after=after,
            limit=limit,
        )

    listing(
        read,
        as_json,
        *("invoiceNumber", "uniqueSourceInvoiceId", "type", "status", "remainingAmount"),
        *("currency", "caseNumber", "invoiceId"),
    )


def show_invoice(
    invoice: Annotated[str, typer.Argument(help="Its id, number or uniqueSourceInvoiceId.")],
) -> None:
    """Show one invoice as last read from Amili."""
    with desk() as opened:
        show(opened.reading.invoice_of(invoice), True)
