"""`send`: one signed test webhook to a door."""

from __future__ import annotations

import http.client
import json
import time
import uuid
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated
from urllib.parse import urlsplit

import typer

from service import settings as our_settings
from service.amili import contract as amili_contract
from service.amili import signing
from service.errors import ConfigError


def add_to(app: typer.Typer) -> None:
    """Register the command."""
    app.command()(send)


def send(
    url: Annotated[
        str | None, typer.Option(help="The door; by default the one of AMILI_HOST and AMILI_PORT.")
    ] = None,
    body: Annotated[
        Path | None, typer.Option(help="A file with the raw body; by default a made-up event.")
    ] = None,
    event: Annotated[str, typer.Option(help="The type of the made-up event.")] = "CASE_UPDATED",
) -> None:
    """Send one signed webhook and print the door's answer."""
    settings, contract = our_settings.load(), amili_contract.load()
    if not settings.webhook_secrets:
        raise ConfigError("AMILI_WEBHOOK_SECRETS is empty: there is no secret to sign with")
    raw = body.read_bytes() if body else made_up(event)
    secret = settings.webhook_secrets[0].get_secret_value()
    signed = signing.sign(
        raw, secret, contract=contract, now=time.time(), message_id=str(uuid.uuid4())
    )
    target = url or own_door(settings)
    status, answer = post(target, raw, signed | {"Content-Type": "application/json"})
    typer.echo(f"{status} {answer}")
    if status >= 300:
        raise typer.Exit(1)


def own_door(settings: our_settings.Settings) -> str:
    """Name the door that these settings describe."""
    scheme = "https" if settings.tls_cert_file else "http"
    host = f"[{settings.host}]" if ":" in settings.host else settings.host
    return f"{scheme}://{host}:{settings.port}/webhooks/amili"


def made_up(event: str) -> bytes:
    """Make an event of a case, batch or settlement that does not exist."""
    return json.dumps(
        {
            "id": str(uuid.uuid4()),
            "eventType": event,
            "source": "COLLECTION",
            "timeStamp": datetime.now(UTC).isoformat(timespec="seconds"),
            "data": data_of(event),
        }
    ).encode()


def data_of(event: str) -> dict[str, object]:
    """Make the members that a type of event has; an unknown one gets a case's."""
    one, organization = str(uuid.uuid4()), str(uuid.uuid4())
    if event == "BATCH_COMPLETED":
        return {"batchId": one, "organizationId": organization, "status": "SUCCESS"}
    if event == "SETTLEMENT_CREATED":
        today = datetime.now(UTC).date().isoformat()
        return {"settlementId": one, "organizationId": organization, "settlementDate": today}
    return {"orgId": organization, "caseId": one, "caseNumber": "0", "fields": []}


def post(url: str, body: bytes, headers: dict[str, str]) -> tuple[int, str]:
    """POST once; raises ConfigError when nobody answers."""
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError:
        host, port = None, None
    if host is None or parts.scheme not in ("http", "https"):
        raise ConfigError("--url takes the door's URL, like http://127.0.0.1:8080/webhooks/amili")
    kind = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
    connection = kind(host, port, timeout=10)
    try:
        connection.request("POST", parts.path or "/", body, headers)
        answer = connection.getresponse()
        return answer.status, answer.read().decode("utf-8", "replace")
    except OSError as exc:
        raise ConfigError(
            f"nobody answers at {url} ({exc.strerror or type(exc).__name__})"
        ) from exc
    except http.client.HTTPException as exc:
        raise ConfigError(f"what answers at {url} is no door ({type(exc).__name__})") from exc
    finally:
        connection.close()
