"""Opens Amili's API for a command that reads it live, and says in words what went wrong."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager

from service import settings as our_settings
from service.amili import contract as amili_contract
from service.amili.client import AmiliClient, Purpose, TokenKeeper, open_gate
from service.errors import ConfigError, ProviderBusy, ProviderDenied, ProviderUnreachable
from service.redis import connect_async
from service.settings import Settings
from service.telemetry.metrics import Metrics


@asynccontextmanager
async def client(settings: Settings) -> AsyncIterator[AmiliClient]:
    """Open Amili's API with the token that all processes share."""
    shared = connect_async(settings.redis_url)
    try:
        tokens, metrics = TokenKeeper(settings, shared), Metrics()
        contract = amili_contract.load()
        async with (
            open_gate(settings, shared, metrics) as gate,
            AmiliClient(settings, contract, metrics, tokens, gate) as opened,
        ):
            yield opened.at(Purpose.RECONCILE)  # nobody's pause waits for a list
    finally:
        await shared.aclose()


@contextmanager
def in_words() -> Iterator[None]:
    """Say in one sentence what to do when Amili does not answer as hoped."""
    try:
        yield
    except ProviderDenied as exc:
        what = "check AMILI_CLIENT_ID and AMILI_CLIENT_SECRET, and what they may read"
        raise ConfigError(f"Amili does not let us in ({exc}): {what}.") from exc
    except ProviderBusy as exc:
        raise ConfigError(f"Amili asks us to wait ({exc}): try again in a minute.") from exc
    except ProviderUnreachable as exc:
        what = "check AMILI_API_BASE_URL, AMILI_TOKEN_URL and the network, then try again"
        raise ConfigError(f"Amili cannot be reached ({exc}): {what}.") from exc


def organizations(settings: Settings, given: str | None) -> tuple[str, ...]:
    """Name the organizations to read for: the one given, or all of ours. Raises ConfigError."""
    found = (given,) if given else settings.organization_ids
    if not found:
        raise ConfigError("Whose? Set AMILI_ORGANIZATION_IDS, or give --organization ID.")
    return found


def load() -> Settings:
    """Read the settings. Raises ConfigError."""
    return our_settings.load()
