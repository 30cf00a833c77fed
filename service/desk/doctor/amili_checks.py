"""Checks of Amili's hosts: a token, and what time they have. `read_checks` tries the reads."""

from __future__ import annotations

import asyncio

from service.amili.client import TokenKeeper
from service.amili.client.probing import fetch_token, host_time
from service.amili.contract import Contract, api_base_url, token_url
from service.desk.doctor import clocks
from service.desk.doctor.assumptions import Evidence
from service.desk.doctor.findings import Check, bounded, sentence
from service.errors import ConfigError, ProviderDenied
from service.settings import Settings

CALL_SECONDS = 2.0
REACH = "Look whether this machine reaches Amili: name, proxy, firewall, AMILI_API_BASE_URL."
CREDENTIALS = "Compare AMILI_CLIENT_ID and AMILI_CLIENT_SECRET with what Amili gave you."


async def check_clocks(settings: Settings, contract: Contract, evidence: Evidence) -> list[Check]:
    """Compare our clock with those of the token host and of the API."""
    return list(
        await asyncio.gather(
            bounded(
                "clock of the token host", _clock("token", settings, contract, evidence), REACH
            ),
            bounded("clock of the API", _clock("API", settings, contract, evidence), REACH),
        )
    )


async def _clock(which: str, settings: Settings, contract: Contract, evidence: Evidence) -> Check:
    if which == "token":
        name, url = "clock of the token host", settings.token_url
        found = await host_time(
            url or token_url(settings.environment), contract, timeout=CALL_SECONDS
        )
    else:
        name, url = "clock of the API", settings.api_base_url
        found = await host_time(
            url or api_base_url(settings.environment), contract, timeout=CALL_SECONDS
        )
        if found.has_request_id:
            evidence.confirm("request_id", f"{contract.request_id_header} came with an answer.")
    if found.date is None:
        return Check(name, "skipped", "It tells no Date.")
    whole = (found.date, found.date + 1)  # HTTP tells whole seconds
    off = clocks.skew(whole, (found.asked_at, found.answered_at))
    return clocks.judge(name, "It", off)


async def check_token(tokens: TokenKeeper | None, contract: Contract, evidence: Evidence) -> Check:
    """Amili gives us a token."""
    if tokens is None:
        return Check("token", "skipped", "There are no credentials, or no address to take them to.")
    return await bounded("token", _token(tokens, contract, evidence), REACH)


async def _token(tokens: TokenKeeper, contract: Contract, evidence: Evidence) -> Check:
    try:
        await fetch_token(tokens, contract, timeout=2 * CALL_SECONDS)
    except ProviderDenied as exc:
        if '"error"' in exc.body:
            evidence.confirm("token_errors", "A refusal had a member `error`.")
        else:
            evidence.contradict("token_errors", "A refusal had no member `error`.")
        return Check("token", "failed", sentence(str(exc)), CREDENTIALS)
    return Check("token", "ok", "The token host gave one.")


def keeper(settings: Settings) -> TokenKeeper | None:
    """Make the keeper of one token, of this run alone; None without credentials or address."""
    try:
        return TokenKeeper(settings)
    except ConfigError:
        return None
