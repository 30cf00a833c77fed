"""What the sandbox says when it begins to play Amili: the settings that lead to it."""

from __future__ import annotations

import typer

from service.sandbox.api import BASE
from service.sandbox.world import ORGANIZATION_ID


def greet(host: str, port: int, client_id: str, webhook_url: str | None) -> None:
    """Print where the sandbox listens, and what to set; secrets are named and not shown."""
    url = f"http://{f'[{host}]' if ':' in host else host}:{port}"
    lines = (
        f"The sandbox plays Amili on {url} until Ctrl-C; what it plays: {url}/_sandbox/",
        f"AMILI_API_BASE_URL={url}{BASE}",
        f"AMILI_TOKEN_URL={url}/token",
        f"AMILI_CLIENT_ID={client_id}",
        "AMILI_CLIENT_SECRET: that of --client-secret, by default `sandbox`",
        f"AMILI_ORGANIZATION_IDS={ORGANIZATION_ID}",
        told_of_webhooks(webhook_url),
    )
    for line in lines:
        typer.echo(line)


def told_of_webhooks(url: str | None) -> str:
    """Say where webhooks go, and what they are signed with."""
    if url is None:
        return "Webhooks are not sent: give --webhook-url."
    return (
        f"Webhooks go to {url}; AMILI_WEBHOOK_SECRETS: that of --webhook-secret, "
        "by default `sandbox-secret`"
    )
