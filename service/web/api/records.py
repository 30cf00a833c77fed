"""`/batches`, `/invoices`, `/settlements`: what Amili said of them, as last read."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from service.web.api.asked import listed, showing
from service.web.api.desks import Desk


def routes(desk: Desk) -> list[Route]:
    """Make the routes of records that are only read."""

    async def settlements(request: Request) -> Response:
        return await listed(
            request, desk.reading.settlements, after=request.query_params.get("after")
        )

    async def invoices(request: Request) -> Response:
        asked = request.query_params
        return await listed(
            request,
            desk.reading.invoices,
            invoice_number=asked.get("invoiceNumber"),
            unique_source_invoice_id=asked.get("uniqueSourceInvoiceId"),
            case_id=asked.get("caseId"),
            after=asked.get("after"),
        )

    return [
        Route("/batches/{id}", showing(desk.reading.batch)),
        Route("/invoices", invoices),
        Route("/invoices/{id}", showing(desk.reading.invoice)),
        Route("/settlements", settlements),
        Route("/settlements/{id}", showing(desk.reading.settlement)),
    ]
