"""What will run, with which settings: the user's own win, the rest is chosen here."""

from __future__ import annotations

import os
import socket
import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import SecretStr

from service import settings as our_settings
from service.amili import contract as amili_contract
from service.amili.contract import Contract
from service.cli.upping.folder import Folder, Generated
from service.embedded import free_port
from service.errors import ConfigError
from service.sandbox.api import BASE
from service.sandbox.world import ORGANIZATION_ID
from service.settings import PREFIX, SECRETS_DIR, SETTINGS_FILE, Settings

CLIENT_ID = "sandbox"
SANDBOX_PORT = 8090
EVERYWHERE = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 - what a user may have set
#: What a user may change of the contract although Amili is only played.
HARMLESS = {"read_lag_seconds", "signature_tolerance_seconds"}
WEBHOOKS = "/webhooks/amili"
#: The sandbox's reads do not lag; what is assumed of Amili's would only be waited for.
SANDBOX_READ_LAG = "1"


@dataclass(frozen=True)
class Plan:
    """Everything that is decided before the first process starts."""

    #: As the children read them.
    settings: Settings
    #: What the children get besides the user's own environment.
    chosen: Mapping[str, str]
    door_url: str
    token: str
    #: We made it, so it may be shown.
    token_is_ours: bool
    sandbox_url: str | None
    sandbox_secret: str

    @property
    def shown_token(self) -> str:
        """The token for an example; one that the user set stays untold."""
        return self.token if self.token_is_ours else "YOUR_TOKEN"

    @property
    def organization_id(self) -> str:
        """The organization that the story plays in."""
        return (*self.settings.organization_ids, ORGANIZATION_ID)[0]

    @property
    def context(self) -> ssl.SSLContext | None:
        """How to trust our own door, where it speaks TLS: its very certificate, no other."""
        if self.settings.tls_cert_file is None:
            return None
        context = ssl.create_default_context(cafile=str(self.settings.tls_cert_file))
        context.check_hostname = False
        context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
        return context


def plays_amili(settings: Settings) -> bool:
    """Without credentials there is no Amili to call: the sandbox plays it."""
    return not settings.client_id


def brings_redis(settings: Settings) -> bool:
    """Without a URL of the user's, Redis is ours."""
    return "redis_url" not in settings.model_fields_set or not settings.redis_url


def check(settings: Settings, contract: Contract) -> None:
    """Refuse settings that cannot work together. Raises ConfigError, before anything starts."""
    if not plays_amili(settings):
        check_real(settings)
        return
    for name in ("api_base_url", "token_url"):
        if getattr(settings, name):
            raise ConfigError(because(name, "is set"))
    if settings.environment != "sandbox":
        raise ConfigError(because("environment", f"is {settings.environment}"))
    if settings.tls_cert_file is not None:
        raise ConfigError(because("tls_cert_file", "is set, and the sandbox calls by plain HTTP"))
    for name, field in Contract.model_fields.items():
        if name not in HARMLESS and getattr(contract, name) != field.default:
            raise ConfigError(because(name, "is not the value that the sandbox keeps to"))


def check_real(settings: Settings) -> None:
    """Refuse to call the real Amili with half of what that takes."""
    if settings.environment == "sandbox" and not (settings.api_base_url and settings.token_url):
        raise ConfigError(
            f"{PREFIX}CLIENT_ID is set, but not for which Amili: set {PREFIX}ENVIRONMENT to staging"
            f" or production. Without {PREFIX}CLIENT_ID, `up` plays Amili itself."
        )
    if not settings.client_secret:
        raise ConfigError(f"{PREFIX}CLIENT_SECRET is missing; it goes with {PREFIX}CLIENT_ID.")
    if not settings.webhook_secrets:
        raise ConfigError(
            f"{PREFIX}WEBHOOK_SECRETS is empty: set the secret that Amili signs its webhooks with."
        )


def because(name: str, what: str) -> str:
    """Say why a setting and a played Amili do not go together."""
    return (
        f"{PREFIX}{name.upper()} {what}, but without {PREFIX}CLIENT_ID `up` plays Amili itself: "
        f"set {PREFIX}CLIENT_ID and {PREFIX}CLIENT_SECRET too, or unset it."
    )


def demand_ports(settings: Settings) -> None:
    """Refuse ports that are taken. Raises ConfigError, before anything starts."""
    for name in ("port", "metrics_port"):
        port = getattr(settings, name)
        reason = taken(settings.host, port) if port else None
        if reason:
            raise ConfigError(
                f"{PREFIX}{name.upper()}: {settings.host}:{port} cannot be used ({reason}); "
                f"another program may listen there already: set {PREFIX}{name.upper()} to a free "
                "one. Nothing was started."
            )


def taken(host: str, port: int) -> str | None:
    """Say why nobody can listen there now; None: it is free."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as exc:
            return exc.strerror or type(exc).__name__
    return None


def make(settings: Settings, folder: Folder, generated: Generated, redis_url: str | None) -> Plan:
    """Choose whatever the user did not. `redis_url` is that of our own Redis, if it runs."""
    chosen = {"data_dir": str(folder.path)}
    if redis_url:
        chosen["redis_url"] = redis_url
    port = settings.port or free_port()
    if port != settings.port:
        chosen["port"] = str(port)
    if not settings.api_tokens:
        chosen["api_tokens"] = generated.api_token
    if not settings.webhook_secrets:
        chosen["webhook_secrets"] = generated.webhook_secret
    sandbox_url = None
    if plays_amili(settings):
        sandbox_port = free_port() if taken("127.0.0.1", SANDBOX_PORT) else SANDBOX_PORT
        sandbox_url = f"http://127.0.0.1:{sandbox_port}"
        chosen |= {
            "api_base_url": sandbox_url + BASE,
            "token_url": f"{sandbox_url}/token",
            "client_id": CLIENT_ID,
            "client_secret": generated.sandbox_secret,
        }
        if not settings.organization_ids:
            chosen["organization_ids"] = ORGANIZATION_ID
        if "read_lag_seconds" not in amili_contract.load().model_fields_set:
            chosen["read_lag_seconds"] = SANDBOX_READ_LAG
    ready = our_settings.load(**chosen)
    host = EVERYWHERE.get(ready.host, ready.host)
    scheme = "https" if ready.tls_cert_file else "http"
    return Plan(
        settings=ready,
        chosen={PREFIX + name.upper(): value for name, value in chosen.items()},
        door_url=f"{scheme}://{f'[{host}]' if ':' in host else host}:{ready.port}",
        token=ready.api_tokens[0].get_secret_value(),
        token_is_ours=not settings.api_tokens,
        sandbox_url=sandbox_url,
        sandbox_secret=generated.sandbox_secret,
    )


def for_another_terminal(plan: Plan) -> tuple[dict[str, str], list[str]]:
    """Split the settings: what may be written down, and the user's own secrets, which may not."""
    own = {k: v for k, v in os.environ.items() if k.startswith(PREFIX) and k not in plan.chosen}
    hidden = [name for name, value in own.items() if is_secret(name, value)]
    shown = {name: value for name, value in own.items() if name not in hidden}
    return shown | dict(plan.chosen), hidden


def is_secret(name: str, value: str) -> bool:
    """Say whether a variable holds a secret: by its type, or a URL with a password."""
    known: dict[str, Any] = {**Settings.model_fields, **Contract.model_fields}
    field = known.get(name.removeprefix(PREFIX).lower())
    if field is None:
        return name not in (SECRETS_DIR, SETTINGS_FILE)
    return SecretStr.__name__ in str(field.annotation) or "@" in value
