"""How this process runs: every `AMILI_…` setting that is ours to choose.

What is only assumed about Amili (paths, signature, read lag) is not here but
in `service.amili.contract`, read from the same environment.
Values come from the environment and from files in `AMILI_SECRETS_DIR`
(one file per setting, named like the variable in lower case).
"""

from __future__ import annotations

import difflib
import os
from pathlib import Path
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

from pydantic import Field, SecretStr, ValidationError, field_validator, model_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from service.errors import ConfigError

PREFIX = "AMILI_"
LOOPBACK = {"localhost", "127.0.0.1", "::1"}


class Settings(BaseSettings):
    """The settings of one process; immutable once read."""

    model_config = SettingsConfigDict(env_prefix=PREFIX, extra="ignore", frozen=True)

    environment: Literal["sandbox", "staging", "production"] = "sandbox"
    #: Base URL of the API and the token endpoint; unset: the environment's own (contract §1).
    api_base_url: str | None = None
    token_url: str | None = None
    client_id: str | None = None
    client_secret: SecretStr | None = None
    #: Organizations whose events are ours; empty: all.
    organization_ids: Annotated[tuple[str, ...], NoDecode] = ()
    #: All are active at once, so that a secret is rotated without downtime.
    webhook_secrets: Annotated[tuple[SecretStr, ...], NoDecode] = ()

    redis_url: str = "redis://127.0.0.1:6379/0"
    #: Unset: SQLite in the data folder.
    database_url: str | None = None
    data_dir: Path = Path("amili-data")
    #: `disk`: 2xx only when the write is on disk; `memory`: Redis may be `everysec`.
    ack_durability: Literal["disk", "memory"] = "disk"

    api_tokens: Annotated[tuple[SecretStr, ...], NoDecode] = ()
    #: Keep the last N refused deliveries in the data folder; 0 keeps none.
    capture_refused: int = Field(default=0, ge=0, le=1000)
    tls_cert_file: Path | None = None
    tls_key_file: Path | None = None
    host: str = "127.0.0.1"
    port: int = Field(default=8080, ge=0, le=65535)
    #: Processes of the door.
    door_processes: int = Field(default=1, ge=1, le=64)
    max_body_bytes: int = Field(default=1024 * 1024, ge=1024, le=64 * 1024 * 1024)
    #: Seconds within which a body must have arrived.
    body_timeout_seconds: float = Field(default=10, gt=0, le=120)
    #: Refused signatures allowed for each source and minute, before 429.
    refused_per_minute: int = Field(default=120, ge=1)
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = "INFO"
    #: A worker's metrics and /livez; 0 is off.
    metrics_port: int = Field(default=0, ge=0, le=65535)

    #: Calls to Amili that one worker process has under way at once.
    api_concurrency: int = Field(default=32, ge=1, le=256)
    #: Seconds for one try of a call to Amili. Two of them and a round of work stay below the
    #: time-out of a job (60).
    api_timeout_seconds: float = Field(default=10, gt=0, le=15)
    lease_seconds: float = Field(default=10, gt=0)
    lease_renew_seconds: float = Field(default=3, gt=0)
    #: Tries that count before an entity's events become dead letters.
    max_attempts: int = Field(default=8, ge=1)

    #: Policies, each with its switch.
    policy_hold_on_failed_batch: bool = True
    policy_release_on_closed: bool = True
    #: What follows when somebody resumes at Amili a case that has a hold here:
    #: `enforce` pauses it again (once for each contradiction), `respect` only shows it.
    contradiction: Literal["enforce", "respect"] = "enforce"

    @field_validator("organization_ids", "webhook_secrets", "api_tokens", mode="before")
    @classmethod
    def _comma_separated(cls, value: Any) -> Any:
        if isinstance(value, str):
            return tuple(part.strip() for part in value.split(",") if part.strip())
        return value

    @field_validator("api_base_url", "token_url")
    @classmethod
    def _plain_http_on_loopback_only(cls, value: str | None) -> str | None:
        if not value:
            return None
        url = urlsplit(value)
        if url.scheme not in ("http", "https") or not url.hostname:
            raise ValueError("must be an http(s) URL")
        if url.scheme == "http" and url.hostname not in LOOPBACK:
            raise ValueError("plain http is allowed for loopback only; use https")
        return value.rstrip("/")

    @model_validator(mode="after")
    def _fits_together(self) -> Settings:
        if 3 * self.lease_renew_seconds > self.lease_seconds:
            raise ValueError(
                f"{PREFIX}LEASE_SECONDS must be at least three times {PREFIX}LEASE_RENEW_SECONDS"
            )
        if (self.tls_cert_file is None) != (self.tls_key_file is None):
            raise ValueError(f"{PREFIX}TLS_CERT_FILE and {PREFIX}TLS_KEY_FILE go together")
        return self

    @property
    def sql_url(self) -> str:
        """The database's SQLAlchemy URL, with the driver that this house uses."""
        url = self.database_url or f"sqlite:///{self.data_dir / 'amili.db'}"
        for plain in ("postgresql://", "postgres://"):
            if url.startswith(plain):
                return "postgresql+psycopg://" + url.removeprefix(plain)
        return url


def keep_private() -> None:
    """Let only the owner read what this process writes: rows and bodies are about people."""
    os.umask(0o077)


def load(**given: Any) -> Settings:
    """Read the settings from the environment; `given` values win.

    Raises ConfigError with one line for each setting that is wrong.
    """
    secrets_dir = os.environ.get(f"{PREFIX}SECRETS_DIR")
    try:
        return Settings(_secrets_dir=secrets_dir, **given)
    except ValidationError as exc:
        raise ConfigError("\n".join(explain(error) for error in exc.errors())) from exc


def explain(error: Any) -> str:
    """Say which variable is wrong and why, without its value: it may be a secret."""
    name = "".join(str(part) for part in error["loc"][:1]).upper()
    message = str(error["msg"]).removeprefix("Value error, ")
    return f"{PREFIX}{name}: {message}" if name else message


def strangers(known: set[str]) -> dict[str, str]:
    """Name the `AMILI_…` variables that are nobody's, each with its nearest known name or ''."""
    names = {f"{PREFIX}{name.upper()}" for name in known} | {f"{PREFIX}SECRETS_DIR"}
    found = {}
    for name in sorted(os.environ):
        if name.startswith(PREFIX) and name not in names:
            near = difflib.get_close_matches(name, names, n=1, cutoff=0.8)
            found[name] = near[0] if near else ""
    return found
